# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""An example's step in each of its coordinates, for any rule.

A rule's `update` says what a gradient makes of the two numbers that are kept of a coordinate. Several lanes
do that to the eight numbers of one row, a single lane to those of eight rows.
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
from nonzero.kernels.rows import intercept_row, prefetch_distance, prefetch_row, slot, slot_mask, value
from nonzero.native import inlined

ONE = np.float32(1.0)


@inlined
def step_row(update, table, i, gradient, params):
    """Take the step in one coordinate."""
    first, second = update(load(table, i, 0), load(table, i, 1), gradient, params)
    store(table, i, 0, first)
    store(table, i, 1, second)


@inlined
def step_nonzeros(update, rows, table, r, gradient, params):
    """Take the step of an example in every lane, in each of its coordinates but the intercept."""
    lo, hi = rows.indptr[r], rows.indptr[r + 1]
    distance = prefetch_distance(rows, hi)
    if rows.value_mask:
        for j in range(lo, hi):
            prefetch_row(rows, table, j + distance)
            step_row(update, table, slot(rows, table, j), gradient * value(rows, j), params)
    else:
        for j in range(lo, hi):
            prefetch_row(rows, table, j + distance)
            step_row(update, table, slot(rows, table, j), gradient, params)


@inlined
def step(update, rows, table, r, gradient, params):
    """Take the step of an example in every lane: in each of its coordinates, then in the intercept."""
    step_nonzeros(update, rows, table, r, gradient, params)
    step_row(update, table, intercept_row(table), gradient, params)


@inlined
def step_8rows(update, rows, table, r, gradient, params):
    """Take the step of an example with a single lane, in eight coordinates at once.

    A division of eight numbers takes a CPU as long as that of one, and so does a root: 39 ones took 108 ns
    instead of 148 with a table in the cache. The intercept is among the first eight, because the next
    example's margin waits for it. Slots of which one is named twice are learned one after another.
    """
    mask = slot_mask(table)
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    n, distance = (end - j) & 7, prefetch_distance(rows, end)
    while True:
        for k in range(j + distance, j + distance + n):
            prefetch_row(rows, table, k)
        slots = eight_slots(rows.indices, j, n, mask)
        if distinct(slots, n):
            first, second = load_eight(table, slots)
            gradients = like(first, gradient)
            if rows.value_mask:
                gradients = gradients * eight_numbers(rows.values, j, n, ONE)
            first, second = update(first, second, gradients, params)
            store_eight(table, slots, first, second)
        else:
            for k in range(j, j + n):
                step_row(update, table, slot(rows, table, k), gradient * value(rows, k), params)
            if n < 8:
                step_row(update, table, intercept_row(table), gradient, params)
        j += n
        if j == end:
            break
        n = 8
