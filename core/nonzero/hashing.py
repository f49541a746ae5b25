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
from numba import types

from nonzero.compiled import inlined, kernel

__all__ = ["NO_FIELD", "field_of", "index_of"]

NO_FIELD: Final = 0
"""The field of a feature that was given by its index."""

BYTES = types.Array(types.uint8, 1, "C", readonly=True)


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
def murmur3(data, start, end):
    """MurmurHash3_x86_32 with seed 0 of ``data[start:end]``, as uint32."""
    h = np.uint32(0)
    j = start
    while j + 4 <= end:
        k = np.uint32(
            np.uint32(data[j])
            | np.uint32(data[j + 1]) << np.uint32(8)
            | np.uint32(data[j + 2]) << np.uint32(16)
            | np.uint32(data[j + 3]) << np.uint32(24)
        )
        h = mix_word(h, k)
        j += 4
    k = np.uint32(0)
    for i in range(end - 1, j - 1, -1):
        k = np.uint32(np.uint32(k << np.uint32(8)) | np.uint32(data[i]))
    return finish(h, k, end - start)


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
def _hash(data):
    return murmur3(data, 0, data.size)


def _hash_text(name: str | bytes) -> np.uint32:
    data = name.encode() if isinstance(name, str) else name
    return np.uint32(_hash(np.frombuffer(data, np.uint8)))


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
    h = int(_hash_text(name))
    return h if h <= 2**31 else 2**32 - h


def field_of(name: str | bytes) -> int:
    """Return the number of a field's name, from 1 to 65,535.

    Two of 40 fields share a number in about one model of a hundred; they are then reported as one.

    Examples
    --------
    >>> field_of("site")
    55621
    """
    low = int(_hash_text(name)) & 0xFFFF
    return low or 1
