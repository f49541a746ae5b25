# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Joining rows with the one that they share, compiled: what is shared is copied before each row's own."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.fields.hashing import NO_FIELD
from nonzero.native import inlined, kernel, types


class RowsOf(NamedTuple):
    """Some rows of nonzeros, as the kernel takes them: a column that is not there is one number, masked.

    Parameters
    ----------
    indptr
        int64[n + 1]: where the rows start and end. The first need not start at 0.
    indices, values, fields
        As of a batch.
    value_mask, field_mask
        -1; 0 where the column is one number.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    value_mask: int
    fields: NDArray[np.uint16]
    field_mask: int


READ: Final = types.NamedTuple(
    (
        types.int64.readonly,
        types.uint32.readonly,
        types.float32.readonly,
        types.int64,
        types.uint16.readonly,
        types.int64,
    ),
    RowsOf,
)
WRITTEN: Final = types.NamedTuple(
    (
        types.int64[::1],
        types.uint32[::1],
        types.float32[::1],
        types.int64,
        types.uint16[::1],
        types.int64,
    ),
    RowsOf,
)


@inlined
def _copy(rows, lo, hi, made, i):
    """Copy nonzeros to position i, a column at a time; returns the position behind them."""
    n = hi - lo
    for j in range(n):
        made.indices[np.uintp(i + j)] = rows.indices[np.uintp(lo + j)]
    if made.field_mask:
        for j in range(n):
            made.fields[np.uintp(i + j)] = rows.fields[np.uintp((lo + j) & rows.field_mask)]
    if made.value_mask:
        for j in range(n):
            made.values[np.uintp(i + j)] = rows.values[np.uintp((lo + j) & rows.value_mask)]
    return i + n


@inlined
def _named(rows, lo, hi):
    """Return the position of the first slot that was given directly: they stand behind all names."""
    while lo < hi and rows.fields[np.uintp(lo & rows.field_mask)] != NO_FIELD:
        lo += 1
    return lo


@kernel(types.void(READ, READ, WRITTEN))
def _join(shared, own, made):
    """Write each row of `own` with the one row that is `shared`: all names, then all slots."""
    begin, end = shared.indptr[0], shared.indptr[1]
    cut = _named(shared, begin, end)
    i = 0
    made.indptr[0] = 0
    for r in range(own.indptr.size - 1):
        lo, hi = own.indptr[r], own.indptr[r + 1]
        middle = hi if cut == end else _named(own, lo, hi)
        i = _copy(shared, begin, cut, made, i)
        i = _copy(own, lo, middle, made, i)
        i = _copy(shared, cut, end, made, i)
        i = _copy(own, middle, hi, made, i)
        made.indptr[r + 1] = i


def size_of(shared: RowsOf, own: RowsOf) -> int:
    """Return how many nonzeros the rows have with those that they share."""
    n = own.indptr.size - 1
    return int(own.indptr[n] - own.indptr[0] + n * (shared.indptr[1] - shared.indptr[0]))


def join_rows(shared: RowsOf, own: RowsOf, *, valued: bool, grouped: bool) -> RowsOf:
    """Return each row of `own` with the row that is shared; with values and fields where these are wanted."""
    size = size_of(shared, own)
    made = RowsOf(
        np.empty(own.indptr.size, np.int64),
        np.empty(size, np.uint32),
        np.empty(size if valued else 1, np.float32),
        -int(valued),
        np.empty(size if grouped else 1, np.uint16),
        -int(grouped),
    )
    _join(shared, own, made)
    return made
