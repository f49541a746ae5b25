# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""An example's margin, for any rule: M = sum of w_i x_i and the intercept's weight, clamped to +-50.

The order of the sum is fixed: four partial sums over the positions j mod 4 within the example, added as
(0 + 1) + (2 + 3), and then the intercept's weight. (One chain of additions is bound by their latency: 6.0
against 7.3 million examples a second with one lane.)
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import (
    add_in_fours,
    eight_numbers,
    eight_slots,
    first_of,
    lane,
    like,
    load,
    load_eight,
)
from nonzero.kernels.rows import intercept_row, prefetch_distance, prefetch_row, slot, slot_mask, value
from nonzero.kernels.rules.bounds import MAX_MARGIN, clamped
from nonzero.native import inlined

ZERO = np.float32(0.0)
NOTHING = np.float32(-0.0)  # to add it changes no number, nor the sign of a zero


@inlined
def weights_of_row(weight, table, i, params):
    """The weights of row i in each lane."""
    return weight(load(table, i, 0), load(table, i, 1), params)


@inlined
def weights_of_8rows(weight, table, slots, params):
    """The weights of eight rows of a single lane."""
    first, second = load_eight(table, slots)
    return weight(first, second, params)


@inlined
def term(weight, rows, table, params, j):
    """The share of position j in the margin."""
    w = weights_of_row(weight, table, slot(rows, table, j), params)
    if rows.value_mask:
        w = w * value(rows, j)
    return w


@inlined
def margin(weight, rows, table, params, r, prefetching):
    """(margins, 0) of several lanes in row r; with `prefetching`, rows of the table are fetched ahead."""
    intercept = weights_of_row(weight, table, intercept_row(table), params)
    zero = like(intercept, ZERO)
    sum0, sum1, sum2, sum3 = zero, zero, zero, zero
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    distance = prefetch_distance(rows, end)
    while j + 4 <= end:
        if prefetching:
            for k in range(4):
                prefetch_row(rows, table, j + k + distance)
        sum0 = sum0 + term(weight, rows, table, params, j)
        sum1 = sum1 + term(weight, rows, table, params, j + 1)
        sum2 = sum2 + term(weight, rows, table, params, j + 2)
        sum3 = sum3 + term(weight, rows, table, params, j + 3)
        j += 4
    if prefetching:
        for k in range(j + distance, end + distance):
            prefetch_row(rows, table, k)
    if j < end:
        sum0 = sum0 + term(weight, rows, table, params, j)
    if j + 1 < end:
        sum1 = sum1 + term(weight, rows, table, params, j + 1)
    if j + 2 < end:
        sum2 = sum2 + term(weight, rows, table, params, j + 2)
    return clamped(((sum0 + sum1) + (sum2 + sum3)) + intercept, MAX_MARGIN), ZERO


@inlined
def margin_8rows(weight, rows, table, params, r, prefetching):
    """(margin, 0) of a single lane in row r, summed over eight positions at once."""
    mask = slot_mask(table)
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    distance = prefetch_distance(rows, end)
    intercepts = weights_of_8rows(weight, table, eight_slots(rows.indices, j, 0, mask), params)
    sums = like(intercepts, ZERO)
    while j < end:
        n = min(end - j, 8)
        if prefetching:
            for k in range(j + distance, j + distance + n):
                prefetch_row(rows, table, k)
        terms = weights_of_8rows(weight, table, eight_slots(rows.indices, j, n, mask), params)
        if rows.value_mask:
            terms = terms * eight_numbers(rows.values, j, n, ZERO)
        sums = add_in_fours(sums, first_of(n, terms, NOTHING))
        j += 8
    whole = (lane(sums, 0) + lane(sums, 1)) + (lane(sums, 2) + lane(sums, 3))
    return clamped(whole + lane(intercepts, 0), MAX_MARGIN), ZERO
