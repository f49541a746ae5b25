# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The words of JSON as compiled code: strings copied out decoded, white space skipped.

Everything here is as strict as RFC 8259, or stricter: what it refuses (by -1) is left to the plain decoder,
which says why or takes it after all. The bytes end in a newline, with padding behind it; a newline is part of
nothing here, so that no loop needs a test for the end.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import put_word, trailing_zeros, word_at
from nonzero.fields.hashing import finish, mix_word
from nonzero.formats.words import HIGH_BITS, zero_bytes
from nonzero.native import inlined, outlined

MARGIN: Final = 16
"""Strings are copied eight bytes at a time: a scratch buffer is this much longer than the text."""

QUOTE: Final = ord('"')
BACKSLASH: Final = ord("\\")
SLASH: Final = ord("/")
ZERO: Final = ord("0")
NINE: Final = ord("9")


QUOTES: Final = np.uint64(0x0101010101010101 * QUOTE)
BACKSLASHES: Final = np.uint64(0x0101010101010101 * BACKSLASH)
SPACES: Final = np.uint64(0x2020202020202020)


def word_of(text: bytes) -> np.uint64:
    """Return up to eight bytes as a word, the first the lowest."""
    return np.uint64(int.from_bytes(text, "little"))


TRUE: Final = word_of(b"true")
NULL: Final = word_of(b"null")
FALSE: Final = word_of(b"false")
FOUR_BYTES: Final = np.uint64(2**32 - 1)
FIVE_BYTES: Final = np.uint64(2**40 - 1)


@inlined
def hash_key(scratch, length):
    """MurmurHash3 of ``scratch[:length]``, which is padded: quicker than hash_name where names are short."""
    h = np.uint32(0)
    j = 0
    while j + 4 <= length:
        h = mix_word(h, np.uint32(word_at(scratch, j)))
        j += 4
    rest = word_at(scratch, j) & ((np.uint64(1) << np.uint64(8 * (length - j))) - np.uint64(1))
    return finish(h, np.uint32(rest), length)


@inlined
def special_bytes(w):
    """Mark each byte that is no plain part of a string: quote, backslash, control, or not ASCII."""
    controls = np.uint64(w - SPACES) & ~w & HIGH_BITS
    return zero_bytes(w ^ QUOTES) | zero_bytes(w ^ BACKSLASHES) | controls | (w & HIGH_BITS)


@inlined
def past_space(data, j):
    """Skip white space; a newline ends the line and is none."""
    c = data[np.uintp(j)]
    while c == 32 or c == 9 or c == 13:
        j += 1
        c = data[np.uintp(j)]
    return j


@inlined
def past_item(data, j, closing):
    """Skip what stands behind an item; returns whether there is another, too.

    Where the end follows, `j` is behind it; where neither it nor a comma follows, `j` is -1.
    """
    j = past_space(data, j)
    c = data[np.uintp(j)]
    j += 1
    if c == ord(","):
        return past_space(data, j), True
    return (j if c == closing else -1), False


@inlined
def _four_hex(data, j):
    """Return the number that four hexadecimal digits write, or -1."""
    code = 0
    for i in range(j, j + 4):
        c = np.int64(data[np.uintp(i)])
        if ZERO <= c <= NINE:
            code = code * 16 + c - ZERO
        elif ord("a") <= (c | 32) <= ord("f"):
            code = code * 16 + (c | 32) - ord("a") + 10
        else:
            return -1
    return code


@inlined
def _put_utf8(scratch, p, code):
    """Write a character as UTF-8; returns the position after it."""
    if code < 0x80:
        scratch[p] = code
        return p + 1
    if code < 0x800:
        scratch[p] = 0xC0 | code >> 6
        scratch[p + 1] = 0x80 | code & 0x3F
        return p + 2
    if code < 0x10000:
        scratch[p] = 0xE0 | code >> 12
        scratch[p + 1] = 0x80 | code >> 6 & 0x3F
        scratch[p + 2] = 0x80 | code & 0x3F
        return p + 3
    scratch[p] = 0xF0 | code >> 18
    scratch[p + 1] = 0x80 | code >> 12 & 0x3F
    scratch[p + 2] = 0x80 | code >> 6 & 0x3F
    scratch[p + 3] = 0x80 | code & 0x3F
    return p + 4


@outlined
def _copy_multibyte(data, j, scratch, p):  # noqa: C901
    """Copy a run of characters beyond ASCII: valid UTF-8 and nothing else (RFC 3629)."""
    c = data[np.uintp(j)]
    while c >= 0x80:
        # Of the second byte: no overlong forms, no surrogates, nothing past U+10FFFF.
        lowest, highest = 0x80, 0xBF
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
            if c == 0xE0:
                lowest = 0xA0
            elif c == 0xED:
                highest = 0x9F
        elif 0xF0 <= c <= 0xF4:
            more = 3
            if c == 0xF0:
                lowest = 0x90
            elif c == 0xF4:
                highest = 0x8F
        else:
            return -1, p
        scratch[p] = c
        for i in range(1, more + 1):
            c = data[np.uintp(j + i)]
            if c < lowest or c > highest:
                return -1, p
            scratch[p + i] = c
            lowest, highest = 0x80, 0xBF
        j += more + 1
        p += more + 1
        c = data[np.uintp(j)]
    return j, p


@outlined
def _copy_escapes(data, j, scratch, p):  # noqa: C901
    """Copy a run of escapes, decoded; half a surrogate pair is no character."""
    while data[np.uintp(j)] == BACKSLASH:
        c = data[np.uintp(j + 1)]
        if c == ord("u"):
            code = _four_hex(data, j + 2)
            j += 6
            if code < 0 or 0xDC00 <= code <= 0xDFFF:
                return -1, p
            if 0xD800 <= code <= 0xDBFF:
                if data[np.uintp(j)] != BACKSLASH or data[np.uintp(j + 1)] != ord("u"):
                    return -1, p
                low = _four_hex(data, j + 2)
                j += 6
                if low < 0xDC00 or low > 0xDFFF:
                    return -1, p
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            p = _put_utf8(scratch, p, code)
        else:
            if c in (QUOTE, BACKSLASH, SLASH):
                scratch[p] = c
            elif c == ord("n"):
                scratch[p] = 10
            elif c == ord("t"):
                scratch[p] = 9
            elif c == ord("r"):
                scratch[p] = 13
            elif c == ord("b"):
                scratch[p] = 8
            elif c == ord("f"):
                scratch[p] = 12
            else:
                return -1, p
            j += 2
            p += 1
    return j, p


@inlined
def copy_string(data, j, scratch, p):
    """Copy the string that starts at `j`, after its opening quote, decoded, to ``scratch[p:]``.

    Returns the position after the closing quote, or -1 for what is no string of valid UTF-8, and the end of
    the copy.
    """
    while True:
        w = word_at(data, j)
        put_word(scratch, p, w)
        special = special_bytes(w)
        if special == 0:
            j += 8
            p += 8
            continue
        k = np.int64(trailing_zeros(special)) >> 3
        j += k
        p += k
        c = data[np.uintp(j)]
        if c == QUOTE:
            return j + 1, p
        if c == BACKSLASH:
            j, p = _copy_escapes(data, j, scratch, p)
        elif c >= 0x80:
            j, p = _copy_multibyte(data, j, scratch, p)
        else:
            return -1, p
        if j < 0:
            return -1, p
