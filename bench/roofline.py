# mypy: disable-error-code="no-untyped-def"
"""How many rows of the table this machine's memory can update in a second, whatever the arithmetic."""

from __future__ import annotations

import time

import numpy as np
from numba import types

from nonzero.compiled import kernel
from nonzero.intrinsics import EightLanes, OneLane, load, prefetch, store
from nonzero.kernels import AHEAD
from nonzero.table import allocate

ONE_LANE = types.NamedUniTuple(types.float32[:, ::1], 1, OneLane)
EIGHT_LANES = types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes)


@kernel(types.void(types.uint32[::1], ONE_LANE), types.void(types.uint32[::1], EIGHT_LANES))
def touch(slots, table):
    """Read and write back a row for each slot, asked for as far ahead as the learner does."""
    for j in range(slots.size):
        prefetch(table, np.intp(slots[np.uintp(min(j + AHEAD, slots.size - 1))]))
        i = np.intp(slots[np.uintp(j)])
        store(table, i, 0, load(table, i, 0) + load(table, i, 1))


def rows_per_second(bits: int, eight: bool, n: int = 4_000_000) -> float:
    """Return millions of random rows updated in a second, the best of five."""
    rows = allocate(2**bits, 16 if eight else 2)
    rows[:] = 0
    slots = np.random.default_rng(0).integers(0, 2**bits, n, np.uint32)
    table = EightLanes(rows) if eight else OneLane(rows)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        touch(slots, table)
        best = min(best, time.perf_counter() - start)
    return n / best / 1e6
