"""Updates and labels, over a real service."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.calling import Calling
from client.conftest import slowly
from nonzero_client import (
    AsyncClient,
    Client,
    ConflictError,
    ContentError,
    InputError,
    LineFault,
    NotFoundError,
    PartialError,
    UpdateResult,
)
from service.conftest import ServiceProcess

EXAMPLE = {"features": {"site": "news", "bid": 0.5}, "label": 1}
FORMATS = {
    "ndjson": b'{"features": {"site": "s%d"}, "label": %d}\n',
    "vw": b"%d | site=s%d\n",
    "libsvm": b"%d %d:1\n",
}


def examples(n: int) -> Iterator[dict[str, Any]]:
    return ({"features": {"site": f"s{i % 7}"}, "label": i % 2} for i in range(n))


def lines(name: str, n: int) -> bytes:
    pairs = [(i % 7, i % 2) if name == "ndjson" else (i % 2, i % 7 + 1) for i in range(n)]
    return b"".join(FORMATS[name] % pair for pair in pairs)


def sequence(client: Calling, model: str) -> int:
    return client.get_model(model)["sequence"]


def test_an_update_is_learned_from_once_by_its_key(client: Calling, model: str) -> None:
    first = client.update([EXAMPLE, EXAMPLE], model=model, key="today")
    assert (first.model, first.accepted, first.lines, first.sequence, first.replayed) == (model, 2, 2, 2, 0)
    assert first.key == "today"
    assert client.update([EXAMPLE, EXAMPLE], model=model, key="today").replayed == 2
    assert sequence(client, model) == 2


def test_each_update_has_a_key_of_its_own(client: Calling, model: str) -> None:
    keys = {client.update(EXAMPLE, model=model).key for _ in range(3)}
    assert len(keys) == 3
    assert all(uuid.UUID(key).version == 4 for key in keys)
    assert sequence(client, model) == 3


@pytest.mark.parametrize("key", ["", " ", " day", "day ", "a\nb", "ключ", "x" * 256, 5])
def test_keys_that_are_none(client: Calling, key: Any) -> None:
    with pytest.raises(InputError, match=r"the key is .* it has 1 to 255 printable"):
        client.update(EXAMPLE, key=key)
    with pytest.raises(InputError, match=r"the key is .* it has 1 to 235 printable"):
        client.update_stream([EXAMPLE], key=key)


def test_the_longest_keys(client: Calling, model: str) -> None:
    assert client.update(EXAMPLE, model=model, key="x" * 255).accepted == 1
    assert client.update_stream([EXAMPLE] * 3, model=model, key="x" * 235, batch_size=1).accepted == 3


def test_nothing_is_nothing(client: Calling, model: str) -> None:
    assert client.update([], model=model).accepted == 0
    assert client.update_stream([], model=model).lines == 0
    assert client.labels([], model=model).accepted == 0
    assert client.label_stream([], model=model).lines == 0
    assert client.predict([], model=model) == []
    assert list(client.predict_stream(b"", format="vw", model=model)) == []


def test_an_update_is_whole_or_not_at_all(client: Calling, model: str) -> None:
    bad = {"features": {"site": "news"}, "label": 7}
    with pytest.raises(ContentError, match="label") as refused:
        client.update([EXAMPLE, bad, EXAMPLE, bad], model=model)
    assert [fault.line for fault in refused.value.errors] == [2, 4]
    assert (refused.value.status, refused.value.title) == (422, "Unprocessable Entity")
    assert refused.value.instance == f"/v1/models/{model}/update"
    assert refused.value.request_id
    assert not refused.value.outcome_unknown
    assert sequence(client, model) == 0


def test_what_cannot_be_sent_is_named_and_nothing_is(client: Calling, model: str) -> None:
    nothing = {"features": {"bid": float("nan")}, "label": 1}
    with pytest.raises(InputError, match=r"example 2: the feature 'bid' is nan.* and 1 more") as refused:
        client.update([EXAMPLE, nothing, nothing], model=model)
    assert [fault.line for fault in refused.value.errors] == [2, 3]
    assert sequence(client, model) == 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_learned_from_in_batches_with_keys_of_their_own(
    client: Calling, model: str, size: int
) -> None:
    steps: list[UpdateResult] = []
    result = client.update_stream(
        examples(30), model=model, key="day-1", batch_size=size, progress=steps.append
    )
    assert (result.accepted, result.lines, result.sequence, result.key) == (30, 30, 30, "day-1")
    assert [step.lines for step in steps] == [min(30, size * (i + 1)) for i in range(-(-30 // size))]
    again = client.update_stream(examples(30), model=model, key="day-1", batch_size=size)
    assert (again.accepted, again.replayed, again.sequence) == (30, 30, 30)
    # The batches' keys are the stream's with their number: one batch alone is recognised too.
    body = [*examples(30)][:size]
    assert client.update_stream(body, model=model, key="day-1", batch_size=size).replayed == min(size, 30)


@pytest.mark.sampled(10)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("form", ["path", "gz", "file", "bytes", "pieces"])
def test_a_stream_may_be_bytes_of_any_kind(
    client: Calling, model: str, name: Any, form: str, tmp_path: Path
) -> None:
    data = lines(name, 50)
    path = tmp_path / f"log.{name}"
    path.write_bytes(data)
    packed = tmp_path / f"log.{name}.gz"
    packed.write_bytes(gzip.compress(data))
    sources: dict[str, Any] = {
        "path": path,
        "gz": str(packed),
        "file": io.BytesIO(data),
        "bytes": data,
        "pieces": (data[i : i + 9] for i in range(0, len(data), 9)),
    }
    named = None if form in ("path", "gz") else name
    result = client.update_stream(sources[form], model=model, format=named, batch_size=8)
    assert (result.accepted, result.rejected, result.lines) == (50, 0, 50)


def test_an_asynchronous_source(client: Calling, kind: Any, model: str) -> None:
    if kind is AsyncClient:
        assert client.update_stream(slowly(examples(20)), model=model, batch_size=6).accepted == 20
        pieces = slowly(lines("vw", 20).splitlines(keepends=True))
        assert client.update_stream(pieces, model=model, format="vw").accepted == 20
    else:
        with pytest.raises(InputError, match="needs an AsyncClient"):
            client.update_stream(slowly(examples(20)), model=model)


def test_refused_lines_are_counted_and_named_and_the_rest_is_learned_from(
    client: Calling, model: str
) -> None:
    given: list[Any] = [*examples(10)]
    given[3] = {"features": {}, "label": 7}  # the service refuses it
    given[4] = {"features": {"bid": float("inf")}, "label": 1}  # it cannot be sent
    given[8] = "no example"
    given[9] = {"features": {}, "label": 8}
    with pytest.raises(PartialError, match="4 of 10 lines were refused") as partial:
        client.update_stream(given, model=model, batch_size=3)
    error = partial.value
    assert [fault.line for fault in error.errors] == [4, 5, 9, 10]
    assert ["label" in fault.reason for fault in error.errors][0::3] == [True, True]
    assert "inf" in error.errors[1].reason
    assert isinstance(error.done, UpdateResult)
    assert (error.done.accepted, error.done.rejected, error.done.lines) == (6, 4, 10)
    assert sequence(client, model) == 6
    result = client.update_stream(given, model=model, batch_size=3, refused="report")
    assert (result.accepted, result.rejected, result.errors) == (6, 4, error.errors)


def test_a_batch_of_which_every_line_is_refused_is_no_end(client: Calling, model: str) -> None:
    given = [{"features": {}, "label": 9}] * 4 + [*examples(4)]
    with pytest.raises(PartialError, match="all lines of the stream were refused, 4 in number; line 1: "):
        client.update_stream(given[:4], model=model)
    result = client.update_stream(given, model=model, batch_size=4, refused="report")
    assert (result.accepted, result.rejected) == (4, 4)
    assert [fault.line for fault in result.errors] == [1, 2, 3, 4]


def test_a_hundred_refused_lines_are_named(client: Calling, model: str) -> None:
    given: list[Any] = [{"features": {}, "label": 9}, *examples(1), 5] * 150
    result = client.update_stream(given, model=model, batch_size=40, refused="report")
    assert (result.accepted, result.rejected, len(result.errors)) == (150, 300, 100)
    assert [fault.line for fault in result.errors][:4] == [1, 3, 4, 6]


def test_a_stream_that_breaks_off_says_how_far_it_came(client: Calling, model: str) -> None:
    def broken() -> Iterator[Any]:
        yield from examples(20)
        raise OSError("the log is gone")

    with pytest.raises(OSError, match="the log is gone") as ended:
        client.update_stream(broken(), model=model, batch_size=8, key="day-2")
    assert "16 lines of the stream had been answered for" in ended.value.__notes__[0]
    assert "'day-2'" in ended.value.__notes__[0]
    assert sequence(client, model) == 16
    whole = client.update_stream(examples(20), model=model, batch_size=8, key="day-2")
    assert (whole.accepted, whole.replayed, whole.sequence) == (20, 16, 20)


def test_a_refused_stream_has_what_was_done_before(client: Calling, service: ServiceProcess) -> None:
    def gone() -> Iterator[Any]:
        yield from examples(8)
        another.delete_model("short")
        yield from examples(8)

    another = Client(service.url)
    another.create_model("short", {"bits": 8})
    with pytest.raises(NotFoundError, match="no model named 'short'") as ended:
        client.update_stream(gone(), model="short", batch_size=8, key="k")
    assert isinstance(ended.value.done, UpdateResult)
    assert (ended.value.done.accepted, ended.value.key) == (8, "k")
    another.close()


def test_labels(client: Calling, model: str) -> None:
    shown = [{"features": {"site": "news"}, "id": f"imp-{n}"} for n in range(5)]
    assert all(prediction.kept for prediction in client.predict(shown, model=model))
    assert client.labels({"id": "imp-0", "label": 1}, model=model).accepted == 1
    result = client.labels([{"id": "imp-1", "label": 0}, {"id": "never", "label": 1}], model=model)
    assert (result.accepted, result.rejected, result.lines) == (1, 1, 2)
    assert [(fault.line, fault.status) for fault in result.errors] == [(2, 404)]
    with pytest.raises(NotFoundError, match="no prediction with this id"):
        client.labels({"id": "never", "label": 1}, model=model)
    with pytest.raises(ConflictError, match="another label"):
        client.labels({"id": "imp-0", "label": 0}, model=model)
    with pytest.raises(ContentError, match="every label was refused"):
        client.labels([{"id": "never", "label": 1}], model=model)


def test_a_stream_of_labels(client: Calling, model: str) -> None:
    client.predict([{"features": {"site": "news"}, "id": f"imp-{n}"} for n in range(30)], model=model)
    labels = [{"id": f"imp-{n}", "label": n % 2} for n in range(15)]
    assert client.label_stream(iter(labels), model=model, batch_size=4).accepted == 15
    text = b"".join(json.dumps({"id": f"imp-{n}", "label": 1}).encode() + b"\n" for n in range(15, 40))
    with pytest.raises(PartialError, match="10 of 25 lines") as partial:
        client.label_stream(text, model=model, format="ndjson", batch_size=10)
    assert [fault.line for fault in partial.value.errors] == list(range(16, 26))
    assert {fault.status for fault in partial.value.errors} == {404}
    with pytest.raises(InputError, match="labels are NDJSON"):
        client.label_stream(b"1 |", model=model, format="vw")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "named", "said"),
    [
        ("log.txt", None, "cannot be told from its name; say format="),
        ("log.vw.zst", None, "compressed by zstd"),
        ("missing.vw", None, "missing.vw cannot be read: No such file"),
        (b"1 |", None, "bytes need a format"),
        (b"1 |", "xml", "the format is 'xml'; it is one of ndjson, vw, libsvm, csv"),
        (["text"], "vw", "a piece of the stream is 'text', of type str"),
        ("log.vw as text", "vw", "a file is opened as binary"),
        (7, None, "int is no iterable of examples"),
    ],
)
def test_sources_that_are_none(client: Calling, source: Any, named: Any, said: str) -> None:
    given = io.StringIO("1 |") if source == "log.vw as text" else source
    with pytest.raises(InputError, match=said):
        client.update_stream(given, format=named)


def test_a_fault_says_its_line() -> None:
    assert str(LineFault(3, "no label")) == "line 3: no label"
