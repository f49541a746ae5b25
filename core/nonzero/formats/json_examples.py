# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of JSON examples: one pass over the bytes, an example a line.

It reads what is ordinary, whole and right, and flags every other line for the plain decoder
(:mod:`nonzero.formats.json_plain`), which reads the rare and names the wrong. A line is never accepted here
that the plain decoder refuses, and never read differently.

Each reader of a part takes the position `j` where the part starts, and returns the position after it, or -1
where it leaves the line to the plain decoder.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, trailing_zeros, word_at
from nonzero.batches.limits import MAX_ID, MAX_INDEX, MAX_WEIGHT
from nonzero.fields import lookup
from nonzero.fields.hashing import NO_FIELD
from nonzero.formats.json_features import hash_all, read_features, read_literal, read_value
from nonzero.formats.json_numbers import read_whole
from nonzero.formats.json_text import QUOTE, past_item, past_space, special_bytes, word_of
from nonzero.formats.row_arrays import BUFFER, ROWS, begin_row, end_row
from nonzero.native import inlined, kernel, types

FEATURES: Final = word_of(b"features")
INDICES: Final = word_of(b"indices")
VALUES: Final = word_of(b"values")
LABEL: Final = word_of(b"label")
WEIGHT: Final = word_of(b"weight")
ID: Final = word_of(b"id")
TIME: Final = word_of(b"time")

# Which members an example has been seen to have.
HAS_FEATURES: Final = 1
HAS_INDICES: Final = 2
HAS_VALUES: Final = 4
HAS_LABEL: Final = 8
HAS_WEIGHT: Final = 16
HAS_ID: Final = 32
HAS_TIME: Final = 64

NEWLINE: Final = ord("\n")


@inlined
def read_slot(data, j, rows, nnz):
    """Read a slot into a nonzero."""
    j, slot = read_whole(data, j)
    if j < 0 or slot > MAX_INDEX:
        return -1
    rows.indices[nnz] = np.uint32(slot)
    rows.fields[nnz] = NO_FIELD
    return j


@inlined
def read_slot_value(data, j, rows, nnz):
    """Read the value of a nonzero."""
    j, value = read_value(data, j)
    if j >= 0:
        rows.values[nnz] = value
    return j


@inlined
def read_array(read_one, data, j, rows, nnz):
    """Read an array into nonzeros from `nnz` on; returns their end too."""
    if data[np.uintp(j)] != ord("["):
        return -1, nnz
    j = past_space(data, j + 1)
    if data[np.uintp(j)] == ord("]"):
        return j + 1, nnz
    while True:
        j = read_one(data, j, rows, nnz)
        if j < 0:
            return -1, nnz
        nnz += 1
        j, more = past_item(data, j, ord("]"))
        if not more:
            return j, nnz


@inlined
def read_label(data, j):
    """Read 0, 1, -1, true, false or null."""
    c = data[np.uintp(j)]
    if c == ord("0"):
        return j + 1, np.float32(0)
    if c == ord("1"):
        return j + 1, np.float32(1)
    if c == ord("-") and data[np.uintp(j + 1)] == ord("1"):
        return j + 2, np.float32(0)
    return read_literal(data, j)


@inlined
def read_id(data, j):
    """Pass over a string of ASCII without escapes."""
    if data[np.uintp(j)] != QUOTE:
        return -1
    start = j + 1
    j = start
    special = special_bytes(word_at(data, j))
    while special == 0:
        j += 8
        special = special_bytes(word_at(data, j))
    j += np.int64(trailing_zeros(special)) >> 3
    return j + 1 if data[np.uintp(j)] == QUOTE and j - start <= MAX_ID else -1


@inlined
def member_name(data, j):
    """Read a name of up to eight letters, of which `j` is the first, as a number."""
    w = word_at(data, j)
    special = special_bytes(w)
    if special == 0:
        return (j + 9 if data[np.uintp(j + 8)] == QUOTE else -1), w
    k = np.int64(trailing_zeros(special)) >> 3
    if data[np.uintp(j + k)] != QUOTE:
        return -1, w
    return j + k + 1, w & np.uint64((np.uint64(1) << np.uint64(8 * k)) - np.uint64(1))


@inlined
def read_example(data, j, scratch, rows, row, nnz, known, names, hashed, table):  # noqa: C901
    """Read the example into `row`; returns the number of nonzeros too, and up to which their indices are."""
    first = nnz
    values_end = nnz
    seen = 0
    if data[np.uintp(j)] != ord("{"):
        return -1, nnz, hashed
    j = past_space(data, j + 1)
    while True:
        if data[np.uintp(j)] != QUOTE:
            return -1, nnz, hashed
        j, name = member_name(data, j + 1)
        if j < 0:
            return -1, nnz, hashed
        j = past_space(data, j)
        if data[np.uintp(j)] != ord(":"):
            return -1, nnz, hashed
        j = past_space(data, j + 1)
        if name == FEATURES:
            member = HAS_FEATURES
            j, nnz, hashed = read_features(data, j, scratch, rows, nnz, known, names, hashed, table)
        elif name == LABEL:
            member = HAS_LABEL
            j, rows.labels[row] = read_label(data, j)
        elif name == ID:
            member = HAS_ID
            rows.ids[row, 0] = j + 1
            j = read_id(data, j)
            rows.ids[row, 1] = j - 1
        elif name == WEIGHT:
            member = HAS_WEIGHT
            j, rows.weights[row] = read_value(data, j)
            if not (rows.weights[row] >= 0 and rows.weights[row] <= np.float32(MAX_WEIGHT)):
                return -1, nnz, hashed
        elif name == TIME:
            member = HAS_TIME
            j, rows.times[row] = read_whole(data, j)
        elif name == INDICES:
            member = HAS_INDICES
            hash_all(names, nnz - hashed, rows.indices, hashed)
            j, nnz = read_array(read_slot, data, j, rows, nnz)
            hashed = nnz
        elif name == VALUES:
            member = HAS_VALUES
            j, values_end = read_array(read_slot_value, data, j, rows, first)
        else:
            return -1, nnz, hashed
        if j < 0 or seen & member:
            return -1, nnz, hashed
        seen |= member
        j, more = past_item(data, j, ord("}"))
        if not more:
            break
    if j < 0:
        return -1, nnz, hashed
    if seen & HAS_INDICES:
        if seen & HAS_VALUES:
            if seen & HAS_FEATURES or values_end != nnz:
                return -1, nnz, hashed
        elif seen & HAS_FEATURES:
            return -1, nnz, hashed
        else:
            rows.values[first:nnz] = 1
    elif seen & HAS_VALUES or not seen & HAS_FEATURES:
        return -1, nnz, hashed
    return j, nnz, hashed


@kernel(
    types.int64(BUFFER, types.int64, BUFFER, ROWS, types.uint64[:, ::1], types.uint32[::1], lookup.FIELDS)
)
def read_examples(data, end, scratch, rows, beginnings, names, table):
    """Read the whole lines ``data[:end]`` into `rows`, as many as it has room for; returns how many.

    A line that is empty, unusual or wrong becomes a row without nonzeros, flagged plain.
    """
    room = rows.plain.size  # what should be one line can be thousands: it is a client's body
    j = 0
    row = 0
    nnz = 0
    hashed = 0
    known = address_of(beginnings)
    rows.indptr[0] = 0
    lookup.allow_new(table)
    while j < end and row < room:
        start = j
        begin_row(rows, row, start, row)
        lookup.begin_fields(table)
        j, after, hashed = read_example(
            data, past_space(data, j), scratch, rows, row, nnz, known, names, hashed, table
        )
        if j >= 0:
            j = past_space(data, j)
        read = j >= 0 and data[np.uintp(j)] == NEWLINE
        if read:
            nnz = after
            lookup.count_fields(table)
        else:
            rows.ids[row, 0] = -1
            hashed = min(hashed, nnz)
            j = start
            while data[np.uintp(j)] != NEWLINE:
                j += 1
        end_row(rows, row, j, nnz, read)
        row += 1
        j += 1
    hash_all(names, nnz - hashed, rows.indices, hashed)
    rows.lines[row] = row
    return row
