# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""How many rows of the table this machine's memory can update in a second, whatever the arithmetic."""

from __future__ import annotations

import time

import numpy as np

from nonzero.arithmetic.intrinsics import load, prefetch, store
from nonzero.kernels.rows import PREFETCH_DISTANCE
from nonzero.kernels.tuples import LANES
from nonzero.native import inlined, kernel, types
from nonzero.native.lanes import EightLanes, OneLane
from nonzero.persistence.pages import allocate

__all__ = ["rows_per_second"]


@inlined
def touch(slots, table):
    """Read and write back a row for each slot, asked for as far ahead as the learner does."""
    last = slots.size - 1
    for j in range(slots.size):
        prefetch(table, np.intp(slots[np.uintp(min(j + PREFETCH_DISTANCE, last))]))
        i = np.intp(slots[np.uintp(j)])
        store(table, i, 0, load(table, i, 0) + load(table, i, 1))


@kernel(types.void(types.uint32[::1], LANES[1]))
def touch_one(slots, table):
    """:func:`touch` with one lane."""
    touch(slots, table)


@kernel(types.void(types.uint32[::1], LANES[8]))
def touch_eight(slots, table):
    """:func:`touch` with eight lanes."""
    touch(slots, table)


def rows_per_second(bits: int, lanes: int, n: int = 4_000_000) -> float:
    """Return how many random rows are updated in a second, the best of five.

    Parameters
    ----------
    bits
        log2 of the number of rows.
    lanes
        1 for rows of 8 bytes, 8 for rows of 64.
    n
        How many are updated.
    """
    rows = allocate(2**bits, 2 * lanes)
    rows[:] = 0
    slots = np.random.default_rng(0).integers(0, 2**bits, n, np.uint32)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        if lanes == 1:
            touch_one(slots, OneLane(rows))
        else:
            touch_eight(slots, EightLanes(rows))
        best = min(best, time.perf_counter() - start)
    return n / best
