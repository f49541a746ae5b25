# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The compiled parser of Vowpal Wabbit's text.

Bytes that may end a name are found sixty-four at a time, and it passes from one such mark to the next. All of
a name but its last bytes is hashed on the way; the last bytes of many names are hashed together.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, byte_at, marks_at, trailing_zeros, word_at
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.fields import lookup
from nonzero.fields.hashing import (
    EQUALS,
    NAMES_AT_ONCE,
    begin_name,
    hash_name,
    hash_names,
    put_known,
    put_name,
    to_field,
)
from nonzero.formats import expected
from nonzero.formats.expected import BEGINNING, LENGTH, MASK, WHAT
from nonzero.formats.numbers import label_of_number, scan_number, usual_number, value_within
from nonzero.formats.row_arrays import ROWS, begin_row, end_row
from nonzero.formats.words import EVERY_BYTE, zero_bytes
from nonzero.native import cold, inlined, kernel, outlined, types

NUL: Final = np.uint8(0)
NEWLINE: Final = np.uint8(ord("\n"))
RETURN: Final = np.uint8(ord("\r"))
SPACE: Final = np.uint8(ord(" "))
TAB: Final = np.uint8(ord("\t"))
BAR: Final = np.uint8(ord("|"))
COLON: Final = np.uint8(ord(":"))
QUOTE: Final = np.uint8(ord("'"))

THREE_BYTES: Final = np.uint64(0xFFFFFF)
FOUR_BYTES: Final = np.uint64(0xFFFFFFFF)
ONE, ZERO, MINUS_ONE = (np.uint64(int.from_bytes(head, "little")) for head in (b"1 |", b"0 |", b"-1 |"))
"""What stands before the features of a line, mostly."""

BARRED: Final = np.uint64(ord(" ") | ord("|") << 8)
EQUALS_SIGNS: Final = EVERY_BYTE * np.uint64(EQUALS)

UNSETTLED: Final = np.uint64(5)
"""No kind: how words came before is to be looked at."""

NO_CATEGORY: Final = np.uint64(1 << 16)
"""From here on it is no category."""


@cold
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
def _recall(text, start, size, joint, after, known, table):
    """Return what is known of the `size` bytes at `start`, before `after`: names begin with them and `joint`.

    Returns
    -------
    beginning : uint64
        How the names begin.
    length : intp
        How long that is.
    what : uint64
        The field. From bit 16 on is 0 where a word is a category: the kind that is declared is one, or none
        is, and it first came as one. Else it is that kind, REFUSE also where the line is left alone; or
        UNSETTLED, and from bit 24 on where the field's entry is.
    """
    place = np.intp(0)
    low, high = np.uint64(0), np.uint64(0)
    if size < expected.LONGEST:
        low, high = _text_of(text, start, size, after)
        place = expected.place_of(low, high)
        if expected.is_at(known, place, low, high):
            return word_at(known, place + BEGINNING), size + 1, word_at(known, place + WHAT)
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
    if place:
        kind = what >> np.uint64(16) & np.uint64(255)
        certain = kind == lookup.INFER or kind == UNSETTLED
        expected.keep(known, place, low, high, (size + 1) * certain, beginning, size + 1, what, 0)
    return beginning, size + 1, what


@inlined
def _text_of(text, start, size, after):
    """Return a name and the one byte after it as two words."""
    low, high = expected.text_words(text, start, size)
    last = np.uint64(after) << np.uint64(8 * (size & 7))
    return (low | last, high) if size < 8 else (low, high | last)


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


@inlined
def _usual_head(text, j):
    """Read a label and a space before the ``|``; return where that is, or -1 where there is more, or none."""
    word = word_at(text, j)
    if word & THREE_BYTES == ONE:
        return j + 2, np.float32(1)
    if word & FOUR_BYTES == MINUS_ONE:
        return j + 3, np.float32(0)
    return (j + 2 if word & THREE_BYTES == ZERO else -1), np.float32(0)


@cold
def _find(text, start, known, place):
    """Return where is kept what is known of the namespace at `start` with a word; 0: nowhere.

    From now on it is expected after the one that is kept at `place`.
    """
    size = 0
    while size < expected.LONGEST and byte_at(text, start + size) > SPACE:
        size += 1
    if size == 0 or size == expected.LONGEST or byte_at(text, start + size) != SPACE:
        return np.intp(0)
    low, high = _text_of(text, start, size, SPACE)
    found = expected.place_of(low, high)
    if not expected.is_at(known, found, low, high) or word_at(known, found + MASK) == 0:
        return np.intp(0)
    expected.expect(known, place, found)
    return found


@outlined
def _scan_value(text, start, stop):
    """Read the value ``text[start:stop]``; return it, and whether it is one."""
    number, end, read = scan_number(text, start)
    value = np.float32(number)
    return value, read and end == stop and value_within(value)


@outlined
def _hash(names, n, indices, first):
    """Write the indices of some names: out of the loop, whose registers it would take."""
    hash_names(names, n, indices, first)


@cold
def _read_rest(text, mark, read, known, names, rows, nnz, hashed, separator, table):  # noqa: C901
    """Read a line from the ``|`` at `mark` on, whatever it has.

    Returns
    -------
    mark : intp
        Where the line ends.
    read : bool
        Whether it was read.
    nnz, hashed : intp
        How many nonzeros there are, and of how many of them the indices are written.
    """
    indices, values, fields = rows.indices, rows.values, rows.fields
    byte = BAR if read else NUL
    start = mark + read
    block, marks = start, _marks_of(text, start)
    while read and byte == BAR:
        start = mark + 1
        mark, block, marks = _next_mark(text, block, marks)
        byte = byte_at(text, mark)
        named = mark > start
        beginning, length, what = np.uint64(0), 0, np.uint64(1)
        namespace = start
        if named:
            beginning, length, what = _recall(text, start, mark - start, separator, SPACE, known, table)
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
                if start - block == 64:
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
                equals = _find_equals(text, word_at(text, start), start, mark)
                if equals > start:
                    beginning, length, what = _recall(
                        text, start, equals - start, EQUALS, EQUALS, known, table
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
        mark, byte = mark + 1, NEWLINE
    read = read and byte == NEWLINE
    while byte_at(text, mark) != NEWLINE:
        mark += 1
    return mark, read, nnz, hashed


@kernel(
    types.int64(
        types.uint8.readonly,
        types.int64,
        ROWS,
        types.uint8,
        types.uint64[:, ::1],
        types.uint32[::1],
        lookup.FIELDS,
    )
)
def read_lines(data, end, rows, separator, beginnings, names, table):  # noqa: C901
    """Parse whole lines of text; see :meth:`nonzero.formats.format.Format.read`.

    What is usual is read here: namespaces that came before, with words or values. From what is not on,
    `_read_rest` reads a line.
    """
    text, known = address_of(data), address_of(beginnings)
    values, fields = rows.values, rows.fields
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
        read = True
        mark, rows.labels[r] = _usual_head(text, j)
        if mark < 0:
            mark, read, rows.labels[r], rows.weights[r], rows.ids[r, 0], rows.ids[r, 1] = _scan_head(text, j)
        usual = read
        bar, before, wrong = mark, nnz, 0
        block = mark + 1
        marks = _marks_of(text, block)
        place = np.intp(0)
        ended = False
        while usual and not ended:
            start = mark + 1
            before = nnz
            guess = expected.next_place(known, place)
            if not expected.comes(text, start, known, guess):
                guess = _find(text, start, known, place)
                if guess == 0:
                    usual = False
                    break
            place = guess
            marks &= marks - np.uint64(1)
            if marks == 0:
                block = start
                marks = _marks_of(text, start)
                marks &= marks - np.uint64(1)
                if marks == 0:
                    usual = False
                    break
            length = word_at(known, place + LENGTH)
            start += np.intp(length >> np.uint64(32))
            # The mark of a ``|`` after a space was left out.
            usual = byte_at(text, start) != BAR
            while usual:
                stop = block + trailing_zeros(marks)
                marks &= marks - np.uint64(1)
                if stop == start:
                    usual = False
                    break
                if nnz - hashed == NAMES_AT_ONCE:
                    _hash(names, NAMES_AT_ONCE, rows.indices, hashed)
                    hashed = nnz
                put_known(names, nnz - hashed, word_at(known, place + BEGINNING), length, text, start, stop)
                what = word_at(known, place + WHAT)
                i = np.uintp(nnz)
                fields[i] = np.uint16(what)
                values[i] = np.float32(1)
                nnz += 1
                after = word_at(text, stop) & np.uint64(0xFFFF)
                byte = np.uint8(after)
                if byte == COLON:
                    start = stop + 1
                    if marks == 0:
                        block = start
                        marks = _marks_of(text, block)
                        if marks == 0:
                            usual = False
                            break
                    stop = block + trailing_zeros(marks)
                    marks &= marks - np.uint64(1)
                    value, read = usual_number(text, start, stop)
                    if not read:
                        value, read = _scan_value(text, start, stop)
                        wrong |= not read
                    values[i] = value
                    nnz -= value == 0
                    after = word_at(text, stop) & np.uint64(0xFFFF)
                    byte = np.uint8(after)
                elif what >= NO_CATEGORY:
                    usual = False
                    break
                if after == BARRED:
                    mark = stop + 1
                    break
                if byte == NEWLINE:
                    mark = stop
                    ended = True
                    break
                if byte != SPACE:
                    usual = False
                    break
                start = stop + 1
                if marks == 0:
                    block = start
                    marks = _marks_of(text, start)
                    if marks == 0:
                        usual = False
                        break
        if wrong:
            mark, before, ended = bar, first, False
        if not ended:
            hashed = min(hashed, before)
            mark, read, nnz, hashed = _read_rest(
                text, mark, read, known, names, rows, before, hashed, separator, table
            )
            if not read:
                nnz = first
                hashed = min(hashed, nnz)
        if read:
            lookup.count_fields(table)
        end_row(rows, r, mark, nnz, read)
        j = mark + 1
        r += 1
    _hash(names, nnz - hashed, rows.indices, hashed)
    rows.lines[r] = r
    return r
