# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of an example's features: the object of names and values, of any kind."""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, put_word, word_at
from nonzero.fields import lookup
from nonzero.fields.hashing import EQUALS, begin_name, hash_rest, to_field, to_index
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
)
from nonzero.formats.numbers import scan_number, value_within
from nonzero.formats.row_arrays import put_nonzero
from nonzero.native import inlined, outlined


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
def _read_categories(data, j, scratch, key, beginning, kind, field, rows, nnz):
    """Read a category, or a list of them; `key` is the length of the field's name."""
    worded = kind != lookup.INFER
    listed = data[np.uintp(j)] == ord("[")
    if listed:
        j = past_space(data, j + 1)
        if data[np.uintp(j)] == ord("]"):
            return j + 1, nnz
    while True:
        if data[np.uintp(j)] == QUOTE:
            j, end = copy_string(data, j + 1, scratch, 0)
        elif worded:
            j, end = _copy_word(data, j, scratch, listed)
        else:
            return -1, nnz
        if j < 0:
            return -1, nnz
        index = to_index(hash_rest(beginning, key + 1, address_of(scratch), 0, end))
        put_nonzero(rows, nnz, index, np.float32(1), field)
        # An empty text in a declared field is none.
        nnz += kind == lookup.INFER or (kind == lookup.CATEGORY and end > 0)
        if not listed:
            return j, nnz
        j, more = past_item(data, j, ord("]"))
        if not more:
            return j, nnz


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
        at = lookup.find_field(table, name, 0, key)
        if at:
            field, index = lookup.field_at(table, at), np.uint32(table.words[at + np.uintp(lookup.INDEX)])
            beginning = table.words[at + np.uintp(lookup.BEGINNING)]
        else:
            h = hash_key(scratch, key)
            field, index = to_field(h), to_index(h)
            beginning = begin_name(name, 0, key, EQUALS)
        kind = lookup.kind_at(table, at, name, 0, key)
        c = data[np.uintp(j)]
        textual = c == QUOTE or c == ord("[")
        if kind == lookup.INFER:
            came = lookup.CATEGORY if textual else lookup.NUMBER
            if c != ord("n") and not lookup.agrees(table, at, came, key):
                return -1, nnz
        elif not at and lookup.leaves_new(table, key):
            return -1, nnz
        if kind > lookup.IGNORE or (kind == lookup.NUMBER and c == ord("[")):
            return -1, nnz
        if kind in (lookup.CATEGORY, lookup.IGNORE) or (kind == lookup.INFER and textual):
            j, nnz = _read_categories(data, j, scratch, key, beginning, kind, field, rows, nnz)
        else:
            j, value = _read_amount(data, j)
            if j >= 0 and abs(value) > 0:  # a value of 0 is no nonzero, and null is none
                put_nonzero(rows, nnz, index, value, field)
                nnz += 1
        if j < 0:
            return -1, nnz
        j, more = past_item(data, j, ord("}"))
        if not more:
            return j, nnz
