"""Batches out of what a compiled parser found, and what Python read in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.batches.ids import Ids
from nonzero.fields.hashing import field_of, index_of
from nonzero.formats.row_arrays import GROUPED, NAMED, TIMED, VALUED, RowArrays


@dataclass(slots=True)
class PlainRow:
    """One line as a plain parser read it."""

    indices: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    """As float32 keeps them."""
    fields: list[int] = field(default_factory=list)
    label: float = float("nan")
    weight: float = 1.0
    id: str | None = None
    time: int = -1
    names: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """The names of those nonzeros that have one, by their places: the feature's, and its field's."""

    def add(self, index: int, value: float, field: int) -> None:
        """Add a nonzero; a value of 0 is none."""
        if value:
            self.indices.append(index)
            self.values.append(value)
            self.fields.append(field)

    def add_named(self, name: bytes, value: float, field: bytes) -> None:
        """Add a nonzero by its name and its field's; a value of 0 is none."""
        if value:
            self.names[len(self.indices)] = (name, field)
            self.add(index_of(name), value, field_of(field))


def assemble(rows: RowArrays, n: int, data: bytearray, summary: tuple[int, int]) -> Batch:
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


def assemble_with(rows: RowArrays, n: int, data: bytearray, read: Mapping[int, PlainRow | None]) -> Batch:
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
    found: list[PlainRow] = []
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
