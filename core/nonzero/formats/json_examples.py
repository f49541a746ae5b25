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

from nonzero.arithmetic.intrinsics import address_of, put_word, trailing_zeros, word_at
from nonzero.batches.limits import MAX_ID, MAX_INDEX, MAX_WEIGHT
from nonzero.compiled import inlined, kernel, outlined, types
from nonzero.fields.hashing import EQUALS, NO_FIELD, begin_name, hash_rest, to_field, to_index
from nonzero.fields.lookup import (
    BEGINNING,
    CATEGORY,
    FIELDS,
    IGNORE,
    INDEX,
    INFER,
    NUMBER,
    agrees,
    allow_new,
    begin_fields,
    count_fields,
    field_at,
    find_field,
    kind_at,
    leaves_new,
)
from nonzero.formats.json_text import (
    QUOTE,
    copy_number,
    copy_string,
    hash_key,
    past_space,
    read_number,
    read_whole,
    special_bytes,
)
from nonzero.formats.numbers import scan_number, value_within
from nonzero.formats.row_arrays import BUFFER, ROWS, begin_row, end_row, put_nonzero

__all__ = ["read_examples"]


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


FEATURES: Final = _word(b"features")
INDICES: Final = _word(b"indices")
VALUES: Final = _word(b"values")
LABEL: Final = _word(b"label")
WEIGHT: Final = _word(b"weight")
ID: Final = _word(b"id")
TIME: Final = _word(b"time")
TRUE: Final = _word(b"true")
NULL: Final = _word(b"null")
FALSE: Final = _word(b"false")
FOUR_BYTES: Final = np.uint64(2**32 - 1)
FIVE_BYTES: Final = np.uint64(2**40 - 1)

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
def read_value(data, j):
    """Read a feature's value."""
    j, value = read_number(data, j)
    return (j if value_within(value) else -1), value


@outlined
def _copy_word(data, j, scratch, listed):
    """Copy the text that a number or a truth is as a category; of null, which no list holds, there is none.

    Returns the position after it, or -1 where it is none of them, and the end of the copy.
    """
    w = word_at(data, j)
    if w & FOUR_BYTES == TRUE:
        put_word(scratch, 0, w)
        return j + 4, 4
    if w & FIVE_BYTES == FALSE:
        put_word(scratch, 0, w)
        return j + 5, 5
    if w & FOUR_BYTES == NULL and not listed:
        return j + 4, 0
    return copy_number(data, j, scratch, 0)


@outlined
def _read_number_text(data, j):
    """Read a text that is a number, after its opening quote."""
    number, j, read = scan_number(data, j)
    value = np.float32(number)
    read = read and data[np.uintp(j)] == QUOTE and value_within(value)
    return (j + 1 if read else -1), value


@inlined
def read_features(data, j, scratch, rows, nnz, table):  # noqa: C901
    """Read the object of features; returns the number of nonzeros too."""
    if data[np.uintp(j)] != ord("{"):
        return -1, nnz
    j = past_space(data, j + 1)
    if data[np.uintp(j)] == ord("}"):
        return j + 1, nnz
    while True:
        if data[np.uintp(j)] != QUOTE:
            return -1, nnz
        j, key = copy_string(data, j + 1, scratch, 0)
        if j < 0:
            return -1, nnz
        j = past_space(data, j)
        if data[np.uintp(j)] != ord(":"):
            return -1, nnz
        j = past_space(data, j + 1)
        name = address_of(scratch)
        at = find_field(table, name, 0, key)
        if at:
            field, index = field_at(table, at), np.uint32(table.words[at + np.uintp(INDEX)])
            beginning = table.words[at + np.uintp(BEGINNING)]
        else:
            h = hash_key(scratch, key)
            field, index = to_field(h), to_index(h)
            beginning = begin_name(name, 0, key, EQUALS)
        kind = kind_at(table, at, name, 0, key)
        c = data[np.uintp(j)]
        if kind == INFER:
            came = CATEGORY if c == QUOTE or c == ord("[") else NUMBER
            if c != ord("n") and not agrees(table, at, came, key):
                return -1, nnz
        elif not at and leaves_new(table, key):
            return -1, nnz
        if kind > IGNORE:
            return -1, nnz
        worded = kind in (CATEGORY, IGNORE)
        if worded or c == ord("[") or (c == QUOTE and kind == INFER):
            listed = c == ord("[")
            if listed:
                if kind == NUMBER:
                    return -1, nnz
                j = past_space(data, j + 1)
                c = data[np.uintp(j)]
            if listed and c == ord("]"):
                j += 1
            else:
                while True:
                    if data[np.uintp(j)] == QUOTE:
                        j, end = copy_string(data, j + 1, scratch, 0)
                    elif worded:
                        j, end = _copy_word(data, j, scratch, listed)
                    else:
                        return -1, nnz
                    if j < 0:
                        return -1, nnz
                    whole = to_index(hash_rest(beginning, key + 1, name, 0, end))
                    put_nonzero(rows, nnz, whole, np.float32(1), field)
                    # An empty text in a declared field is none.
                    nnz += kind == INFER or (kind == CATEGORY and end > 0)
                    if not listed:
                        break
                    j = past_space(data, j)
                    c = data[np.uintp(j)]
                    j += 1
                    if c == ord("]"):
                        break
                    if c != ord(","):
                        return -1, nnz
                    j = past_space(data, j)
        else:
            value = np.float32(1)
            if c == QUOTE:  # in a field of numbers
                j, value = _read_number_text(data, j + 1)
                if j < 0:
                    return -1, nnz
            elif c == ord("t"):
                if word_at(data, j) & FOUR_BYTES != TRUE:
                    return -1, nnz
                j += 4
            elif c == ord("f"):
                if word_at(data, j) & FIVE_BYTES != FALSE:
                    return -1, nnz
                j += 5
                value = np.float32(0)
            elif c == ord("n"):
                if word_at(data, j) & FOUR_BYTES != NULL:
                    return -1, nnz
                j += 4
                value = np.float32(0)
            else:
                j, value = read_value(data, j)
                if j < 0:
                    return -1, nnz
            if value != 0:  # a value of 0 is no nonzero
                put_nonzero(rows, nnz, index, value, field)
                nnz += 1
        j = past_space(data, j)
        c = data[np.uintp(j)]
        j += 1
        if c == ord("}"):
            return j, nnz
        if c != ord(","):
            return -1, nnz
        j = past_space(data, j)


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
        j = past_space(data, j)
        c = data[np.uintp(j)]
        j += 1
        if c == ord("]"):
            return j, nnz
        if c != ord(","):
            return -1, nnz
        j = past_space(data, j)


@inlined
def read_label(data, j):
    """Read 0, 1, -1, true, false or null."""
    c = data[np.uintp(j)]
    w = word_at(data, j)
    if c == ord("0"):
        return j + 1, np.float32(0)
    if c == ord("1"):
        return j + 1, np.float32(1)
    if c == ord("-") and data[np.uintp(j + 1)] == ord("1"):
        return j + 2, np.float32(0)
    if w & FOUR_BYTES == TRUE:
        return j + 4, np.float32(1)
    if w & FIVE_BYTES == FALSE:
        return j + 5, np.float32(0)
    if w & FOUR_BYTES == NULL:
        return j + 4, np.float32(np.nan)
    return -1, np.float32(np.nan)


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
def read_example(data, j, scratch, rows, row, nnz, table):  # noqa: C901
    """Read the example into `row`; returns the number of nonzeros too."""
    first = nnz
    values_end = nnz
    seen = 0
    if data[np.uintp(j)] != ord("{"):
        return -1, nnz
    j = past_space(data, j + 1)
    while True:
        if data[np.uintp(j)] != QUOTE:
            return -1, nnz
        j, name = member_name(data, j + 1)
        if j < 0:
            return -1, nnz
        j = past_space(data, j)
        if data[np.uintp(j)] != ord(":"):
            return -1, nnz
        j = past_space(data, j + 1)
        if name == FEATURES:
            member = HAS_FEATURES
            j, nnz = read_features(data, j, scratch, rows, nnz, table)
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
                return -1, nnz
        elif name == TIME:
            member = HAS_TIME
            j, rows.times[row] = read_whole(data, j)
        elif name == INDICES:
            member = HAS_INDICES
            j, nnz = read_array(read_slot, data, j, rows, nnz)
        elif name == VALUES:
            member = HAS_VALUES
            j, values_end = read_array(read_slot_value, data, j, rows, first)
        else:
            return -1, nnz
        if j < 0 or seen & member:
            return -1, nnz
        seen |= member
        j = past_space(data, j)
        c = data[np.uintp(j)]
        j += 1
        if c == ord("}"):
            break
        if c != ord(","):
            return -1, nnz
        j = past_space(data, j)
    if seen & HAS_INDICES:
        if seen & HAS_VALUES:
            if seen & HAS_FEATURES or values_end != nnz:
                return -1, nnz
        elif seen & HAS_FEATURES:
            return -1, nnz
        else:
            rows.values[first:nnz] = 1
    elif seen & HAS_VALUES or not seen & HAS_FEATURES:
        return -1, nnz
    return j, nnz


@kernel(types.int64(BUFFER, types.int64, BUFFER, ROWS, FIELDS))
def read_examples(data, end, scratch, rows, table):
    """Read the whole lines ``data[:end]`` into `rows`; returns how many they are.

    A line that is empty, unusual or wrong becomes a row without nonzeros, flagged plain.
    """
    j = 0
    row = 0
    nnz = 0
    rows.indptr[0] = 0
    allow_new(table)
    while j < end:
        start = j
        begin_row(rows, row, start, row)
        begin_fields(table)
        j, after = read_example(data, past_space(data, j), scratch, rows, row, nnz, table)
        if j >= 0:
            j = past_space(data, j)
        read = j >= 0 and data[np.uintp(j)] == NEWLINE
        if read:
            nnz = after
            count_fields(table)
        else:
            rows.ids[row, 0] = -1
            j = start
            while data[np.uintp(j)] != NEWLINE:
                j += 1
        end_row(rows, row, j, nnz, read)
        row += 1
        j += 1
    rows.lines[row] = row
    return row
