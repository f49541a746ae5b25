# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of an example's features: the object of names and values, of any kind."""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, put_word, word_at
from nonzero.compiled import inlined, outlined
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
    past_space,
)
from nonzero.formats.numbers import scan_number, value_within
from nonzero.formats.row_arrays import put_nonzero

__all__ = ["read_features", "read_value"]


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
        if kind == lookup.INFER:
            came = lookup.CATEGORY if c == QUOTE or c == ord("[") else lookup.NUMBER
            if c != ord("n") and not lookup.agrees(table, at, came, key):
                return -1, nnz
        elif not at and lookup.leaves_new(table, key):
            return -1, nnz
        if kind > lookup.IGNORE:
            return -1, nnz
        worded = kind in (lookup.CATEGORY, lookup.IGNORE)
        if worded or c == ord("[") or (c == QUOTE and kind == lookup.INFER):
            listed = c == ord("[")
            if listed:
                if kind == lookup.NUMBER:
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
                    nnz += kind == lookup.INFER or (kind == lookup.CATEGORY and end > 0)
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
