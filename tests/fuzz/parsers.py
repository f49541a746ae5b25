"""What reads bodies of requests and files of examples: no crash, any chunking alike, compiled as plain."""

from __future__ import annotations

import functools
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from core.formats.plainly import assert_same, plain_reader, whole
from fuzz.choices import Choices
from nonzero import AdaGrad, Batch, FormatError, LogisticRegression, Schema, formats
from nonzero.formats.json_bodies import parse_body
from nonzero.formats.json_candidates import parse_candidates, read_joined
from nonzero.sources.files import Source
from nonzero_service.bodies.arrow_bodies import batch_of_arrow
from nonzero_service.bodies.decoding import decoder_of
from nonzero_service.bodies.example_text import BodyBounds
from nonzero_service.bodies.label_bodies import LabelBatch, labels_of, read_lines
from nonzero_service.bodies.tables import TableQuery, table_reader
from nonzero_service.media_types import TSV
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

__all__ = [
    "adapted",
    "arrow_body",
    "candidates",
    "decoding",
    "file",
    "json_body",
    "labels",
    "lines",
    "table_body",
]


def lines(name: str, **options: Any) -> Callable[[bytes], None]:
    """Make the target of a format of lines."""

    def target(data: bytes) -> None:
        choices = Choices(data)
        cuts = sorted(choices.below(len(data) + 1) for _ in range(choices.below(4)))
        text = choices.rest
        chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        found = outcome(lambda: whole(formats.reader(name, **options), text))
        for other in (
            outcome(lambda: whole(plain_reader(name, **options), text)),
            outcome(lambda: whole(formats.reader(name, **options), *chunks)),
        ):
            if isinstance(found, formats.Parsed) and isinstance(other, formats.Parsed):
                assert_same(found, other)
            else:
                assert found == other

    return target


def outcome(read: Callable[[], formats.Parsed]) -> formats.Parsed | str:
    """Return what was read, or why nothing was: a header that cannot be used."""
    try:
        return read()
    except FormatError as error:
        return str(error)


def json_body(data: bytes) -> None:
    """A JSON body reads as its examples do line by line."""
    try:
        batch = parse_body(data)
    except FormatError:
        return
    content: Any = json.loads(data, object_pairs_hook=list)
    members = dict(content)
    if "examples" not in members:
        rows = 1
        line = data.replace(b"\n", b" ").replace(b"\r", b" ")
        assert_same(_parsed(batch), whole(formats.reader("ndjson"), line))
    else:
        rows = len(members["examples"])
    assert len(batch) == rows


def adapted(read: Callable[[bytes, BodyBounds], bytes]) -> Callable[[bytes], None]:
    """Make the target of an adapter: what it takes it writes as JSON examples, within its bounds."""

    def target(data: bytes) -> None:
        most = BodyBounds(examples=5, fields=8, nbytes=2 * len(data))
        try:
            text = read(data, most)
            assert len(text) <= most.nbytes
            batch = parse_body(text)
        except (Problem, FormatError):  # what is no UTF-8, or no feature, the reader of examples refuses
            return
        examples = json.loads(text)["examples"]
        assert len(batch) == len(examples) <= most.examples
        for one in examples:
            assert [*one] == ["features"]
            assert isinstance(one["features"], dict)

    return target


def candidates(data: bytes) -> None:
    """A body of candidates is read by compiled code, if at all, as by the plain reader."""
    try:
        found = parse_candidates(data)
    except FormatError:
        return
    content: Any = json.loads(data)
    assert len(found.own) == len(content["candidates"])
    whole = found.whole()
    assert whole.nnz == found.nonzeros
    joined = read_joined(data, Schema({}), whole.nnz)
    if joined is not None:
        assert joined.indices.tolist() == whole.indices.tolist()
        assert joined.explicit_values().tolist() == whole.explicit_values().tolist()


def _parsed(batch: Batch) -> formats.Parsed:
    return formats.Parsed(batch, np.arange(1, len(batch) + 1), (), len(batch))


@functools.cache
def tables() -> list[bytes]:
    """Return streams of Arrow that are right, of many types."""
    rows = [
        {"site": "news", "bid": 0.5, "tags": ["a", "b"], "n": 7, "new": True, "click": 1},
        {"site": None, "bid": None, "tags": None, "n": None, "new": None, "click": None},
    ]
    plain = pa.Table.from_pylist(rows * 2)
    columns = {name: plain[name].combine_chunks() for name in plain.column_names}
    coded = columns | {"site": columns["site"].dictionary_encode(), "n": pc.run_end_encode(columns["n"])}
    views = columns | {
        "site": columns["site"].cast(pa.string_view()),
        "tags": pa.array(columns["tags"].to_pylist(), pa.list_view(pa.large_string())),
    }
    moments = {
        "at": pa.array([0, None], pa.timestamp("ns", "UTC")),
        "d": pa.array([1, None], pa.decimal128(9, 2)),
    }
    found = []
    for table, compression in (
        (columns, None),
        (coded, None),
        (views, None),
        (moments, None),
        (columns, "zstd"),
    ):
        sink = pa.BufferOutputStream()
        batch = pa.RecordBatch.from_pydict(table)
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, batch.schema, options=options) as stream:
            stream.write_batch(batch)
            stream.write_batch(batch.slice(1))
        found.append(sink.getvalue().to_pybytes())
    return found


def arrow_body(data: bytes) -> None:
    """A body of Arrow that was changed is refused, or its rows keep a batch's rules and can be used."""
    choices = Choices(data)
    kind = choices.below(len(tables()) + 1)
    schema = Schema(default=choices.one_of(["infer", "category", "number"]))
    body = choices.rest if kind == len(tables()) else tables()[kind]
    if kind < len(tables()) and choices.below(8):
        body = choices.changed(body)
    limits = Settings.load(max_body_bytes=1 << 20, max_examples=1000)
    try:
        batch = batch_of_arrow(body, schema, TableQuery(), limits)
    except Problem as problem:
        refused(problem, 400, 413, 422)
        return
    checked = Batch(batch.indptr, batch.indices, batch.values, batch.labels, batch.weights, batch.fields)
    assert len(checked) <= 1000
    assert np.isfinite(LogisticRegression(2, AdaGrad(0.1)).predict(checked)).all()


def table_body(data: bytes) -> None:
    """A table of text reads alike in any pieces, and what is read of it so far ends with a record.

    Where it broke off, the rest is read from there: no row twice, and none lost.
    """
    choices = Choices(data)
    media, delimiter = choices.one_of([("text/csv", None), ("text/csv", "^"), (TSV, None)])
    query = TableQuery(
        weight=choices.one_of([None, "w"]), id=choices.one_of([None, "n"]), delimiter=delimiter
    )
    most, labelled, step = 20 + choices.below(80), bool(choices.below(2)), 1 + choices.below(30)
    text = choices.rest

    def reader() -> formats.Reader:
        return table_reader(media, query, Schema({"bid": "number"}), ["new"], most, labelled=labelled)

    found = outcome(lambda: whole(reader(), text))
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    other = outcome(lambda: whole(reader(), *pieces))
    if not isinstance(found, formats.Parsed) or not isinstance(other, formats.Parsed):
        assert isinstance(found, str)
        assert isinstance(other, str)
        return
    assert_same(found, other)
    one, rows, fed = reader(), 0, 0
    for piece in pieces:
        rows += len(one.feed(piece).batch)
        fed += len(piece)
        assert rows == len(whole(reader(), text[: fed - one.unread]).batch)


def labels(data: bytes) -> None:
    """Labels are read as the standard library reads JSON, or refused."""
    try:
        found, single = labels_of(data)
        check_labels(found)
        content = json.loads(data)
        each = [content] if single else content["labels"]
        assert [one["id"] for one in each] == found.ids
        assert [one["label"] in (1, True) for one in each] == [label == 1 for label in found.labels]
    except Problem as problem:
        refused(problem, 400, 422)
    parts = data.split(b"\n")
    streamed = read_lines(parts, 0)
    check_labels(streamed)
    assert sorted([*streamed.lines, *(line for line, _ in streamed.errors)]) == list(range(1, len(parts) + 1))


def refused(problem: Problem, *statuses: int) -> None:
    assert problem.status in statuses, problem


def check_labels(found: LabelBatch) -> None:
    assert all(0 < len(name) <= 255 and name.encode() for name in found.ids)
    assert set(found.labels) <= {0, 1}


def decoding(data: bytes) -> None:
    """A compressed body comes out as it went in, or is refused; in any chunking."""
    choices = Choices(data)
    encoding = choices.one_of(["gzip", "zstd"])
    pack = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor().compress
    changing, step = choices.below(3), 1 + choices.below(300)
    body = choices.rest
    if changing:
        body = pack(body)
        if changing == 2:
            body = choices.changed(body)
    found = [_decoded(encoding, body, size) for size in (step, len(body) + 1)]
    assert found[0] == found[1]
    if changing == 1:
        assert found[0] == choices.rest


def _decoded(encoding: str, body: bytes, step: int) -> bytes | None:
    decoder, out = decoder_of(encoding), bytearray()
    try:
        for start in range(0, len(body), step):
            decoder.offer([body[start : start + step]])
            while decoder.more:
                out += b"".join(decoder.read())
                if len(out) > 2**24:
                    return None
        decoder.finish()
    except Problem as problem:
        refused(problem, 400)
        return None
    return bytes(out)


def file(data: bytes) -> None:
    """A file of examples is read to its end, or refused as damaged."""
    with tempfile.NamedTemporaryFile() as written:
        Path(written.name).write_bytes(data)
        try:
            read = b"".join(Source(written.name, block=64))
        except FormatError:
            return
    if data.startswith(b"\x1f\x8b"):
        assert read == gzip.decompress(data)
    elif not data.startswith(b"\x28\xb5\x2f\xfd"):
        assert read == data or data[1:4] == b"\x2a\x4d\x18"
