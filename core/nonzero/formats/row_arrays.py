# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"
"""The arrays that a compiled parser writes rows into, and what all parsers do at a row's start and end."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.fields.hashing import NO_FIELD
from nonzero.native import inlined, kernel, types


class RowArrays(NamedTuple):
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
    def allocate(cls, rows: int, nnz: int) -> RowArrays:
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

    def behind(self, rows: int, nnz: int) -> RowArrays:
        """Return the same arrays without the first rows and nonzeros, which are written already."""
        of_rows: dict[str, NDArray[Any]] = self._asdict()
        of_nonzeros = {name: of_rows.pop(name)[nnz:] for name in ("indices", "values", "fields")}
        return RowArrays(**of_nonzeros, **{name: array[rows:] for name, array in of_rows.items()})


NEWLINE: Final = np.uint8(ord("\n"))

BUFFER: Final = types.uint8[::1]
ROWS: Final = types.like(RowArrays.allocate(0, 0))
"""The type of :class:`RowArrays` in a kernel's signature."""


@inlined
def begin_row(rows, r, start, ends):
    """Begin the row whose line starts at `start`, with `ends` line ends before it: nothing is known of it."""
    rows.spans[r, 0] = start
    rows.lines[r] = ends
    rows.labels[r] = np.float32(np.nan)
    rows.weights[r] = np.float32(1)
    rows.times[r] = -1
    rows.ids[r, 0] = -1
    rows.ids[r, 1] = -1


@inlined
def end_row(rows, r, stop, nnz, read):
    """End the row whose line ends at `stop`; one that was not read is left to Python."""
    rows.plain[r] = not read
    rows.spans[r, 1] = stop
    rows.indptr[r + 1] = nnz


@inlined
def put_nonzero(rows, nnz, index, value, field):
    """Write a nonzero; it counts once `nnz` is larger."""
    rows.indices[nnz] = index
    rows.values[nnz] = value
    rows.fields[nnz] = field


@kernel(types.int64(BUFFER, types.int64, ROWS))
def leave_lines(data, end, rows):
    """Leave every one of the whole lines ``data[:end]`` to Python; return how many they are."""
    r, start = 0, 0
    rows.indptr[0] = 0
    for j in range(end):
        if data[j] == NEWLINE:
            begin_row(rows, r, start, r)
            end_row(rows, r, j, 0, False)
            r, start = r + 1, j + 1
    rows.lines[r] = r
    return r


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
