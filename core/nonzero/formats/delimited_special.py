# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The cells that most tables have not: weights, ids, times, and what features are made of."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import byte_at
from nonzero.batches.limits import MAX_ID, MAX_WEIGHT
from nonzero.fields.hashing import NO_FIELD
from nonzero.formats.buckets import read_count
from nonzero.formats.calendars import read_hour, read_time
from nonzero.formats.delimited_columns import BUCKET, ID, TIME, WEIGHT
from nonzero.formats.numbers import scan_number
from nonzero.formats.row_arrays import put_nonzero
from nonzero.native import inlined, outlined

FIRST_DAY: Final = 24  # where days begin among the features that are made of an hour


@outlined
def is_ascii(text, start, stop):
    """Whether a cell has no byte beyond ASCII."""
    found = np.uint8(0)
    for j in range(start, stop):
        found |= byte_at(text, j)
    return found < np.uint8(0x80)


@inlined
def read_special(text, start, stop, column, columns, rows, row, nnz):
    """Read a cell that is not empty, of a column of one of these kinds.

    What reads it is a function of its own, and gets no more than it needs: to hand over all columns and rows
    takes longer than to read a number.

    Returns
    -------
    read : bool
        Whether it was read.
    nnz : int64
        The number of nonzeros.
    """
    kind = columns.kinds[column]
    if kind == WEIGHT:
        number, after, read = scan_number(text, start)
        weight = np.float32(number)
        rows.weights[row] = weight
        return read and after == stop and weight >= 0 and weight <= np.float32(MAX_WEIGHT), nnz
    if kind == ID:
        rows.ids[row, 0] = start
        rows.ids[row, 1] = stop
        return stop - start <= MAX_ID and is_ascii(text, start, stop), nnz
    if kind == TIME:
        rows.times[row], read = read_time(text, start, stop, columns.times)
        return read, nnz
    first = columns.places[column]
    if kind == BUCKET:
        place, read = read_count(text, start, stop)
        if read:
            put_nonzero(rows, nnz, columns.made[first + place], np.float32(1), columns.fields[column])
        return read, nnz + read
    hour, day, rows.times[row], read = read_hour(text, start, stop)
    if read and columns.fields[column] != NO_FIELD:
        put_nonzero(rows, nnz, columns.made[first + hour], np.float32(1), columns.fields[column])
        nnz += 1
    if read and columns.seconds[column] != NO_FIELD:
        put_nonzero(rows, nnz, columns.made[first + FIRST_DAY + day], np.float32(1), columns.seconds[column])
        nnz += 1
    return read, nnz
