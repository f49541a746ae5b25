# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Feature name -> index, and field name -> field: MurmurHash3, compiled.

A feature's **index** is ``abs(h)`` of the signed MurmurHash3 (x86, 32 bit, seed 0) of its UTF-8 name, a
``uint32`` up to 2**31; its **slot** in a table of ``2**bits`` is the low bits of that. That is exactly the
column that scikit-learn's ``FeatureHasher(n_features=2**bits, alternate_sign=False)`` gives.

A **field** is the group that a feature came from: the name before ``=``, the VW namespace, the column.
Fields are numbered by the hash of their name too (16 bits of it, never 0), so that rows carry no
dictionary: batches and journals from anywhere agree. :data:`NO_FIELD` marks a feature that was given by its
index and so has none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import address_of, choose, put_halves, word_at
from nonzero.native import inlined, kernel, types

NO_FIELD: Final = 0
"""The field of a feature that was given by its index."""

BYTES = types.uint8.readonly
EQUALS: Final = np.uint8(ord("="))


NAMES_AT_ONCE: Final = 256
"""So many names are hashed at once."""

# What is written down of names of which all but the last part is hashed, each as two uint32, so that a vector
# holds many: what is :func:`begun`; the next eight bytes of its text, of which only the name's are not 0; how
# many these are, and how long the whole name is.
BEGUN, WORD, SIZES = (2 * row * NAMES_AT_ONCE for row in range(3))
LOW_BYTES: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
NAME_WORDS: Final = 6 * NAMES_AT_ONCE


@inlined
def rotate_left(x, r):
    """Rotate 32 bits left by `r`."""
    return np.uint32(np.uint32(x << np.uint32(r)) | np.uint32(x >> np.uint32(32 - r)))


@inlined
def mix_word(h, k):
    """Mix four bytes of a name, little endian, into the hash."""
    k = np.uint32(rotate_left(np.uint32(k * np.uint32(0xCC9E2D51)), 15) * np.uint32(0x1B873593))
    return np.uint32(rotate_left(np.uint32(h ^ k), 13) * np.uint32(5) + np.uint32(0xE6546B64))


@inlined
def finish(h, k, length):
    """Mix the last bytes, none to three of them, and the length of the whole name into the hash."""
    h = np.uint32(
        h ^ np.uint32(rotate_left(np.uint32(k * np.uint32(0xCC9E2D51)), 15) * np.uint32(0x1B873593))
    )
    h = np.uint32(h ^ np.uint32(length))
    h = np.uint32(np.uint32(h ^ np.uint32(h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    h = np.uint32(np.uint32(h ^ np.uint32(h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@inlined
def begun(h, rest, held):
    """Pack a name's beginning: the hash of its whole words of four bytes, and the 0 to 3 bytes after them."""
    return np.uint64(h) | np.uint64(rest) << np.uint64(32) | np.uint64(held) << np.uint64(56)


@inlined
def opened(beginning):
    """Return what :func:`begun` packed, the last two as uint64."""
    rest = beginning >> np.uint64(32) & np.uint64(0xFFFFFF)
    return np.uint32(beginning), rest, beginning >> np.uint64(56)


@inlined
def begin_name(data, start, end, joint):
    """Hash the start of a name, ``data[start:end]`` and the byte `joint`: what is :func:`begun`, a uint64.

    Eight bytes behind `end` may be read. A name that is hashed from nothing begins with 0.
    """
    h = np.uint32(0)
    j = start
    while end - j > 7:
        word = word_at(data, j)
        h = mix_word(mix_word(h, np.uint32(word)), np.uint32(word >> np.uint64(32)))
        j += 8
    left = end - j
    word = low_bytes(word_at(data, j), left) | np.uint64(joint) << np.uint64(8 * left)
    low, high = np.uint32(word), np.uint32(word >> np.uint64(32))
    once = mix_word(h, low)
    twice = mix_word(once, high)
    h = choose(left < 3, h, choose(left < 7, once, twice))
    rest = choose(left < 3, low, choose(left < 7, high, np.uint32(0)))
    return begun(h, rest, (left + 1) & 3)


@inlined
def go_on(beginning, data, start, end):
    """Hash more of a name, eight bytes at a time, until no more than eight are left."""
    h, rest, held = opened(beginning)
    shift = np.uint64(8) * held
    j = start
    while end - j > 8:
        word = word_at(data, j)
        joined = word << shift | rest
        h = mix_word(mix_word(h, np.uint32(joined)), np.uint32(joined >> np.uint64(32)))
        rest = word >> np.uint64(1) >> (np.uint64(63) - shift)  # by 64 - shift, which may be 64
        j += 8
    return begun(h, rest, held), j


@inlined
def put_name(names, i, beginning, length, data, start, end):
    """Write down the i-th of some names: what begins it, `length` long, and then ``data[start:end]``.

    Eight bytes behind `end` may be read.
    """
    if end - start > 8:
        length -= start
        beginning, start = go_on(beginning, data, start, end)
        length += start
    size = end - start
    put_halves(names, 2 * i + BEGUN, beginning)
    put_halves(names, 2 * i + WORD, low_bytes(word_at(data, start), size))
    put_halves(names, 2 * i + SIZES, np.uint64(size) | np.uint64(length) << np.uint64(32))


@inlined
def put_known(names, i, beginning, length, data, start, end):
    """The same, where the length of what begins it stands from bit 32 on, and most names go on briefly."""
    size = end - start
    if size > 8:
        put_name(names, i, beginning, np.intp(length >> np.uint64(32)), data, start, end)
    else:
        put_halves(names, 2 * i + BEGUN, beginning)
        put_halves(names, 2 * i + WORD, word_at(data, start) & LOW_BYTES[np.uintp(size)])
        put_halves(names, 2 * i + SIZES, length | np.uint64(size))


@inlined
def hash_last(h, rest, low, high, size, length):
    """Finish a name of which no more than eight bytes are left.

    There is no branch on how many: it could not be predicted, and would bar vector instructions; and nothing
    of 64 bits, of which a vector holds half as many.

    Parameters
    ----------
    h, rest
        uint32: what is :func:`begun`.
    low, high
        uint32: the bytes that are left, and then zeros.
    size, length
        uint32: how many bytes are left; how long the whole name is.
    """
    held = rest >> np.uint32(24)
    shift = np.uint32(8) * held
    back = np.uint32(31) - shift  # and one more: a shift by 32 has no result
    first = np.uint32(low << shift | rest & np.uint32(0xFFFFFF))
    second = np.uint32(high << shift | low >> np.uint32(1) >> back)
    third = np.uint32(high >> np.uint32(1) >> back)
    once = mix_word(h, first)
    twice = mix_word(once, second)
    words = np.uint32(held + size)
    h = choose(words < np.uint32(4), h, choose(words < np.uint32(8), once, twice))
    k = choose(words < np.uint32(4), first, choose(words < np.uint32(8), second, third))
    return finish(h, k, length)


@inlined
def hash_name(data, start, end):
    """MurmurHash3 of ``data[start:end]``; eight bytes behind `end` may be read."""
    beginning, j = go_on(np.uint64(0), data, start, end)
    word = low_bytes(word_at(data, j), end - j)
    return hash_last(
        np.uint32(beginning),
        np.uint32(beginning >> np.uint64(32)),
        np.uint32(word),
        np.uint32(word >> np.uint64(32)),
        np.uint32(end - j),
        np.uint32(end - start),
    )


@inlined
def hash_names(names, n, indices, first):
    """Write the indices of the first `n` names that are written down to ``indices[first:]``.

    They are hashed many at a time: LLVM makes vector instructions of this loop.
    """
    for i in range(n):
        j = 2 * i
        h = hash_last(
            names[np.uintp(j + BEGUN)],
            names[np.uintp(j + BEGUN + 1)],
            names[np.uintp(j + WORD)],
            names[np.uintp(j + WORD + 1)],
            names[np.uintp(j + SIZES)],
            np.uint32(names[np.uintp(j + SIZES)] + names[np.uintp(j + SIZES + 1)]),
        )
        indices[np.uintp(first + i)] = to_index(h)


@inlined
def low_bytes(word, n):
    """Return the lowest `n` bytes of eight, 0 to 8 of them."""
    half = np.uint64(4) * np.uint64(n)  # a shift by 64 has no result
    return word & ((np.uint64(1) << half << half) - np.uint64(1))


@inlined
def to_index(h):
    """abs() of a hash read as a signed number: the whole index, of which a table takes its low bits."""
    return np.uint32(h) if h <= np.uint32(0x80000000) else np.uint32(np.uint32(0) - h)


@inlined
def to_field(h):
    """Fold the hash of a field's name into 16 bits other than 0."""
    low = np.uint16(h & np.uint32(0xFFFF))
    return low if low != np.uint16(0) else np.uint16(1)


@kernel(types.uint32(BYTES))
def _hash(padded):
    return hash_name(address_of(padded), 0, padded.size - 8)


@kernel(types.uint64(BYTES))
def _begin(padded):
    return begin_name(address_of(padded), 0, padded.size - 8, EQUALS)


def beginning_of(field: bytes) -> int:
    """Return how the names of a field's categories begin: what is :func:`begun` of ``field=``."""
    return int(_begin(_padded(field)))


def _padded(name: bytes) -> NDArray[np.uint8]:
    """Return a name and the eight bytes behind it that may be read."""
    return np.frombuffer(name + bytes(8), np.uint8)


def name_hash(name: str | bytes) -> int:
    """Return MurmurHash3 of a name, as an unsigned number of 32 bits; text is hashed as UTF-8."""
    data = name.encode() if isinstance(name, str) else name
    return int(_hash(_padded(data)))


def index_of(name: str | bytes) -> int:
    """Return the index of a feature's name: abs(MurmurHash3), of which a table takes the low bits.

    Parameters
    ----------
    name
        The whole name, such as ``"site=news"``; text is hashed as UTF-8.

    Returns
    -------
    int
        From 0 to 2**31.

    Examples
    --------
    >>> index_of("site=news") % 2**18
    77583
    """
    h = name_hash(name)
    return h if h <= 2**31 else 2**32 - h


def field_of(name: str | bytes) -> int:
    """Return the number of a field's name, from 1 to 65,535.

    Two of 40 fields share a number in about one model of a hundred; they are then reported as one.

    Examples
    --------
    >>> field_of("site")
    55621
    """
    low = name_hash(name) & 0xFFFF
    return low or 1
