# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Compiled look-ups of fields by their whole names: the hash first, then every byte.

The table is made and added to by Python (:class:`nonzero.fields.known.Known`), under its lock, an entry's
first word last. Compiled code only reads it, in any number of threads. What a call finds to be counted it
writes into an array of its own, of a row only when the row is read: a row that is left to the plain parser
has counted nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import address_of, byte_at, word_at
from nonzero.fields.hashing import EQUALS, begin_name, hash_name, low_bytes, to_field, to_index
from nonzero.native import cold, inlined, kernel, types

# Kinds, as bytes. IGNORE and REFUSE are never what a value came as.
INFER: Final = np.uint64(0)
CATEGORY: Final = np.uint64(1)
NUMBER: Final = np.uint64(2)
IGNORE: Final = np.uint64(3)
REFUSE: Final = np.uint64(4)

# The words before the entries: the number of slots less 1, the kind of all other fields, whether no name is
# added any more, how many patterns there are, where the entries begin. Then the patterns, three words each:
# start and stop in the text, and the kind.
MASK, DEFAULT, FULL, PATTERNS, BEGIN, PATTERN_WORDS = range(6)

# The words of an entry, a cache line: the length + 1 and, from bit 32 on, a part of the hash; the first
# eight bytes of the name; the last eight of one that is longer; where it is in the text; the kind, from bit 8
# on the kind that it first came in under INFER, from bit 16 on the field's number; how ``name=`` begins a
# feature's name (:func:`nonzero.fields.hashing.begun`); the index of the name itself.
ENTRY: Final = 8
KEY, HEAD, TAIL, PLACE, WHAT, BEGINNING, INDEX = range(7)

TRACKED: Final = 255
"""The longest name that is known, in bytes."""

MOST_LOOKS: Final = 32
"""So many entries are looked at for room for a name; for a declared one, as many as it takes."""

DECLARED: Final = 256
"""What is added to the kind of a declared name."""

NEW_LINES: Final = 8
"""In one call at most so many lines are left to the plain parser, which makes their new names known."""

# What is counted: how many conflicts the row has so far; how many more lines with new names are left alone;
# LEFT or COUNTED, once a line was, or a conflict; the conflicts of the row, as places of entries; the counts
# by slot.
ROW, BUDGET, EVENTS, LOGGED = range(4)
LEFT, COUNTED = 1, 2
LOG: Final = 256
"""A row with more conflicts is left to the plain parser."""


class FieldTable(NamedTuple):
    """What compiled parsers know of fields."""

    words: NDArray[np.uint64]
    """uint64: what is said above, then the entries, with open addressing."""
    text: NDArray[np.uint8]
    """uint8: the names and patterns."""
    noted: NDArray[np.int64]
    """int64: what is counted; each reader's own."""


FIELDS: Final = types.NamedTuple((types.uint64[::1], types.uint8[::1], types.int64[::1]), FieldTable)


@inlined
def name_words(name, start, length):
    """Return the first eight bytes of a name, the last eight of a longer one (else 0), and their hash."""
    head = low_bytes(word_at(name, start), min(length, 8))
    tail = word_at(name, start + length - 8) if length > 8 else np.uint64(0)
    h = (head ^ np.uint64(length)) * np.uint64(0x9E3779B97F4A7C15) ^ tail * np.uint64(0xC2B2AE3D27D4EB4F)
    return head, tail, h ^ h >> np.uint64(29)


@inlined
def find_field(table, name, start, length):
    """Return where the entry of a name is, or 0; eight bytes behind the name may be read."""
    words = table.words
    head, tail, h = name_words(name, start, length)
    key = np.uint64(length + 1) | h & np.uint64(0xFFFFFFFF00000000)
    slot = h & words[MASK]
    while True:
        at = np.uintp(words[BEGIN] + slot * np.uint64(ENTRY))
        found = words[at]
        if found == key and words[at + np.uintp(HEAD)] == head and words[at + np.uintp(TAIL)] == tail:
            if length <= 16 or _same(name, start, table.text, np.intp(words[at + np.uintp(PLACE)]), length):
                return at
        elif found == np.uint64(0):
            return np.uintp(0)
        slot = (slot + np.uint64(1)) & words[MASK]


@cold
def _same(name, start, text, place, length):
    """Whether two names are the same, of which the first and the last eight bytes are."""
    known = address_of(text)
    alike = True
    for j in range(8, length - 8, 8):
        alike = alike and word_at(name, start + j) == word_at(known, place + j)
    return alike


@kernel(types.UniTuple(types.uint64, 2)(types.uint64[::1], types.uint8.readonly, types.int64, types.int64))
def put_entry(words, padded, place, kind):
    """Write the entry of a name that has none, which is followed by eight bytes, but for its first word.

    Returns where it is, or 0 where there is no room nearby: the names were chosen to be alike; and the first
    word. Who reads at the same time finds the entry when that is written.
    """
    name, length = address_of(padded), padded.size - 8
    head, tail, h = name_words(name, 0, length)
    slot, looks = h & words[MASK], 0
    at = np.uintp(words[BEGIN] + slot * np.uint64(ENTRY))
    while words[at]:
        slot = (slot + np.uint64(1)) & words[MASK]
        at = np.uintp(words[BEGIN] + slot * np.uint64(ENTRY))
        looks += 1
        if looks == MOST_LOOKS and kind < DECLARED:
            return np.uint64(0), np.uint64(0)
    whole = hash_name(name, 0, length)
    words[at + np.uintp(HEAD)] = head
    words[at + np.uintp(TAIL)] = tail
    words[at + np.uintp(PLACE)] = np.uint64(place)
    words[at + np.uintp(WHAT)] = np.uint64(kind & 255) | np.uint64(to_field(whole)) << np.uint64(16)
    words[at + np.uintp(BEGINNING)] = begin_name(name, 0, length, EQUALS)
    words[at + np.uintp(INDEX)] = np.uint64(to_index(whole))
    return np.uint64(at), np.uint64(length + 1) | h & np.uint64(0xFFFFFFFF00000000)


@inlined
def kind_at(table, at, name, start, length):
    """Return the kind of the name whose entry is at `at`, or of one that has none."""
    if at:
        return table.words[at + np.uintp(WHAT)] & np.uint64(255)
    if table.words[PATTERNS]:
        return _kind_by_pattern(table, name, start, length)
    return table.words[DEFAULT]


@cold
def _kind_by_pattern(table, name, start, length):
    """Return the kind of the first pattern that a name fits, else the default."""
    words = table.words
    for i in range(words[PATTERNS]):
        at = np.uintp(PATTERN_WORDS + 3 * i)
        begin, stop = np.intp(words[at]), np.intp(words[at + np.uintp(1)])
        if _fits(address_of(table.text), begin, stop, name, start, start + length):
            return words[at + np.uintp(2)]
    return words[DEFAULT]


@inlined
def _fits(pattern, p, p_end, name, s, s_end):
    """Whether a name fits a pattern, whose stars stand for any text; the last star takes what it must."""
    star, mark = -1, s
    while s < s_end:
        if p < p_end and byte_at(pattern, p) == np.uint8(42):
            star, mark = p, s
            p += 1
        elif p < p_end and byte_at(pattern, p) == byte_at(name, s):
            p += 1
            s += 1
        elif star >= 0:
            mark += 1
            p, s = star + 1, mark
        else:
            return False
    while p < p_end and byte_at(pattern, p) == np.uint8(42):
        p += 1
    return p == p_end


@inlined
def first_kind(table, at):
    """Return the kind that an undeclared field first came in; INFER where it has not come yet."""
    return table.words[at + np.uintp(WHAT)] >> np.uint64(8) & np.uint64(255)


@inlined
def field_at(table, at):
    """Return the number of the field whose entry is at `at`."""
    return np.uint16(table.words[at + np.uintp(WHAT)] >> np.uint64(16))


@inlined
def leaves_new(table, length):
    """Whether a line with a new name of this length is left to the plain parser, which makes it known."""
    if table.words[FULL] != np.uint64(0) or length > TRACKED or table.noted[BUDGET] == 0:
        return False
    table.noted[BUDGET] -= 1
    table.noted[EVENTS] |= LEFT
    return True


@inlined
def agrees(table, at, came, length):
    """Take note of the kind that a value of an undeclared field came in; False: leave the line alone."""
    if not at:
        return not leaves_new(table, length)
    first = first_kind(table, at)
    if first == came:
        return True
    if first == INFER:
        return not leaves_new(table, length)
    return note_conflict(table, at)


@cold
def note_conflict(table, at):
    """Take note of a conflict in the row; False where there are too many."""
    n = table.noted[ROW]
    if n == LOG:
        return False
    table.noted[LOGGED + n] = np.int64(at)
    table.noted[ROW] = n + 1
    return True


@inlined
def allow_new(table):
    """Begin a call."""
    table.noted[BUDGET] = NEW_LINES


@inlined
def begin_fields(table):
    """Begin a row: what was noted of one that was not read is forgotten."""
    table.noted[ROW] = 0


@inlined
def count_fields(table):
    """Count what was noted of a row that was read."""
    if table.noted[ROW]:
        _count(table)


@cold
def _count(table):
    for i in range(table.noted[ROW]):
        slot = (table.noted[LOGGED + i] - np.int64(table.words[BEGIN])) // ENTRY
        table.noted[LOGGED + LOG + slot] += 1
    table.noted[EVENTS] |= COUNTED
    table.noted[ROW] = 0
