# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Bytes looked at several at a time, and copied.

Bytes are written out one by one, and LLVM makes one unaligned load of them. Positions are unsigned: a signed
subscript could count from the end, and would be tested for it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.native import inlined

EVERY_BYTE: Final = np.uint64(0x0101010101010101)
HIGH_BITS: Final = np.uint64(0x8080808080808080)


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
def copied(source, start, stop, out, at):
    """Copy a part of one array into another; return where it ends."""
    for j in range(stop - start):
        out[np.uintp(at + j)] = source[np.uintp(start + j)]
    return at + stop - start


@inlined
def zero_bytes(w):
    """Mark each byte that is 0 by its high bit: exact up to the lowest such byte, all that is used."""
    return np.uint64(w - EVERY_BYTE) & ~w & HIGH_BITS
