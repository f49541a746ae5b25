# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,attr-defined,assignment"
"""Compiled: texts to indices, codes of a dictionary to what they stand for, and columns to rows.

A *cell* is what a value of a column is as a nonzero, in 32 bits: of a category its index, or NONE where there
is none; of a number the bits of its value as float32, of which 0 is no nonzero.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import address_of
from nonzero.fields.hashing import NAMES_AT_ONCE, hash_names, put_name
from nonzero.native import kernel, types

_BYTES: Final = types.uint8.readonly
_CELLS: Final = types.uint32[::1]

NONE: Final = np.uint32(0xFFFFFFFF)
"""The cell of a category that has no value: no index is so large."""


ROWS_INTERLEAVED: Final = 128
"""So many rows of cells are written before the next ones."""


@kernel(
    types.void(
        _BYTES,
        types.int64.readonly,
        _BYTES,
        types.int64,
        types.int64,
        types.int64,
        types.uint32[::1],
        _CELLS,
    )
)
def hash_texts(data, offsets, valid, beginning, length, empty, names, cells):
    """Hash the name of each text's feature: what begins it, `length` long, and the text.

    The texts are ``data[offsets[i]:offsets[i + 1]]``; eight bytes behind the last may be read. One that is
    not `valid` (where there is such an array), or is empty where `empty` is 0, is NONE.
    """
    text = address_of(data)
    beginning = np.uint64(beginning)
    n = offsets.size - 1
    for first in range(0, n, NAMES_AT_ONCE):
        count = min(n - first, NAMES_AT_ONCE)
        for i in range(count):
            put_name(names, i, beginning, length, text, offsets[first + i], offsets[first + i + 1])
        hash_names(names, count, cells, first)
    for r in range(n):
        if (empty == 0 and offsets[r + 1] == offsets[r]) or (valid.size > 0 and valid[r] == 0):
            cells[r] = NONE


@kernel(types.boolean(types.int32.readonly, _BYTES, types.uint32.readonly, types.int64, _CELLS))
def gather(codes, valid, entries, none, cells):
    """Write the entry of a dictionary that each code stands for; return whether all codes are of entries.

    A code that is not `valid` (where there is such an array) may be anything, and is `none`.
    """
    size = np.uint32(entries.size)
    nothing = np.uint32(none)
    known = True
    if valid.size == 0:
        for r in range(codes.size):
            code = np.uint32(codes[r])
            inside = code < size
            known &= inside
            cells[r] = entries[np.uintp(code)] if inside else nothing
        return known
    for r in range(codes.size):
        code = np.uint32(codes[r])
        there = valid[r] != 0
        inside = code < size
        known &= inside | (not there)
        cells[r] = entries[np.uintp(code)] if inside & there else nothing
    return known


@kernel(types.boolean(types.uint32.readonly, types.int64, types.int64, types.int64, _CELLS))
def interleave(cells, first, stride, columns, indices):
    """Write cells as rows, those of a column from `first` on; return whether all of them are there.

    The cells of the next column are `stride` behind.
    """
    there = True
    n = indices.size // columns
    # Some rows at a time, whose part of a column is read in order, and which the cache holds meanwhile.
    for begin in range(0, n, ROWS_INTERLEAVED):
        stop = min(begin + ROWS_INTERLEAVED, n)
        for c in range(columns):
            at = c * stride + first
            for r in range(begin, stop):
                cell = cells[np.uintp(at + r)]
                there &= cell != NONE
                indices[np.uintp(r * columns + c)] = cell
    return there


class CellPlaces(NamedTuple):
    """Where the cells of each column are."""

    starts: NDArray[np.int64]
    """int64[columns]: where a column's cells begin."""
    lists: NDArray[np.int64]
    """int64[columns]: of a column of lists, where its offsets begin; -1 where each row has one cell."""
    constants: NDArray[np.int64]
    """int64[columns]: of a column of numbers, the index of its feature; -1 for categories."""
    fields: NDArray[np.uint16]
    """uint16[columns]: the number of each column's field."""
    offsets: NDArray[np.int64]
    """int64: of each column of lists, where each row's cells begin among its own, and the end of the last."""


_PLACES: Final = types.like(
    CellPlaces(
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        np.empty(0, np.uint16),
        np.empty(0, np.int64),
    )
)


class RowsOut(NamedTuple):
    """Where rows are written."""

    indptr: NDArray[np.int64]
    """int64[rows + 1]."""
    indices: NDArray[np.uint32]
    """uint32: room for all cells."""
    values: NDArray[np.float32]
    """float32: the same."""
    fields: NDArray[np.uint16]
    """uint16: the same."""


_ROWS_OUT: Final = types.like(
    RowsOut(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32), np.empty(0, np.uint16))
)


@kernel(
    types.boolean(types.uint8.readonly, _PLACES, types.uint32.readonly, types.float32.readonly, _ROWS_OUT)
)
def merge_columns(kept, places, cells, numbers, out):
    """Write the cells of columns as rows, of the rows that are `kept`; return whether a value is not 1.

    `numbers` is the memory of `cells`, as float32.
    """
    columns = places.starts.size
    row, nnz, valued = 0, 0, False
    out.indptr[0] = 0
    for r in range(kept.size):
        if kept[r] == 0:
            continue
        for c in range(columns):
            at = places.starts[c]
            stop = at + r + 1
            if places.lists[c] < 0:
                at += r
            else:
                place = places.lists[c] + r
                stop = at + places.offsets[np.uintp(place + 1)]
                at += places.offsets[np.uintp(place)]
            constant = places.constants[c]
            for j in range(at, stop):
                index, value = cells[np.uintp(j)], np.float32(1)
                there = index != NONE
                if constant >= 0:
                    index, value = np.uint32(constant), numbers[np.uintp(j)]
                    there = value != np.float32(0)
                    valued |= there & (value != np.float32(1))
                out.indices[np.uintp(nnz)] = index
                out.values[np.uintp(nnz)] = value
                out.fields[np.uintp(nnz)] = places.fields[c]
                nnz += there
        row += 1
        out.indptr[np.uintp(row)] = nnz
    return valued
