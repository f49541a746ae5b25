# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Rows that were touched: which ones they are, and where they stand that stand in the order of their touch.

Slots are hashes. So the first hundred thousand that a log names lie in all pages of a table, and in all of
its blocks of 64 rows: what is to take room in proportion to them has to keep the rows one behind the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import prefetch
from nonzero.native import kernel, types
from nonzero.native.lanes import OneLane

BLOCK: Final = 64
"""Rows whose touched ones are the bits of one word."""

AHEAD: Final = 64
"""So many nonzeros ahead it is fetched where their rows stand."""

_INDICES = types.uint32.readonly
_PLACES = types.uint32[::1]
_PAIRS = types.NamedUniTuple(types.float32[:, ::1], 1, OneLane)


@kernel(types.void(types.Array(types.uint64, 2, readonly=True), types.int64, types.uint64[::1]))
def mark(words, fill, masks):
    """Set the bit of each row, in its block's word, that has a word other than `fill`; clear the others.

    `words` are uint64[n, words of a row], `masks` uint64[n / 64, rounded up]; `fill` is 0 or -1. The last row
    of a block is its highest bit.
    """
    n, width = words.shape
    for block in range(masks.size):
        mask = np.uint64(0)
        first = block * BLOCK
        for i in range(first, min(first + BLOCK, n)):
            other = np.uint64(0)
            for k in range(width):
                other |= words[np.uintp(i), np.uintp(k)] ^ np.uint64(fill)
            if other:
                mask |= np.uint64(1) << np.uint64(i - first)
        masks[np.uintp(block)] = mask


@kernel(types.int64(_INDICES, types.int64, _PLACES, _PAIRS, _PLACES, types.int64, _PLACES))
def place(indices, slot_mask, places, pairs, slots, taken, out):
    """Write where the rows of indices stand, and give those that have none the next places.

    `places` has, by slot, where its row stands, 0 where it has none; `pairs` are the same numbers, two and
    two. `slots` has, by place, whose row stands there. So many places are taken before; how many are after is
    returned.
    """
    for j in range(indices.size):
        ahead = indices[np.uintp(min(j + AHEAD, indices.size - 1))] & np.uint32(slot_mask)
        prefetch(pairs, np.intp(ahead >> np.uint32(1)))
        slot = np.uintp(indices[np.uintp(j)] & np.uint32(slot_mask))
        at = places[slot]
        if at == np.uint32(0):
            taken += 1
            at = np.uint32(taken)
            slots[np.uintp(at)] = np.uint32(slot)
            places[slot] = at
        out[np.uintp(j)] = at
    return taken


@kernel(types.void(_INDICES, types.int64, _PLACES, _PLACES))
def look_up(indices, slot_mask, places, out):
    """Write where the rows of indices stand; 0 for those that were never touched."""
    for j in range(indices.size):
        out[np.uintp(j)] = places[np.uintp(indices[np.uintp(j)] & np.uint32(slot_mask))]
