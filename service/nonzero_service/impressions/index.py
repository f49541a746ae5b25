# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The index of a segment: where the hash of an id stands among its impressions; compiled, many at a time.

Open addressing with linear probing over ``2**k`` places. One holds 0, or the place among the hashes plus 1
in its low bits, and in the others the highest bits of the hash, which tell nearly all other hashes apart: so
an id that is not here, as nearly all are that are looked for, costs one access to memory and not three.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.native import inlined, kernel, types

BITS: Final = 21
PLACE: Final = (1 << BITS) - 1
"""The bits of a place plus 1, which is at most as much."""


@inlined
def entry_of(h, place):
    """What stands in the index for a hash."""
    return np.uint32(h >> np.uint64(32 + BITS)) << np.uint32(BITS) | np.uint32(place + 1)


@inlined
def place_of(entry):
    """Where an entry's hash stands; -1 for none."""
    return np.intp(entry & np.uint32(PLACE)) - 1


@inlined
def alike(entry, h):
    """Whether an entry may be that of a hash."""
    return np.uint64(entry >> np.uint32(BITS)) == h >> np.uint64(32 + BITS)


@kernel(types.void(types.uint64.readonly, types.uint64.readonly, types.uint32.readonly, types.int64[::1]))
def find(wanted, hashes, index, out):
    """Find hashes among those of a segment: `out` gets their places, and keeps what it has where none is."""
    mask = np.uint64(index.size - 1)
    for k in range(wanted.size):
        h = wanted[k]
        at = np.uintp(h & mask)
        while index[at] != 0:
            if alike(index[at], h) and hashes[place_of(index[at])] == h:
                out[k] = place_of(index[at])
                break
            at = np.uintp((at + np.uintp(1)) & mask)


@kernel(types.intp(types.uint64.readonly, types.uint64[::1], types.uint32[::1], types.intp, types.uint8[::1]))
def enter(wanted, hashes, index, used, fresh):
    """Enter hashes behind the `used` first ones of a segment; return how many it has then.

    `fresh` says of each whether it is wanted (1); it gets 0 where the segment has that hash already.
    """
    mask = np.uint64(index.size - 1)
    for k in range(wanted.size):
        if fresh[k] == 0:
            continue
        h = wanted[k]
        at = np.uintp(h & mask)
        while index[at] != 0:
            if alike(index[at], h) and hashes[place_of(index[at])] == h:
                fresh[k] = 0
                break
            at = np.uintp((at + np.uintp(1)) & mask)
        if fresh[k] == 1:
            hashes[used] = h
            index[at] = entry_of(h, used)
            used += 1
    return used


@kernel(types.void(types.uint64.readonly, types.uint32[::1], types.intp, types.intp))
def leave(hashes, index, start, stop):
    """Take the newest hashes out again, newest first, so that no chain of probes is broken."""
    mask = np.uint64(index.size - 1)
    for k in range(stop - 1, start - 1, -1):
        at = np.uintp(hashes[k] & mask)
        while place_of(index[at]) != k:
            at = np.uintp((at + np.uintp(1)) & mask)
        index[at] = 0
