# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The compiled parser of Vowpal Wabbit's text.

Bytes that may end a name are found sixty-four at a time, and it passes from one such mark to the next. All of
a name but its last bytes is hashed on the way; the last bytes of many names are hashed together.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, byte_at, marks_at, put_word, trailing_zeros, word_at
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.fields import lookup
from nonzero.fields.hashing import (
    EQUALS,
    NAMES_AT_ONCE,
    begin_name,
    hash_name,
    hash_names,
    low_bytes,
    put_name,
    to_field,
)
from nonzero.formats.numbers import label_of_number, scan_number, value_within
from nonzero.formats.row_arrays import BUFFER, ROWS, begin_row, end_row
from nonzero.formats.words import EVERY_BYTE, zero_bytes
from nonzero.native import cold, inlined, kernel, types

NUL: Final = np.uint8(0)
NEWLINE: Final = np.uint8(ord("\n"))
RETURN: Final = np.uint8(ord("\r"))
SPACE: Final = np.uint8(ord(" "))
TAB: Final = np.uint8(ord("\t"))
BAR: Final = np.uint8(ord("|"))
COLON: Final = np.uint8(ord(":"))
QUOTE: Final = np.uint8(ord("'"))

EQUALS_SIGNS: Final = EVERY_BYTE * np.uint64(EQUALS)

UNSETTLED: Final = np.uint64(5)
"""No kind: how words came before is to be looked at."""

NO_CATEGORY: Final = np.uint64(1 << 16)
"""From here on it is no category."""

KNOWN_BITS: Final = 10  # so many names' beginnings are known at once: fields of a log, not its values


@inlined
def _scan_head(text, j):  # noqa: C901
    """Read what stands before the first ``|``.

    Returns
    -------
    end : intp
        Where the ``|`` is.
    read : bool
        Whether it could be read.
    label, weight : float32
        NaN and 1 where there are none.
    start, stop : intp
        Where the tag is; twice -1 where there is none.
    """
    label, weight, tag, stop = np.float32(np.nan), np.float32(1), -1, -1
    words = 0
    tagged = False
    while True:
        while byte_at(text, j) == SPACE:
            j += 1
        if byte_at(text, j) == BAR:
            return j, True, label, weight, tag, stop
        start = j
        byte = byte_at(text, j)
        while byte != SPACE and byte != BAR:
            # A tab, a line's end or a tag that is not ASCII.
            if byte < SPACE or byte > np.uint8(127):
                return j, False, label, weight, -1, -1
            j += 1
            byte = byte_at(text, j)
        if tagged:
            return j, False, label, weight, -1, -1
        if byte_at(text, start) == QUOTE or byte == BAR:
            tagged = True
            start += byte_at(text, start) == QUOTE
            if start < j:
                tag, stop = start, j
            continue
        number, end, read = scan_number(text, start)
        words += 1
        if words == 1:
            label = label_of_number(number)
            read = read and not np.isnan(label)
        elif words == 2:
            weight = np.float32(number)
            read = read and weight >= 0 and weight <= np.float32(MAX_WEIGHT)
        else:
            read = read and words == 3 and number == 0
        if not read or end != j:
            return j, False, label, weight, -1, -1


@inlined
def _marks_of(text, block):
    """Return a bit for each of 64 bytes that may end a name, but for a ``|`` after one of the others.

    A byte up to the space, a colon or a ``|`` may. So ``|site news |ad id`` has two marks a feature.
    """
    others = marks_at(text, block, SPACE, COLON, COLON)
    return others | marks_at(text, block, NUL, BAR, BAR) & ~(others << np.uint64(1))


@inlined
def _next_mark(text, block, marks):
    """Pass to the next mark; return where it is, its block and what marks are left there."""
    while marks == 0:
        block += 64
        marks = _marks_of(text, block)
    return block + trailing_zeros(marks), block, marks & (marks - np.uint64(1))


@inlined
def _recall(text, start, word, size, joint, known, table):
    """Return how a name begins, by the `size` bytes at `start` and then `joint`; how long that is; its field.

    From bit 16 of the field on is 0 where a word is a category: the kind that is declared is one, or none is,
    and it first came as one. Else it is that kind, REFUSE also where the line is left alone; or UNSETTLED,
    and from bit 24 on where the field's entry is.

    Names begin alike over and over. What they begin with is kept in `known`, if it is at most seven bytes,
    and hashed once; `word` is the eight bytes at `start`.
    """
    slot, key = np.intp(0), np.uint64(0)
    if size < 8:
        # By `joint`, not by the byte of the text after them: after ``|a=`` that may be a NUL, and these would
        # be the bytes of ``a`` and an equals sign.
        key = low_bytes(word, size) | np.uint64(joint) << np.uint64(8 * size)
        slot = np.intp(key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - KNOWN_BITS)) * 24
        if word_at(known, slot) == key:
            return word_at(known, slot + 8), size + 1, word_at(known, slot + 16)
    at = lookup.find_field(table, text, start, size)
    if at and joint == EQUALS:
        beginning, field = table.words[at + np.uintp(lookup.BEGINNING)], lookup.field_at(table, at)
    else:
        beginning = begin_name(text, start, start + size, joint)
        field = to_field(hash_name(text, start, start + size))
    if not at and lookup.leaves_new(table, size):
        return beginning, size + 1, np.uint64(field) | lookup.REFUSE << np.uint64(16)
    kind = lookup.kind_at(table, at, text, start, size)
    what = np.uint64(field)
    if kind == lookup.INFER and at and lookup.first_kind(table, at) != lookup.CATEGORY:
        what |= UNSETTLED << np.uint64(16) | np.uint64(at) << np.uint64(24)
    elif kind != lookup.INFER and kind != lookup.CATEGORY:
        what |= kind << np.uint64(16)
    if size < 8:
        put_word(known, slot, key)
        put_word(known, slot + 8, beginning)
        put_word(known, slot + 16, what)
    return beginning, size + 1, what


@cold
def _valued(what, value):
    """Return the value of a feature that has one, of a field that is no category, and whether it is taken."""
    kind = what >> np.uint64(16) & np.uint64(255)
    return (np.float32(0) if kind == lookup.IGNORE else value), kind != lookup.REFUSE


@cold
def _word(what, table, names, k, text, field, size, start, end, scale, value):
    """Return the value of a word of a field that is no category, and whether it is taken.

    One that is a number is named by its field alone, whose name is the `size` bytes at `field`.
    """
    kind = what >> np.uint64(16) & np.uint64(255)
    if kind == lookup.NUMBER:
        put_name(names, k, np.uint64(0), 0, text, field, field + size)
        number, stop, read = scan_number(text, start)
        value = np.float32(number * scale)
        return value, read and stop == end and value_within(value)
    if kind == UNSETTLED:
        return value, lookup.agrees(table, np.uintp(what >> np.uint64(24)), lookup.CATEGORY, size)
    return np.float32(0), kind == lookup.IGNORE


@inlined
def _find_equals(text, word, start, end):
    """Return where the first ``=`` of ``text[start:end]`` is, or -1; `word` is the eight bytes at `start`."""
    j = start
    while True:
        found = zero_bytes(word ^ EQUALS_SIGNS)
        if found:
            j += trailing_zeros(found) >> 3
            return j if j < end else -1
        j += 8
        if j >= end:
            return -1
        word = word_at(text, j)


@kernel(
    types.int64(
        BUFFER, types.int64, ROWS, types.uint8, types.uint64[:, ::1], types.uint64[::1], lookup.FIELDS
    )
)
def read_lines(data, end, rows, separator, beginnings, names, table):  # noqa: C901
    """Parse whole lines of text; see :meth:`nonzero.formats.format.Format.read`."""
    text, known = address_of(data), address_of(beginnings)
    indices, values, fields = rows.indices, rows.values, rows.fields
    r = 0
    nnz = 0
    hashed = 0
    j = 0
    rows.indptr[0] = 0
    lookup.allow_new(table)
    while j < end:
        lookup.begin_fields(table)
        begin_row(rows, r, j, r)
        first = nnz
        j, read, rows.labels[r], rows.weights[r], rows.ids[r, 0], rows.ids[r, 1] = _scan_head(text, j)
        mark, byte = j, BAR if read else NUL
        j += read
        block = j & -64
        marks = _marks_of(text, block) & ~np.uint64(0) << np.uint64(j & 63)
        while read and byte == BAR:
            start = mark + 1
            mark, block, marks = _next_mark(text, block, marks)
            byte = byte_at(text, mark)
            named = mark > start
            beginning, length, what = np.uint64(0), 0, np.uint64(1)
            namespace = start
            if named:
                beginning, length, what = _recall(
                    text, start, word_at(text, start), mark - start, separator, known, table
                )
            scale, unit = 1.0, np.float32(1)
            if byte == COLON:
                scale, stop, read = scan_number(text, mark + 1)
                mark, block, marks = _next_mark(text, block, marks)
                byte = byte_at(text, mark)
                unit = np.float32(scale)
                read = read and named and mark == stop and value_within(unit)
            while read and byte in (SPACE, TAB):
                start = mark + 1
                if byte_at(text, start) == BAR:
                    mark, byte = start, BAR
                    if start & 63 == 0:
                        # The first byte of a block has its mark: what is before it was not seen.
                        _, block, marks = _next_mark(text, block, marks)
                    break
                mark, block, marks = _next_mark(text, block, marks)
                byte = byte_at(text, mark)
                if mark == start:
                    # A feature without a name is for Python.
                    read = byte != COLON
                    continue
                if not named:
                    beginning, length, what = np.uint64(0), 0, np.uint64(1)
                    word = word_at(text, start)
                    equals = _find_equals(text, word, start, mark)
                    if equals > start:
                        beginning, length, what = _recall(
                            text, start, word, equals - start, EQUALS, known, table
                        )
                        start = equals + 1
                if nnz - hashed == NAMES_AT_ONCE:
                    hash_names(names, NAMES_AT_ONCE, indices, hashed)
                    hashed = nnz
                put_name(names, nnz - hashed, beginning, length, text, start, mark)
                i = np.uintp(nnz)  # unsigned: no negative index to look for
                fields[i] = np.uint16(what)
                value = unit
                if byte == COLON:
                    number, stop, read = scan_number(text, mark + 1)
                    mark, block, marks = _next_mark(text, block, marks)
                    byte = byte_at(text, mark)
                    value = np.float32(number * scale)
                    read = read and mark == stop and byte != COLON and value_within(value)
                    if what >= NO_CATEGORY:
                        value, taken = _valued(what, value)
                        read = read and taken
                elif what >= NO_CATEGORY:
                    field = namespace if named else start - length
                    value, read = _word(
                        what, table, names, nnz - hashed, text, field, length - 1, start, mark, scale, value
                    )
                values[i] = value
                nnz += value != 0
        if byte == RETURN and byte_at(text, mark + 1) == NEWLINE:
            mark, block, marks = _next_mark(text, block, marks)
            byte = NEWLINE
        if not read or byte != NEWLINE:
            read = False
            nnz = first
            hashed = min(hashed, nnz)
            while byte != NEWLINE:
                mark, block, marks = _next_mark(text, block, marks)
                byte = byte_at(text, mark)
        if read:
            lookup.count_fields(table)
        end_row(rows, r, mark, nnz, read)
        j = mark + 1
        r += 1
    hash_names(names, nnz - hashed, indices, hashed)
    rows.lines[r] = r
    return r
