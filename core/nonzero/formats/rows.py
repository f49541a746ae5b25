# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"
"""Rows: the scratch arrays that a compiled parser writes into, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.batches.ids import Ids
from nonzero.compiled import kernel, types
from nonzero.fields.hashing import NO_FIELD

__all__ = [
    "BUFFER",
    "NAMED",
    "PLAIN",
    "ROWS",
    "VALUED",
    "Row",
    "Rows",
    "assemble",
    "assemble_with",
    "summarize",
]


class Rows(NamedTuple):
    """What a compiled parser finds in a buffer of whole lines: row ``r`` is its r-th line."""

    indptr: NDArray[np.int64]
    """int64[rows + 1]: row ``r`` has the nonzeros ``indptr[r]`` to ``indptr[r + 1]``."""
    indices: NDArray[np.uint32]
    """uint32[nnz]: hashes, or slots given directly."""
    values: NDArray[np.float32]
    """float32[nnz]: finite, at most 1e6 in magnitude."""
    fields: NDArray[np.uint16]
    """uint16[nnz]: the group of each nonzero, NO_FIELD for a slot given directly."""
    labels: NDArray[np.float32]
    """float32[rows]: 0, 1 or NaN for none."""
    weights: NDArray[np.float32]
    """float32[rows]: importance weights."""
    times: NDArray[np.int64]
    """int64[rows]: milliseconds since 1970, -1 for none."""
    ids: NDArray[np.int64]
    """int64[rows, 2]: the bytes of the buffer that are the row's id (ASCII), -1 and -1 for none."""
    spans: NDArray[np.int64]
    """int64[rows, 2]: the bytes of the row's line, without its newline, with its carriage return."""
    lines: NDArray[np.int64]
    """int64[rows + 1]: how many line ends stand before the row; the last, how many there are."""
    plain: NDArray[np.uint8]
    """uint8[rows]: 1 where the line is unusual or wrong; it has no nonzeros, and Python reads it."""

    @classmethod
    def allocate(cls, rows: int, nnz: int) -> Rows:
        """Make room for so many rows and nonzeros; memory that is never written to costs nothing."""
        return cls(
            indptr=np.empty(rows + 1, np.int64),
            indices=np.empty(nnz, np.uint32),
            values=np.empty(nnz, np.float32),
            fields=np.empty(nnz, np.uint16),
            labels=np.empty(rows, np.float32),
            weights=np.empty(rows, np.float32),
            times=np.empty(rows, np.int64),
            ids=np.empty((rows, 2), np.int64),
            spans=np.empty((rows, 2), np.int64),
            lines=np.empty(rows + 1, np.int64),
            plain=np.empty(rows, np.uint8),
        )


BUFFER: Final = types.uint8[::1]
ROWS: Final = types.NamedTuple(
    (
        types.int64[::1],
        types.uint32[::1],
        types.float32[::1],
        types.uint16[::1],
        types.float32[::1],
        types.float32[::1],
        types.int64[::1],
        types.int64[:, ::1],
        types.int64[:, ::1],
        types.int64[::1],
        types.uint8[::1],
    ),
    Rows,
)
"""The type of :class:`Rows` in a kernel's signature."""


# What rows have among them: the bits of a summary.
PLAIN: Final = 1  # a row that Python is to read
VALUED: Final = 2  # a value other than 1
GROUPED: Final = 4  # a nonzero that has a field
NAMED: Final = 8  # a row that has an id
TIMED: Final = 16  # a row that has a time


@kernel(types.UniTuple(types.int64, 2)(ROWS, types.int64))
def summarize(rows, n):
    """Return what the first n rows have among them, as bits, and the largest slot given directly, or -1.

    One pass for what would take a dozen calls of numpy, each of which costs more than a row.
    """
    plain, named, timed = False, False, False
    for r in range(n):
        plain |= rows.plain[r] != 0
        named |= rows.ids[r, 0] >= 0
        timed |= rows.times[r] >= 0
    nnz = rows.indptr[n]
    valued, grouped, direct = False, False, False
    for j in range(nnz):
        valued |= rows.values[j] != np.float32(1)
    for j in range(nnz):
        grouped |= rows.fields[j] != NO_FIELD
        direct |= rows.fields[j] == NO_FIELD
    largest = -1
    if direct:
        for j in range(nnz):
            if rows.fields[j] == NO_FIELD:
                largest = max(largest, np.int64(rows.indices[j]))
    return plain * PLAIN | valued * VALUED | grouped * GROUPED | named * NAMED | timed * TIMED, largest


class Row(NamedTuple):
    """One line as Python read it."""

    indices: Sequence[int]
    values: Sequence[float]
    """As float32 keeps them."""
    fields: Sequence[int]
    label: float = float("nan")
    weight: float = 1.0
    id: str | None = None
    time: int = -1


def assemble(rows: Rows, n: int, data: bytearray, summary: tuple[int, int]) -> Batch:
    """Make a batch of the first `n` rows, none of them plain, copied out of the scratch arrays.

    Parameters
    ----------
    rows
        Scratch arrays, of which `n` rows are filled.
    n
        How many.
    data
        The buffer that they were read from: ids are bytes of it.
    summary
        What :func:`summarize` says of them.
    """
    flags, largest_slot = summary
    indptr = rows.indptr[: n + 1].copy()
    nnz = int(indptr[n])
    return Batch.trusted(
        indptr,
        rows.indices[:nnz].copy(),
        rows.values[:nnz].copy() if flags & VALUED else None,
        rows.labels[:n].copy(),
        rows.weights[:n].copy(),
        rows.fields[:nnz].copy() if flags & GROUPED else None,
        Ids.of_spans(data, rows.ids[:n]) if flags & NAMED else None,
        rows.times[:n].copy() if flags & TIMED else None,
        largest_slot,
    )


def assemble_with(rows: Rows, n: int, data: bytearray, read: Mapping[int, Row | None]) -> Batch:
    """Make a batch of the first `n` rows, some of which Python read.

    Parameters
    ----------
    rows, n, data
        As for :func:`assemble`.
    read
        The rows that Python read in the compiled parser's place; None where the line is wrong and has no row.
    """
    indptr = rows.indptr[: n + 1]
    nnz = int(indptr[n])
    labels, weights, times = rows.labels[:n].copy(), rows.weights[:n].copy(), rows.times[:n].copy()
    spans = rows.ids[:n].copy()
    spans[list(read)] = -1  # what the compiled parser left of them may be anything
    ids: list[str | None] = list(Ids.of_spans(data, spans))
    counts = np.diff(indptr)
    keep = np.ones(n, np.bool_)
    by_python = np.zeros(n, np.bool_)
    found: list[Row] = []
    for r, row in sorted(read.items()):
        if row is None:
            keep[r] = False
            continue
        by_python[r] = True
        counts[r] = len(row.indices)
        labels[r], weights[r], times[r] = row.label, row.weight, row.time
        if row.id is not None:
            ids[r] = row.id
        found.append(row)
    there = np.repeat(by_python, counts)
    indices = _merged(there, rows.indices[:nnz], [row.indices for row in found])
    values = _merged(there, rows.values[:nnz], [row.values for row in found])
    fields = _merged(there, rows.fields[:nnz], [row.fields for row in found])
    if counts[~keep].any():  # a line that was read, and is too long
        kept = np.repeat(keep, counts)
        indices, values, fields = indices[kept], values[kept], fields[kept]
    times = times[keep]
    ids = [name for name, kept in zip(ids, keep, strict=True) if kept]
    return Batch.trusted(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[keep])]),
        indices,
        None if (values == 1).all() else values,
        labels[keep],
        weights[keep],
        fields if fields.any() else None,
        ids if any(name is not None for name in ids) else None,
        times if (times >= 0).any() else None,
    )


def _merged(there: NDArray[np.bool_], compiled: NDArray[Any], found: list[Sequence[Any]]) -> NDArray[Any]:
    """Put what Python found in its places among what compiled code found."""
    merged = np.empty(there.size, compiled.dtype)
    merged[~there] = compiled
    merged[there] = np.array([number for part in found for number in part], compiled.dtype)
    return merged
