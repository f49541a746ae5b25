"""Rows: the scratch arrays that a compiled parser writes into, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from nonzero.batch import Batch

__all__ = ["BUFFER", "ROWS", "Row", "Rows", "assemble"]


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
ROWS: Final = types.NamedTuple(  # type: ignore[no-untyped-call]
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


def assemble(rows: Rows, n: int, data: bytearray, read: Mapping[int, Row | None]) -> Batch:
    """Make a batch of the first `n` rows, copied out of the scratch arrays.

    Parameters
    ----------
    rows
        Scratch arrays, of which `n` rows are filled.
    n
        How many.
    data
        The buffer that they were read from: ids are bytes of it.
    read
        The rows that Python read in the compiled parser's place; None where the line is wrong and has no row.
    """
    indptr = rows.indptr[: n + 1].copy()
    nnz = int(indptr[n])
    labels, weights, times = rows.labels[:n].copy(), rows.weights[:n].copy(), rows.times[:n].copy()
    indices, values, fields = rows.indices[:nnz], rows.values[:nnz], rows.fields[:nnz]
    ids = _ids(rows.ids[:n], data)
    if read:
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
                ids = ids if ids is not None else [None] * n
                ids[r] = row.id
            found.append(row)
        there = np.repeat(by_python, counts)
        indices = _merged(there, indices, [row.indices for row in found])
        values = _merged(there, values, [row.values for row in found])
        fields = _merged(there, fields, [row.fields for row in found])
        if counts[~keep].any():  # a line that was read, and is too long
            kept = np.repeat(keep, counts)
            indices, values, fields = indices[kept], values[kept], fields[kept]
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[keep])])
        labels, weights, times = labels[keep], weights[keep], times[keep]
        ids = ids if ids is None else [name for name, kept in zip(ids, keep, strict=True) if kept]
    return Batch.trusted(
        indptr,
        indices.copy(),
        None if (values == 1).all() else values.copy(),
        labels,
        weights,
        fields.copy() if fields.any() else None,
        ids,
        times if (times >= 0).any() else None,
    )


def _ids(spans: NDArray[np.int64], data: bytearray) -> list[str | None] | None:
    """Take the ids that the compiled parser found out of the buffer."""
    given = np.flatnonzero(spans[:, 0] >= 0)
    if not given.size:
        return None
    ids: list[str | None] = [None] * len(spans)
    for r, (start, end) in zip(given.tolist(), spans[given].tolist(), strict=True):
        ids[r] = data[start:end].decode("ascii")
    return ids


def _merged(there: NDArray[np.bool_], compiled: NDArray[Any], found: list[Sequence[Any]]) -> NDArray[Any]:
    """Put what Python found in its places among what compiled code found."""
    merged = np.empty(there.size, compiled.dtype)
    merged[~there] = compiled
    merged[there] = np.array([number for part in found for number in part], compiled.dtype)
    return merged
