# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""An example's step in each of its coordinates, for any rule.

A rule says what a gradient makes of the two numbers that are kept of a coordinate: `moved`, of these, the
gradient and what else is `given`. Several lanes do that to the eight numbers of one row, a single lane to
those of eight rows.
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import (
    distinct,
    eight_numbers,
    eight_slots,
    like,
    load,
    load_eight,
    store,
    store_eight,
)
from nonzero.compiled import inlined
from nonzero.rules.rows import ahead, ask, slot, value

__all__ = ["put", "step", "step_abreast"]

ONE = np.float32(1.0)


@inlined
def put(table, i, half, numbers, how):  # noqa: ARG001
    """Store numbers in every lane."""
    store(table, i, half, numbers)


@inlined
def step_row(put, moved, table, i, gradient, given, how):
    """Take the step in one coordinate."""
    first, second = moved(load(table, i, 0), load(table, i, 1), gradient, given)
    put(table, i, 0, first, how)
    put(table, i, 1, second, how)


@inlined
def step(put, moved, rows, table, r, gradient, given, how):
    """Take the step of an example; `put` stores numbers, in all lanes or some, and alone looks at `how`."""
    lo, hi = rows.indptr[r], rows.indptr[r + 1]
    far = ahead(rows, hi)
    if rows.value_mask:
        for j in range(lo, hi):
            ask(rows, table, j + far)
            step_row(put, moved, table, slot(rows, j), gradient * value(rows, j), given, how)
    else:
        for j in range(lo, hi):
            ask(rows, table, j + far)
            step_row(put, moved, table, slot(rows, j), gradient, given, how)
    step_row(put, moved, table, rows.slot_mask + 1, gradient, given, how)


@inlined
def step_abreast(put, moved, rows, table, r, gradient, given, how):
    """Take the step of an example with a single lane, in eight coordinates at once.

    A division of eight numbers takes a CPU as long as that of one, and so does a root: 39 ones took 108 ns
    instead of 148 with a table in the cache. The intercept is among the first eight, because the next
    example's margin waits for it. Slots of which one is named twice are learned one after another.
    """
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    n, far = (end - j) & 7, ahead(rows, end)
    while True:
        for k in range(j + far, j + far + n):
            ask(rows, table, k)
        slots = eight_slots(rows.indices, j, n, rows.slot_mask)
        if distinct(slots, n):
            first, second = load_eight(table, slots)
            gradients = like(first, gradient)
            if rows.value_mask:
                gradients = gradients * eight_numbers(rows.values, j, n, ONE)
            first, second = moved(first, second, gradients, given)
            store_eight(table, slots, first, second)
        else:
            for k in range(j, j + n):
                step_row(put, moved, table, slot(rows, k), gradient * value(rows, k), given, how)
            if n < 8:
                step_row(put, moved, table, rows.slot_mask + 1, gradient, given, how)
        j += n
        if j == end:
            break
        n = 8
