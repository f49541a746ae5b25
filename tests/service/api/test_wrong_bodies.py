"""Whatever is wrong with a body or a setting is said in this project's words: what came, and what to give."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
import zstandard

from nonzero.errors import SettingsError
from nonzero_service.settings import Settings

JSON, NDJSON, VW, LIBSVM = "application/json", "application/x-ndjson", "text/x-vw", "text/x-libsvm"
CSV, TSV = "text/csv", "text/tab-separated-values"

PHRASES: Final = re.compile(
    "Input should|Extra inputs|Value error|Field required|unable to parse|valid (integer|number|string|array)"
    "|List should|String should|Invalid JSON|EOF while|pydantic|msgspec"
    "|Expected `|Object (missing|contains)|Input data was|JSON is malformed|at `\\$|codec can't|Traceback"
    "|union|literal|_parsing|_type|trailing characters|<class"
)
"""What pydantic, msgspec and Python say."""

EXAMPLE: Final = {"features": {"a": "b"}, "label": 1}

WRONG_JSON: Final = (
    b"",
    b" ",
    b"{",
    b"[1",
    b"\xff",
    b'{"a": "\xff"}',
    b"NaN",
    b'{"a": "\\ud800"}',
    b"[" * 3000,
)

ANY: Final[tuple[Any, ...]] = (None, True, 7, -1.5, "text", [], [7], {}, {"colour": 1}, 10**400)

WRONG_MEMBERS: Final = {
    "update": ("features", "indices", "values", "label", "weight", "id", "time", "examples"),
    "predict": ("features", "indices", "values", "label", "weight", "id", "time", "examples"),
    "explain": ("features", "indices", "values", "label", "weight", "id", "time", "examples"),
    "labels": ("id", "label", "labels"),
    "": ("bits", "learning_rate", "optimizer", "interactions", "schema"),
}

GOOD: Final[dict[str, dict[str, Any]]] = {
    "update": EXAMPLE,
    "predict": EXAMPLE,
    "explain": EXAMPLE,
    "labels": {"id": "x", "label": 1},
    "": {"bits": 8},
}


def wrong(route: str) -> Iterator[bytes]:
    """Bodies that are wrong in one place, and a few that are right."""
    yield from WRONG_JSON
    for value in ANY:
        yield json.dumps(value).encode()
        for member in WRONG_MEMBERS[route]:
            yield json.dumps({**GOOD[route], member: value}).encode()
            if member.endswith("s"):
                yield json.dumps({member: [value]}).encode()
    for rule in ({"rule": "x"}, {"rule": "ftrl", "alpha": -1}, {"rule": "ftrl", "alpha": "x"}, {"alpha": 1}):
        for optimizer in (rule, [rule], [rule] * 8):
            yield json.dumps({"optimizer": optimizer}).encode()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("route", WRONG_MEMBERS)
def test_no_answer_has_the_words_of_a_library(client: httpx.Client, model: str, route: str) -> None:
    seen = set()
    for body in wrong(route):
        if route:
            answer = client.post(f"{model}/{route}", content=body, headers={"content-type": JSON})
        else:
            answer = client.put(f"{model}-wrong", content=body, headers={"content-type": JSON})
            if answer.status_code == 201:
                client.delete(f"{model}-wrong")
        seen.add(answer.status_code)
        assert answer.status_code < 500, (body, answer.text)
        assert not PHRASES.search(answer.text), (body, answer.text)
        if answer.status_code >= 400:
            assert len(answer.json()["detail"]) < 1000
    assert {400, 422} <= seen


@pytest.mark.parametrize("route", ["update", "predict", "labels"])
def test_no_line_is_refused_in_the_words_of_a_library(client: httpx.Client, model: str, route: str) -> None:
    lines = [body.replace(b"\n", b" ") for body in wrong(route)]
    answer = client.post(
        f"{model}/{route}", content=b"\n".join(lines), headers={"content-type": NDJSON, "accept": JSON}
    )
    assert answer.status_code in (200, 422)
    assert answer.text.count('"reason"') > 60
    assert not PHRASES.search(answer.text), PHRASES.findall(answer.text)


@pytest.mark.parametrize(
    "path", ["/v1/models/UPPER", "/v1/models/default?x=1", "/v1/models/default/clock?x=1"]
)
def test_nor_is_a_path(client: httpx.Client, path: str) -> None:
    answer = client.request("POST" if "clock" in path else "GET", path)
    assert answer.status_code == 422
    assert not PHRASES.search(answer.text)


@pytest.mark.parametrize(
    ("route", "body", "said"),
    [
        (
            "update",
            {**EXAMPLE, "id": 123456789012},
            'the id is 123456789012, not a string; write "123456789012"',
        ),
        ("update", {"features": {"user": 123456789012}, "label": 1}, "if it is an id, give it as text"),
        (
            "update",
            {**EXAMPLE, "time": "2024-05-01T12:00:00Z"},
            "is '2024-05-01T12:00:00Z', not a number; give milliseconds since 1970, here 1714564800000",
        ),
        (
            "update",
            {**EXAMPLE, "time": "2024-05-01T14:00:00.5+02:00"},
            "give milliseconds since 1970, here 1714564800500",
        ),
        ("update", {**EXAMPLE, "time": "0001-01-01T00:00:00+23:59"}, "give milliseconds since 1970"),
        ("labels", {"id": 7, "label": 1}, 'the id is 7, not a string; write "7"'),
        ("labels", {"id": "x", "label": "1"}, "the label is '1'; it is 1, 0 or -1, true or false"),
        ("labels", {"id": "x"}, 'there is no "label"; a label is an object such as'),
        ("labels", {"id": "x", "label": 1, "weight": 2}, "the member 'weight' is unknown"),
        ("", {"colour": 1}, "there is no 'colour' here; there are attribution_seconds, bits,"),
        ("", {"bit": 1}, "did you mean 'bits'?"),
        ("", {"bits": 99}, "bits is 99; give a number of at most 30"),
        ("", {"bits": True}, "bits: it is true; give a number"),
        (
            "",
            {"optimizer": {"rule": "ftrl", "alpha": -1}},
            "optimizer.alpha is -1; give a number of at least",
        ),
        ("", {"optimizer": {"rule": "ftrl", "beat": 1}}, "there is no 'optimizer.beat' here; leave it out"),
        ("", {"optimizer": 7}, "optimizer is 7; give 'auto' or an object or a list"),
        ("", {"interactions": ["a*b", "ab"]}, "interactions[1] is 'ab'; give text of the form"),
        ("", 7, "the body is 7; give an object"),
    ],
)
def test_what_is_said(client: httpx.Client, model: str, route: str, body: Any, said: str) -> None:
    method, path = ("POST", f"{model}/{route}") if route else ("PUT", f"{model}-wrong")
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("label", [1, 1.0, True, 0, 0.0, -1, -1.0, False])
def test_labels_are_read_alike_at_every_door(client: httpx.Client, model: str, label: Any) -> None:
    for name, media in (("one", JSON), ("line", NDJSON)):
        assert client.post(f"{model}/predict", json={"features": {}, "id": name}).status_code == 200
        body = json.dumps({"id": name, "label": label})
        answer = client.post(f"{model}/labels", content=body, headers={"content-type": media})
        assert answer.json()["accepted"] == 1, answer.text
    assert client.post(f"{model}/update", json={"features": {}, "label": label}).json()["accepted"] == 1


PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda plain: b"PK\x03\x04\x14\0\0\0\0\0" + plain,
}


@pytest.mark.sampled(10)
@pytest.mark.parametrize("media", [JSON, NDJSON, VW, LIBSVM, CSV, TSV])
@pytest.mark.parametrize("name", PACKERS)
def test_a_compressed_body_that_does_not_say_so_is_recognised(
    client: httpx.Client, model: str, name: str, media: str
) -> None:
    body = PACKERS[name](b'{"features": {"a": "b"}, "label": 1}\n' * 3)
    for route in ("update", "predict", "labels") if media == NDJSON else ("update", "predict"):
        for size in (len(body), 1):
            pieces = (body[start : start + size] for start in range(0, len(body), size))
            answer = client.post(f"{model}/{route}", content=pieces, headers={"content-type": media})
            assert answer.status_code == 415, answer.text
            assert answer.json()["detail"].startswith(f"the body is {name}, and no Content-Encoding says so")
    small = client.post(f"{model}/update", content=body, headers={"content-type": media})
    assert small.status_code == 415
    assert client.get(model).json()["sequence"] == 0


@pytest.mark.parametrize(
    "flags",
    [
        {"bits": "many"},
        {"colour": 1},
        {"bits": 99},
        {"breaker": "maybe"},
        {"queue_bytes": "lots"},
        {"queue_bytes": "0"},
        {"max_weight": -1},
        {"port": "http"},
        {"negative_rate": 2},
        {"data_dir": 7},
        {"learning_rate": "fast"},
        {"slices": [7]},
        {"optimizer": "x"},
        {"interactions": "ab"},
    ],
)
def test_no_setting_is_refused_in_the_words_of_a_library(flags: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**flags)
    assert not PHRASES.search(str(caught.value)), caught.value
    assert next(iter(flags)) in str(caught.value)
