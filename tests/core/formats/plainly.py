"""The oracle of a format: its parser of one line, applied to every line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero import formats
from nonzero.batches.batch import Batch
from nonzero.formats.delimited import Delimited
from nonzero.formats.row_arrays import RowArrays


def plain_reader(name: str, **options: Any) -> formats.Reader:
    """Make a reader that gives every line to the format's Python parser."""
    reader = formats.reader(name, **options)
    form: Any = reader.format

    def read(data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        if isinstance(form, Delimited):
            form.judge(data, end)
        ends, breaks, form.left = record_ends(data[:end].tobytes(), getattr(form, "delimiter", b""))
        n = len(ends)
        rows.indptr[: n + 1] = 0
        rows.spans[:n, 0] = [0, *(at + 1 for at in ends[:-1])] if n else 0
        rows.spans[:n, 1] = ends
        rows.lines[: n + 1] = breaks
        rows.ids[:n] = -1
        rows.plain[:n] = 1
        return n

    form.read = read
    return reader


def record_ends(text: bytes, delimiter: bytes) -> tuple[list[int], list[int], int | None]:
    """Find the newlines that end records, the line ends up to each, and where an open record begins.

    Without a delimiter each line is a record; with one, line ends inside quotes are part of a cell.
    """
    ends, breaks, lines, quoted = [], [0], 0, False
    before = "start"
    for at, byte in enumerate(text):
        char = bytes([byte])
        if char == b'"' and delimiter and (quoted or before in ("start", "closed")):
            quoted = not quoted  # a doubled quote closes and opens again
            before = "inside" if quoted else "closed"
            continue
        lines += char == b"\n"
        if quoted:
            continue
        before = "start" if char in (b"\n", delimiter) else "plain"
        if char == b"\n":
            ends.append(at)
            breaks.append(lines)
    begin = ends[-1] + 1 if ends else 0
    return ends, breaks, begin if begin < len(text) else None


def whole(reader: formats.Reader, *chunks: bytes) -> formats.Parsed:
    """Read a stream handed over in these chunks."""
    parts = [*(reader.feed(chunk) for chunk in chunks), reader.finish()]
    return formats.Parsed(
        Batch.concatenate([part.batch for part in parts]),
        np.concatenate([part.lines for part in parts]),
        tuple(error for part in parts for error in part.errors),
        sum(part.lines_read for part in parts),
        skipped=tuple(line for part in parts for line in part.skipped),
    )


def assert_same(ours: formats.Parsed, theirs: formats.Parsed) -> None:
    """Two ways to read the same bytes found the same, to the bit."""
    assert ours.errors == theirs.errors
    assert ours.skipped == theirs.skipped
    assert ours.lines_read == theirs.lines_read
    np.testing.assert_array_equal(ours.lines, theirs.lines)
    np.testing.assert_array_equal(ours.batch.indptr, theirs.batch.indptr)
    np.testing.assert_array_equal(ours.batch.indices, theirs.batch.indices)
    np.testing.assert_array_equal(ours.batch.explicit_values(), theirs.batch.explicit_values())
    np.testing.assert_array_equal(_fields(ours.batch), _fields(theirs.batch))
    np.testing.assert_array_equal(ours.batch.labels, theirs.batch.labels)
    np.testing.assert_array_equal(ours.batch.weights, theirs.batch.weights)
    assert list(ours.batch.ids or [None] * len(ours.batch)) == list(
        theirs.batch.ids or [None] * len(theirs.batch)
    )
    np.testing.assert_array_equal(_times(ours.batch), _times(theirs.batch))


def _fields(batch: Batch) -> NDArray[np.uint16]:
    return np.zeros(batch.nnz, np.uint16) if batch.fields is None else batch.fields


def _times(batch: Batch) -> NDArray[np.int64]:
    return np.full(len(batch), -1, np.int64) if batch.times is None else batch.times
