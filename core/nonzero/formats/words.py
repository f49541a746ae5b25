# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Four and eight bytes at a time, as numbers: how text is scanned, copied and hashed quickly.

Bytes are written out one by one, and LLVM makes one unaligned load or store of them. Positions are unsigned:
a signed subscript could count from the end, and would be tested for it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.compiled import inlined

__all__ = ["EVERY_BYTE", "HIGH_BITS", "copied", "half_at", "store_word", "word_at", "zero_bytes"]

EVERY_BYTE: Final = np.uint64(0x0101010101010101)
HIGH_BITS: Final = np.uint64(0x8080808080808080)


@inlined
def word_at(data, j):
    """Eight bytes from `j` as a little-endian number."""
    i = np.uintp(j)
    return (
        np.uint64(data[i])
        | np.uint64(data[i + np.uintp(1)]) << np.uint64(8)
        | np.uint64(data[i + np.uintp(2)]) << np.uint64(16)
        | np.uint64(data[i + np.uintp(3)]) << np.uint64(24)
        | np.uint64(data[i + np.uintp(4)]) << np.uint64(32)
        | np.uint64(data[i + np.uintp(5)]) << np.uint64(40)
        | np.uint64(data[i + np.uintp(6)]) << np.uint64(48)
        | np.uint64(data[i + np.uintp(7)]) << np.uint64(56)
    )


@inlined
def half_at(data, i):
    """Four bytes from `i`, a uintp, as a little-endian number."""
    return (
        np.uint32(data[i])
        | np.uint32(data[i + np.uintp(1)]) << np.uint32(8)
        | np.uint32(data[i + np.uintp(2)]) << np.uint32(16)
        | np.uint32(data[i + np.uintp(3)]) << np.uint32(24)
    )


@inlined
def store_word(scratch, p, w):
    """Write eight bytes to ``scratch[p:p + 8]``."""
    i = np.uintp(p)
    scratch[i] = np.uint8(w)
    scratch[i + np.uintp(1)] = np.uint8(w >> np.uint64(8))
    scratch[i + np.uintp(2)] = np.uint8(w >> np.uint64(16))
    scratch[i + np.uintp(3)] = np.uint8(w >> np.uint64(24))
    scratch[i + np.uintp(4)] = np.uint8(w >> np.uint64(32))
    scratch[i + np.uintp(5)] = np.uint8(w >> np.uint64(40))
    scratch[i + np.uintp(6)] = np.uint8(w >> np.uint64(48))
    scratch[i + np.uintp(7)] = np.uint8(w >> np.uint64(56))


@inlined
def copied(source, start, stop, out, at):
    """Copy a part of one array into another; return where it ends."""
    for j in range(stop - start):
        out[np.uintp(at + j)] = source[np.uintp(start + j)]
    return at + stop - start


@inlined
def zero_bytes(w):
    """Mark each byte that is 0 by its high bit: exact up to the lowest such byte, all that is used."""
    return np.uint64(w - EVERY_BYTE) & ~w & HIGH_BITS
