# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""What is known of names that came before, for compiled parsers: fields come in the same order, line by line.

A parser compares the text with the name that came next the last time. Where it is the same, it has not to
look for its end, to hash it or to ask for its field.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import put_word, word_at
from nonzero.fields.hashing import low_bytes
from nonzero.fields.schema import Schema
from nonzero.native import inlined

BITS: Final = 10  # so many are known at once: fields of a log, not its values

WORDS: Final = 8
"""What is known of a name, a cache line: so many words."""

# Where they are, in bytes: the text, two words; masks of what these are of a word of text, or 0 where a value
# is to be looked at; how the names of categories begin; the field, and more that is the parser's; where the
# name is that came next the last time, and more from bit 32 on; how long the beginning is, from bit 32 on.
TEXT, MASK, BEGINNING, WHAT, LINK, LENGTH = 0, 16, 32, 40, 48, 56

LONGEST: Final = 16
"""The longest text that is known, in bytes."""


class Expected:
    """Names that came before; each reader's own."""

    words: NDArray[np.uint64]
    """uint64[1 + 2**BITS, WORDS]: the first is no name, but what stands before the first of a line."""

    def __init__(self) -> None:
        self.words = np.zeros((1 + 2**BITS, WORDS), np.uint64)
        self._schema: Schema | None = None
        self._changes = -1

    def of(self, schema: Schema) -> NDArray[np.uint64]:
        """Return what is known under a schema: nothing of before it changed."""
        changes = schema.known.changes
        if schema is not self._schema or changes != self._changes:
            self.words[:] = 0
            self.words[0, 0] = 1  # which no text is, with no mask
            self._schema, self._changes = schema, changes
        return self.words


@inlined
def comes(text, start, known, place):
    """Whether the text at `start` begins as the one that is known at `place`."""
    low = word_at(text, start) & word_at(known, place + MASK) ^ word_at(known, place + TEXT)
    high = word_at(text, start + 8) & word_at(known, place + MASK + 8) ^ word_at(known, place + TEXT + 8)
    return low | high == 0


@inlined
def next_place(known, place):
    """Return where the name is that came next the last time."""
    return np.intp(word_at(known, place + LINK) & np.uint64(0xFFFFFFFF))


@inlined
def expect(known, place, following):
    """Take note of which came next."""
    link = word_at(known, place + LINK) & ~np.uint64(0xFFFFFFFF)
    put_word(known, place + LINK, link | np.uint64(following))


@inlined
def text_words(text, start, size):
    """Return up to LONGEST bytes as two words."""
    low = low_bytes(word_at(text, start), min(size, 8))
    return low, low_bytes(word_at(text, start + 8), max(size - 8, 0))


@inlined
def place_of(low, high):
    """Return where a text of these two words is kept, if it is; never 0."""
    h = (low ^ high * np.uint64(0xC2B2AE3D27D4EB4F)) * np.uint64(0x9E3779B97F4A7C15)
    return np.intp(np.uint64(1) + (h >> np.uint64(64 - BITS))) * (8 * WORDS)


@inlined
def is_at(known, place, low, high):
    """Whether it is this text that is known at `place`."""
    return word_at(known, place + TEXT) == low and word_at(known, place + TEXT + 8) == high


@inlined
def keep(known, place, low, high, size, beginning, length, what, more):
    """Keep what is known of a text of `size` bytes, or of none that can be compared with: 0."""
    put_word(known, place + TEXT, low)
    put_word(known, place + TEXT + 8, high)
    put_word(known, place + MASK, low_bytes(~np.uint64(0), min(size, 8)))
    put_word(known, place + MASK + 8, low_bytes(~np.uint64(0), max(size - 8, 0)))
    put_word(known, place + BEGINNING, beginning)
    put_word(known, place + WHAT, what)
    put_word(known, place + LINK, np.uint64(more) << np.uint64(32))
    put_word(known, place + LENGTH, np.uint64(length) << np.uint64(32))
