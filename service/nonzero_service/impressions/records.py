# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""What a record is: an impression as 32-bit words.

A record, little-endian, in words::

    0      the record's length, in words         6   probability that was answered, float32
    1      nonzeros                              7   importance weight, float32
    2, 3   hash of the id, 64 bits               8   bytes of the id; from bit 16 on: values, fields, usual
    4, 5   the journal's clock, ms, 64 bits      9, 10   checksum over everything else, 64 bits
    11 ... indices; values, where not all are 1; fields, two a word; the id, four bytes a word

Where the fields are *usual*, they are those that stand before the records of the row, once for all of them.

The checksum tells a record that was torn by a power cut, or a flipped bit. It is FNV-1a over words, four
sums side by side: each step of one has to wait for the step before it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.native import inlined

HEAD: Final = 11
"""The words of a record before its indices."""

VALUES: Final = 1 << 16
FIELDS: Final = 1 << 17
USUAL: Final = 1 << 18

OFFSET = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@inlined
def words_of(nnz, flags):
    """The length of a record, by what it says it holds: anyone can make its checksum right."""
    words = HEAD + nnz + (np.intp(flags & np.uint32(0xFFFF)) + 3) // 4
    if flags & np.uint32(VALUES):
        words += nnz
    if flags & np.uint32(FIELDS):
        words += (nnz + 1) // 2
    return words


@inlined
def mixed(h, words, j):
    """Take one word into a sum."""
    return (h ^ np.uint64(words[np.uintp(j)])) * PRIME


@inlined
def checksum(words, start, size):
    """Digest a record but for its words 9 and 10."""
    a = mixed(mixed(OFFSET, words, start), words, start + 4)
    b = mixed(mixed(OFFSET, words, start + 1), words, start + 5)
    c = mixed(mixed(OFFSET, words, start + 2), words, start + 6)
    d = mixed(mixed(OFFSET, words, start + 3), words, start + 7)
    a = mixed(a, words, start + 8)
    j, end = start + HEAD, start + size
    while j + 4 <= end:
        a, b = mixed(a, words, j), mixed(b, words, j + 1)
        c, d = mixed(c, words, j + 2), mixed(d, words, j + 3)
        j += 4
    while j < end:
        a = mixed(a, words, j)
        j += 1
    return (((a * PRIME ^ b) * PRIME ^ c) * PRIME ^ d) * PRIME
