from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import zstandard

from nonzero import AdaGrad, LogisticRegression, formats

VW = {"content-type": "text/x-vw"}
JSON = {"content-type": "application/json"}
PROGRESS = {"accept": "application/x-ndjson"}


def clicks(n: int, seed: int = 1) -> bytes:
    """Make VW text."""
    rng = np.random.default_rng(seed)
    labels, sites, users = rng.integers(0, 2, n), rng.zipf(1.5, n) % 100, rng.integers(0, 50, n)
    rows = zip(labels.tolist(), sites.tolist(), users.tolist(), strict=True)
    return b"".join(b"%d | site=%d user=%d\n" % row for row in rows)


def sequence_of(client: httpx.Client, model: str) -> int:
    return int(client.get(model).json()["sequence"])


def test_one_example(client: httpx.Client, model: str) -> None:
    answer = client.post(f"{model}/update", json={"features": {"site": "news"}, "label": 1})
    assert answer.status_code == 200
    assert answer.json() == {
        "model": model.rpartition("/")[2],
        "accepted": 1,
        "rejected": 0,
        "errors": [],
        "sequence": 1,
    }


def test_examples_one_by_one_are_answered_as_examples_in_a_list(client: httpx.Client, model: str) -> None:
    example = {"features": {"site": "news"}, "label": 1}
    alone = client.post(f"{model}/update", content=json.dumps(example, indent=1), headers=JSON)
    listed = client.post(f"{model}/update", json={"examples": [example]})
    assert (alone.status_code, alone.json() | {"sequence": 2}) == (200, listed.json())
    assert list(alone.json()) == list(listed.json())


def test_an_answered_update_is_applied(client: httpx.Client, model: str) -> None:
    example = {"features": {"site": "news"}, "label": 1}
    before = client.post(f"{model}/predict", json=example).json()["predictions"][0]["probability"]
    client.post(f"{model}/update", json={"examples": [example] * 5})
    after = client.post(f"{model}/predict", json=example).json()
    assert after["predictions"][0]["probability"] > before == 0.5
    assert after["sequence"] == 5


@pytest.mark.parametrize(
    "bad",
    [
        '{"features": {"a": 1}}',
        '{"features": {"a": {}}, "label": 1}',
        '{"features": {"a": 1e39}, "label": 1}',
        '{"features": {"a": NaN}, "label": 1}',
        '{"features": {"a": 1}, "label": 2}',
        '{"features": {"a": 1}, "label": 1, "weight": -1}',
        '{"features": {"a": 1}, "label": 1, "colour": "red"}',
        '{"indices": [4096], "label": 1}',
        '{"indices": [-1], "label": 1}',
        '{"indices": [1, 2], "values": [1], "label": 1}',
        "7",
    ],
)
def test_a_json_body_is_learned_as_a_whole_or_not_at_all(client: httpx.Client, model: str, bad: str) -> None:
    good = '{"features": {"a": 1}, "label": 1}'
    body = f'{{"examples": [{good}, {bad}, {good}, {bad}]}}'
    answer = client.post(f"{model}/update", content=body, headers={"content-type": "application/json"})
    # A token that is no JSON makes the whole body unreadable, or one example of it.
    assert answer.status_code in ((400, 422) if "NaN" in bad else (422,))
    if answer.status_code == 422 and "errors" in answer.json():
        assert [error["line"] for error in answer.json()["errors"]] == [2, 4]
        assert all(error["reason"] for error in answer.json()["errors"])
    assert "NaN" in bad or "errors" in answer.json()
    assert sequence_of(client, model) == 0


def test_a_stream_is_counted_line_by_line(client: httpx.Client, model: str) -> None:
    body = b"1 | a\nnonsense\n\n | a\n0 | b"
    answer = client.post(f"{model}/update", content=body, headers=VW).json()
    assert (answer["accepted"], answer["rejected"], answer["sequence"]) == (2, 2, 2)
    assert [error["line"] for error in answer["errors"]] == [2, 4]


def test_a_stream_of_lines_without_an_example_is_right_and_teaches_nothing(
    client: httpx.Client, model: str
) -> None:
    svm = {"content-type": "text/x-libsvm"}
    for headers, nothing in ((VW, b"\n\r\n \n"), (svm, b"\n# a comment\n\n")):
        answer = client.post(f"{model}/update?strict=true", content=nothing, headers=headers)
        assert answer.status_code == 200
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 0)


def test_a_byte_order_mark_costs_no_line(client: httpx.Client, model: str) -> None:
    ndjson = {"content-type": "application/x-ndjson"}
    svm = {"content-type": "text/x-libsvm"}
    bodies = ((VW, b"1 | a\n"), (svm, b"1 3:1\n"), (ndjson, b'{"indices":[3],"label":1}\n'))
    for n, (headers, body) in enumerate(bodies, 1):
        answer = client.post(f"{model}/update", content=b"\xef\xbb\xbf" + body, headers=headers)
        assert answer.json()["sequence"] == n
        assert answer.json()["errors"] == []


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/x-libsvm", b"1 1:0.5 7:1\n0 9999:1\n-1 3:2\n"),
        (
            "application/x-ndjson",
            b'{"indices":[1],"label":1}\n{"indices":[9999],"label":0}\n{"features":{},"label":0}\n',
        ),
        (
            "application/x-ndjson; charset=UTF-8",
            b'{"features":{"a":"b"},"label":1}\n{}x\n{"indices":[3],"label":0}\n',
        ),
    ],
)
def test_other_streams(client: httpx.Client, model: str, media: str, body: bytes) -> None:
    answer = client.post(f"{model}/update", content=body, headers={"content-type": media}).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    assert [error["line"] for error in answer["errors"]] == [2]


def test_the_first_hundred_bad_lines_are_named_and_all_counted(client: httpx.Client, model: str) -> None:
    answer = client.post(f"{model}/update", content=b"x\n" * 250 + b"1 | a\n", headers=VW).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 250)
    assert [error["line"] for error in answer["errors"]] == list(range(1, 101))


def test_a_strict_stream_stops(client: httpx.Client, model: str) -> None:
    good = clicks(200_000)
    answer = client.post(f"{model}/update?strict=true", content=good + b"oops\n" + clicks(5), headers=VW)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"][0]["line"] == 200_001
    assert problem["accepted"] == problem["sequence"] == sequence_of(client, model) <= 200_000
    assert client.post(f"{model}/update?strict=true", content=clicks(9), headers=VW).json()["accepted"] == 9


def test_progress_and_the_answer_last(client: httpx.Client, model: str) -> None:
    body = clicks(200_000) + b"oops\n"
    answer = client.post(f"{model}/update", content=body, headers=VW | PROGRESS)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *progress, last = [json.loads(line) for line in answer.text.splitlines()]
    assert len(progress) > 1
    assert all(line.keys() == {"accepted", "rejected", "sequence", "log_loss"} for line in progress)
    assert [line["accepted"] for line in progress] == sorted({line["accepted"] for line in progress})
    assert (progress[-1]["accepted"], last["accepted"], last["rejected"]) == (200_000, 200_000, 1)
    metrics = client.get(f"{model}/metrics").json()
    assert progress[-1]["log_loss"] == pytest.approx(metrics["log_loss"])


def test_progress_ends_with_the_problem(client: httpx.Client, model: str) -> None:
    body = clicks(1_000_000) + b"oops\n"  # more than may be on its way at once, however large its pieces are
    answer = client.post(f"{model}/update?strict=true", content=body, headers=VW | PROGRESS)
    last = json.loads(answer.text.splitlines()[-1])
    assert (answer.status_code, last["status"], last["accepted"]) == (200, 422, last["sequence"])
    assert (
        client.post(f"{model}/update?strict=true", content=b"oops\n", headers=VW | PROGRESS).status_code
        == 422
    )


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_stream(client: httpx.Client, model: str, encoding: str) -> None:
    body = clicks(50_000)
    encoded = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    answer = client.post(
        f"{model}/update", content=encoded, headers=VW | {"content-encoding": encoding}
    ).json()
    assert (answer["accepted"], answer["rejected"]) == (50_000, 0)


def test_a_stream_that_breaks_off_within_its_compression(client: httpx.Client, model: str) -> None:
    encoded = gzip.compress(clicks(50_000))[:-100]
    answer = client.post(f"{model}/update", content=encoded, headers=VW | {"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["accepted"] == sequence_of(client, model) > 0


@pytest.mark.parametrize("chunk", [1 << 10, 1 << 20])
def test_the_same_stream_by_http_and_by_library(client: httpx.Client, model: str, chunk: int) -> None:
    body = clicks(20_000)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    alone = LogisticRegression(12, AdaGrad(0.1))
    alone.learn(formats.parse(body, "vw"))
    assert client.post(f"{model}/update", content=chunks(), headers=VW).json()["accepted"] == 20_000
    lines = client.post(f"{model}/predict", content=body, headers=VW).text.splitlines()
    found = np.array([json.loads(line)["probability"] for line in lines], np.float32)
    np.testing.assert_array_equal(found, alone.predict(formats.parse(body, "vw")))


def test_examples_in_small_requests_learn_as_one_stream_does(client: httpx.Client, model: str) -> None:
    examples = [{"features": {"site": f"s{j % 7}", "bid": j % 5 / 4}, "label": j % 3 == 0} for j in range(60)]
    for start in (0, 1, 2, 10, 35):
        stop = {0: 1, 1: 2, 2: 10, 10: 35, 35: 60}[start]
        client.post(f"{model}/update", json={"examples": examples[start:stop]})
    alone = LogisticRegression(12, AdaGrad(0.1))
    for example in examples:
        alone.learn_one(example["features"], float(example["label"]))  # type: ignore[arg-type]
    answer = client.post(f"{model}/predict", json={"examples": examples}).json()
    found = [np.float32(one["probability"]) for one in answer["predictions"]]
    assert found == [np.float32(alone.predict_one(example["features"])) for example in examples]  # type: ignore[arg-type]
    assert client.get(f"{model}/metrics").json()["log_loss"] == alone.metrics()["log_loss"]


def test_a_stream_that_is_not_utf8_is_named_line_by_line(client: httpx.Client, model: str) -> None:
    """The names of its fields are looked at before it is parsed."""
    body = b'{"features":{"\xff":1},"label":1}\n{"features":{"a":1},"label":1}\n'
    answer = client.post(f"{model}/update", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 200
    assert (answer.json()["accepted"], [error["line"] for error in answer.json()["errors"]]) == (1, [1])


@pytest.mark.parametrize("asked", [{}, PROGRESS])
@pytest.mark.parametrize("count", [1, 250])
def test_a_stream_of_which_nothing_is_learned_is_refused(
    client: httpx.Client, model: str, count: int, asked: dict[str, str]
) -> None:
    answer = client.post(f"{model}/update", content=b"nonsense\n" * count, headers=VW | asked)
    assert answer.status_code == 422
    problem = json.loads(answer.text.splitlines()[-1])
    assert (problem["status"], problem["accepted"], problem["rejected"]) == (422, 0, count)
    assert problem["sequence"] == sequence_of(client, model) == 0
    assert [error["line"] for error in problem["errors"]] == list(range(1, min(count, 100) + 1))
    assert "nonsense" in problem["detail"]


@pytest.mark.parametrize("asked", [{}, PROGRESS])
def test_a_refused_stream_leaves_its_key_free(
    client: httpx.Client, model: str, asked: dict[str, str]
) -> None:
    headers = VW | asked | {"idempotency-key": "k"}
    for body, status, replayed in (
        (b"nonsense\n", 422, None),
        (b"", 200, 0),  # an empty file teaches nothing, and may be right
        (b"1 | a\nnonsense\n", 200, 0),
        (b"1 | a\nnonsense\n", 200, 1),
        (b"nonsense\n", 422, None),  # of another body, now
        (b"", 422, None),
    ):
        answer = client.post(f"{model}/update", content=body, headers=headers)
        assert answer.status_code == status, body
        assert json.loads(answer.text.splitlines()[-1]).get("replayed") == replayed
    assert sequence_of(client, model) == 1


def test_what_is_held_is_not_nothing(start: Callable[..., Any]) -> None:
    """In a pause lines are kept for later, though none is learned from."""
    path = "/v1/models/default"
    with start(bits=12, breaker_click_odds=1.5).until_ready().client() as client:
        rng = np.random.default_rng(1)
        ordinary = b"".join(b"%d | a\n" % label for label in rng.random(60_000) < 0.1)
        assert client.post(f"{path}/update", content=ordinary, headers=VW).status_code == 200
        client.post(f"{path}/update", content=b"1 | a\n" * 5_000, headers=VW)
        answer = client.post(f"{path}/update", content=b"1 | a\nnonsense\n", headers=VW)
        assert (answer.status_code, answer.json()["held"], answer.json()["accepted"]) == (202, 1, 0)
        assert client.post(f"{path}/update", content=b"nonsense\n", headers=VW).status_code == 422


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/x-ndjson", True),
        ("Application/X-NDJSON", True),
        ("application/x-ndjson;q=0.5", True),
        ("application/json;q=0.5, application/x-ndjson", True),
        ("application/x-ndjson, */*;q=0.1", True),
        ("application/x-ndjson, */*", True),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson ; q=0.000, application/json", False),
        ("application/x-ndjson;q=0.5, application/json", False),
        ("application/x-ndjson;q=0.5, */*", False),
        ("application/x-ndjson-seq", False),
        ("text/application/x-ndjson", False),
        ("application/*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_lines_are_answered_where_they_are_wanted(
    client: httpx.Client, model: str, accept: str, lines: bool
) -> None:
    answer = client.post(f"{model}/update", content=b"1 | a\n", headers=VW | {"accept": accept})
    assert answer.headers["content-type"] == ("application/x-ndjson" if lines else "application/json")
    assert json.loads(answer.text.splitlines()[-1])["accepted"] == 1


def test_an_empty_body_is_no_examples(client: httpx.Client, model: str) -> None:
    assert client.post(f"{model}/update", content=b"", headers=VW).json()["accepted"] == 0
    assert client.post(f"{model}/update", json={"examples": []}).json()["accepted"] == 0


def test_a_client_that_goes_leaves_what_was_applied(client: httpx.Client, model: str) -> None:
    def broken() -> Iterator[bytes]:
        yield clicks(100_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        client.post(f"{model}/update", content=broken(), headers=VW)
    assert client.post(f"{model}/update", json={"features": {}, "label": 0}).json()["sequence"] >= 1
