# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of an example's features: the object of names and values, of any kind."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, put_word, trailing_zeros, word_at
from nonzero.fields import lookup
from nonzero.fields.hashing import (
    EQUALS,
    NAMES_AT_ONCE,
    begin_name,
    hash_names,
    put_known,
    put_name,
    to_field,
)
from nonzero.formats import expected
from nonzero.formats.expected import BEGINNING, LENGTH, LINK, WHAT
from nonzero.formats.json_numbers import copy_number, read_number
from nonzero.formats.json_text import (
    FALSE,
    FIVE_BYTES,
    FOUR_BYTES,
    NULL,
    QUOTE,
    TRUE,
    copy_string,
    hash_key,
    past_item,
    past_space,
    special_bytes,
    word_of,
)
from nonzero.formats.numbers import scan_number, value_within
from nonzero.native import inlined, outlined

QUOTE_COMMA_QUOTE: Final = word_of(b'","')
QUOTE_COMMA_SPACE_QUOTE: Final = word_of(b'", "')
QUOTE_BRACE: Final = word_of(b'"}')
THREE_BYTES: Final = np.uint64(2**24 - 1)
TWO_BYTES: Final = np.uint64(2**16 - 1)


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
def read_literal(data, j):
    """Read true, false or null: 1, 0 or NaN."""
    w = word_at(data, j)
    if w & FOUR_BYTES == TRUE:
        return j + 4, np.float32(1)
    if w & FIVE_BYTES == FALSE:
        return j + 5, np.float32(0)
    return (j + 4 if w & FOUR_BYTES == NULL else -1), np.float32(np.nan)


@inlined
def _read_amount(data, j):
    """Read the value of a field that is no category; NaN for null."""
    c = data[np.uintp(j)]
    if c == QUOTE:  # in a field of numbers
        return _read_number_text(data, j + 1)
    if c == ord("t") or c == ord("f") or c == ord("n"):
        return read_literal(data, j)
    return read_value(data, j)


@inlined
def put_category(names, rows, nnz, hashed, beginning, length, field, text, start, end):
    """Write down a category; its index comes later. Returns up to where the indices are there."""
    if nnz - hashed == NAMES_AT_ONCE:
        hash_all(names, NAMES_AT_ONCE, rows.indices, hashed)
        hashed = nnz
    put_name(names, nnz - hashed, beginning, length, text, start, end)
    rows.values[np.uintp(nnz)] = np.float32(1)
    rows.fields[np.uintp(nnz)] = field
    return hashed


@outlined
def hash_all(names, n, indices, first):
    """Write the indices of some names: out of the loop, whose registers it would take."""
    hash_names(names, n, indices, first)


@inlined
def _read_categories(data, j, scratch, key, beginning, kind, field, rows, nnz, names, hashed):
    """Read a category, or a list of them; `key` is the length of the field's name."""
    worded = kind != lookup.INFER
    listed = data[np.uintp(j)] == ord("[")
    if listed:
        j = past_space(data, j + 1)
        if data[np.uintp(j)] == ord("]"):
            return j + 1, nnz, hashed
    while True:
        if data[np.uintp(j)] == QUOTE:
            j, end = copy_string(data, j + 1, scratch, 0)
        elif worded:
            j, end = _copy_word(data, j, scratch, listed)
        else:
            return -1, nnz, hashed
        if j < 0:
            return -1, nnz, hashed
        text = address_of(scratch)
        hashed = put_category(names, rows, nnz, hashed, beginning, key + 1, field, text, 0, end)
        # An empty text in a declared field is none.
        nnz += kind == lookup.INFER or (kind == lookup.CATEGORY and end > 0)
        if not listed:
            return j, nnz, hashed
        j, more = past_item(data, j, ord("]"))
        if not more:
            return j, nnz, hashed


@outlined
def _read_expected(text, j, known, place, names, indices, values, fields, nnz, hashed):
    """Read features from the name at `j` on, after its quote, while they come in the order of last time.

    They are texts of categories, without escapes, and of ASCII.

    Returns
    -------
    j : intp
        Where the next name is, after its quote; or behind the object.
    ended : bool
        Whether the object ended.
    place : intp
        Where what is known of the last name is.
    nnz, hashed : intp
        How many nonzeros there are, and up to which their indices are.
    """
    while True:
        guess = expected.next_place(known, place)
        if not expected.comes(text, j, known, guess):
            return j, False, place, nnz, hashed
        start = j + np.intp(word_at(known, guess + LINK) >> np.uint64(32))
        stop = start
        special = special_bytes(word_at(text, stop))
        while special == 0:
            stop += 8
            special = special_bytes(word_at(text, stop))
        stop += trailing_zeros(special) >> 3
        after = word_at(text, stop) & FOUR_BYTES
        step, ended = 3, False
        if after & THREE_BYTES != QUOTE_COMMA_QUOTE:
            if after == QUOTE_COMMA_SPACE_QUOTE:
                step = 4
            elif after & TWO_BYTES == QUOTE_BRACE:
                step, ended = 2, True
            else:
                return j, False, place, nnz, hashed
        if stop == start:
            return j, False, place, nnz, hashed
        if nnz - hashed == NAMES_AT_ONCE:
            hash_all(names, NAMES_AT_ONCE, indices, hashed)
            hashed = nnz
        place = guess
        beginning, length = word_at(known, place + BEGINNING), word_at(known, place + LENGTH)
        put_known(names, nnz - hashed, beginning, length, text, start, stop)
        i = np.uintp(nnz)
        fields[i] = np.uint16(word_at(known, place + WHAT))
        values[i] = np.float32(1)
        nnz += 1
        j = stop + step
        if ended:
            return j, True, place, nnz, hashed


@inlined
def _keep(text, start, stop, key, known, place, table, at, kind, field, beginning):
    """Keep what is known of the name whose text, up to that of its value, is this; it came after another.

    Returns where.
    """
    first = lookup.first_kind(table, at) if at else lookup.CATEGORY
    certain = at or table.words[np.uintp(lookup.FULL)] != np.uint64(0)
    certain = certain and (kind == lookup.CATEGORY or (kind == lookup.INFER and first == lookup.CATEGORY))
    if not certain or stop - start > expected.LONGEST:
        return place
    low, high = expected.text_words(text, start, stop - start)
    found = expected.place_of(low, high)
    if not expected.is_at(known, found, low, high):
        expected.keep(known, found, low, high, stop - start, beginning, key + 1, field, stop - start)
    expected.expect(known, place, found)
    return found


@inlined
def read_features(data, j, scratch, rows, nnz, known, names, hashed, table):  # noqa: C901
    """Read the object of features; returns the number of nonzeros too, and up to which their indices are."""
    if data[np.uintp(j)] != ord("{"):
        return -1, nnz, hashed
    j = past_space(data, j + 1)
    if data[np.uintp(j)] == ord("}"):
        return j + 1, nnz, hashed
    text, name = address_of(data), address_of(scratch)
    place = np.intp(0)
    while True:
        if data[np.uintp(j)] != QUOTE:
            return -1, nnz, hashed
        j += 1
        if expected.comes(text, j, known, expected.next_place(known, place)):
            j, ended, place, nnz, hashed = _read_expected(
                text, j, known, place, names, rows.indices, rows.values, rows.fields, nnz, hashed
            )
            if ended:
                return j, nnz, hashed
        begin = j
        j, key = copy_string(data, j, scratch, 0)
        if j < 0:
            return -1, nnz, hashed
        as_written = j - 1 - begin == key
        j = past_space(data, j)
        if data[np.uintp(j)] != ord(":"):
            return -1, nnz, hashed
        j = past_space(data, j + 1)
        at = lookup.find_field(table, name, 0, key)
        if at:
            field = lookup.field_at(table, at)
            beginning = table.words[at + np.uintp(lookup.BEGINNING)]
        else:
            field = to_field(hash_key(scratch, key))
            beginning = begin_name(name, 0, key, EQUALS)
        kind = lookup.kind_at(table, at, name, 0, key)
        c = data[np.uintp(j)]
        textual = c == QUOTE or c == ord("[")
        if kind == lookup.INFER:
            came = lookup.CATEGORY if textual else lookup.NUMBER
            if c != ord("n") and not lookup.agrees(table, at, came, key):
                return -1, nnz, hashed
        elif not at and lookup.leaves_new(table, key):
            return -1, nnz, hashed
        if kind > lookup.IGNORE or (kind == lookup.NUMBER and c == ord("[")):
            return -1, nnz, hashed
        if kind in (lookup.CATEGORY, lookup.IGNORE) or (kind == lookup.INFER and textual):
            if c == QUOTE and as_written:
                place = _keep(text, begin, j + 1, key, known, place, table, at, kind, field, beginning)
            j, nnz, hashed = _read_categories(
                data, j, scratch, key, beginning, kind, field, rows, nnz, names, hashed
            )
        else:
            hashed = put_category(names, rows, nnz, hashed, np.uint64(0), 0, field, name, 0, key)
            j, value = _read_amount(data, j)
            if j >= 0 and abs(value) > 0:  # a value of 0 is no nonzero, and null is none
                rows.values[np.uintp(nnz)] = value
                nnz += 1
        if j < 0:
            return -1, nnz, hashed
        j, more = past_item(data, j, ord("}"))
        if not more:
            return j, nnz, hashed
