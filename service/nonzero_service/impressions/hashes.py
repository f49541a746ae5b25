# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The 64-bit hash of an id: XXH3 (Collet, xxHash specification), compiled, for all ids of a batch at once.

The library for it takes a string at a time, and making the strings costs as much as keeping an example. What
is longer than 128 bytes, which few ids are, it is still asked for.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import byte_at, word_at
from nonzero.batches.ids import Ids
from nonzero.formats.words import half_at
from nonzero.native import inlined, kernel, types

LONGEST: Final = 128

SECRET: Final = tuple(
    np.uint64(word)
    for word in (
        0xBE4BA423396CFEB8, 0x1CAD21F72C81017C, 0xDB979083E96DD4DE, 0x1F67B3B7A4A44072,
        0x78E5C0CC4EE679CB, 0x2172FFCC7DD05A82, 0x8E2443F7744608B8, 0x4C263A81E69035E0,
        0xCB00C391BB52283C, 0xA32E531B8B65D088, 0x4EF90DA297486471, 0xD8ACDEA946EF1938,
        0x3F349CE33F76FAA8, 0x1D4F0BC7C7BBDCF9, 0x3159B4CD4BE0518A, 0x647378D9C97E9FC8,
    )
)  # fmt: skip
"""The first 128 bytes of the specification's secret: so many such lengths need."""

PRIME: Final = np.uint64(0x9E3779B185EBCA87)
LOW: Final = np.uint64(0xFFFFFFFF)
HALF: Final = np.uint64(32)


@inlined
def folded(a, b):
    """The 128 bits of a product, its halves combined by exclusive or."""
    low = (a & LOW) * (b & LOW)
    middle = (a >> HALF) * (b & LOW)
    cross = (low >> HALF) + (middle & LOW) + (a & LOW) * (b >> HALF)
    high = (middle >> HALF) + (cross >> HALF) + (a >> HALF) * (b >> HALF)
    return high ^ (cross << HALF | low & LOW)


@inlined
def avalanche(h):
    """Let every bit of a sum bear on every other."""
    h = (h ^ h >> np.uint64(37)) * np.uint64(0x165667919E3779F9)
    return h ^ h >> HALF


@inlined
def four_bytes(text, j):
    """Four bytes as a number of 64 bits."""
    return np.uint64(half_at(text, np.uintp(j)))


@inlined
def rotated(h, r):
    """Rotate 64 bits left by `r`."""
    return h << np.uint64(r) | h >> np.uint64(64 - r)


@inlined
def byte_reversed(h):
    """The eight bytes in the reverse order."""
    h = (h & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8) | h >> np.uint64(8) & np.uint64(
        0x00FF00FF00FF00FF
    )
    h = (h & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16) | h >> np.uint64(16) & np.uint64(
        0x0000FFFF0000FFFF
    )
    return rotated(h, 32)


@inlined
def of_three(text, j, size):
    """Hash one to three bytes."""
    h = (
        np.uint64(byte_at(text, j)) << np.uint64(16)
        | np.uint64(byte_at(text, j + size // 2)) << np.uint64(24)
        | np.uint64(byte_at(text, j + size - 1))
        | np.uint64(size) << np.uint64(8)
    )
    h ^= (SECRET[0] ^ SECRET[0] >> HALF) & LOW
    h = (h ^ h >> np.uint64(33)) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ h >> np.uint64(29)) * np.uint64(0x165667B19E3779F9)
    return h ^ h >> HALF


@inlined
def of_eight(text, j, size):
    """Hash four to eight bytes."""
    h = (four_bytes(text, j + size - 4) + (four_bytes(text, j) << HALF)) ^ (SECRET[1] ^ SECRET[2])
    h = (h ^ rotated(h, 49) ^ rotated(h, 24)) * np.uint64(0x9FB21C651E98DF25)
    h = (h ^ (h >> np.uint64(35)) + np.uint64(size)) * np.uint64(0x9FB21C651E98DF25)
    return h ^ h >> np.uint64(28)


@inlined
def of_sixteen(text, j, size):
    """Hash nine to sixteen bytes."""
    low = word_at(text, j) ^ (SECRET[3] ^ SECRET[4])
    high = word_at(text, j + size - 8) ^ (SECRET[5] ^ SECRET[6])
    return avalanche(np.uint64(size) + byte_reversed(low) + high + folded(low, high))


@inlined
def mixed(text, j, k):
    """Hash sixteen bytes with two words of the secret."""
    return folded(word_at(text, j) ^ SECRET[k], word_at(text, j + 8) ^ SECRET[k + 1])


@inlined
def of_more(text, j, size):
    """Hash seventeen to 128 bytes: sixteen from the front and sixteen from the back at a time."""
    h = np.uint64(size) * PRIME
    end = j + size
    if size > 96:
        h += mixed(text, j + 48, 12) + mixed(text, end - 64, 14)
    if size > 64:
        h += mixed(text, j + 32, 8) + mixed(text, end - 48, 10)
    if size > 32:
        h += mixed(text, j + 16, 4) + mixed(text, end - 32, 6)
    return avalanche(h + mixed(text, j, 0) + mixed(text, end - 16, 2))


@kernel(types.boolean(types.uint8.readonly, types.int64.readonly, types.int64.readonly, types.uint64[::1]))
def _hash(text, ends, rows, out):
    """Hash the ids of some rows, none of them empty; whether there are longer ones, which are left out."""
    longer = False
    for k in range(rows.size):
        j = ends[rows[k]]
        size = ends[rows[k] + 1] - j
        if size <= 3:
            out[k] = of_three(text, j, size)
        elif size <= 8:
            out[k] = of_eight(text, j, size)
        elif size <= 16:
            out[k] = of_sixteen(text, j, size)
        elif size <= LONGEST:
            out[k] = of_more(text, j, size)
        else:
            longer = True
    return longer


def named_rows(ids: Ids) -> NDArray[np.intp]:
    """Return intp[k]: the rows that have an id by which a label could find them, in order."""
    return (ids.ends[1:] > ids.ends[:-1]).nonzero()[0]


def hashes_of(ids: Ids, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return uint64[k]: the hashes of the ids of some rows, none of them empty."""
    hashes = np.empty(rows.size, np.uint64)
    if _hash(np.frombuffer(ids.text, np.uint8), ids.ends, rows, hashes):
        sizes = ids.ends[rows + 1] - ids.ends[rows]
        for k in np.flatnonzero(sizes > LONGEST).tolist():
            start, end = ids.ends[rows[k]], ids.ends[rows[k] + 1]
            hashes[k] = xxhash.xxh3_64_intdigest(ids.text[start:end])
    return hashes
