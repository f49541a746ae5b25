# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""An example's margin, for any rule: M = sum of w_i x_i and the intercept's weight, clamped to +-50.

The order of the sum is fixed: four partial sums over the positions j mod 4 within the example, added as
(0 + 1) + (2 + 3), and then the intercept's weight. (One chain of additions is bound by their latency: 6.0
against 7.3 million examples a second with one lane.)
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import add_in_fours, eight_numbers, eight_slots, first_of, lane, like
from nonzero.compiled import inlined
from nonzero.rules.bounds import MAX_MARGIN, clamped
from nonzero.rules.rows import ahead, ask, slot, value

__all__ = ["margin", "margin_abreast"]

ZERO = np.float32(0.0)
NOTHING = np.float32(-0.0)  # to add it changes no number, nor the sign of a zero


@inlined
def term(weight, rows, table, how, j):
    """The share of position j in the margin."""
    w = weight(table, slot(rows, j), how)
    if rows.value_mask:
        w = w * value(rows, j)
    return w


@inlined
def margin(weight, rows, table, how, r, asking):
    """The margins of several lanes; `weight` reads those of a row. Asks for rows ahead, if so."""
    intercept = weight(table, rows.slot_mask + 1, how)
    zero = like(intercept, ZERO)
    sum0, sum1, sum2, sum3 = zero, zero, zero, zero
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    far = ahead(rows, end)
    while j + 4 <= end:
        if asking:
            for k in range(4):
                ask(rows, table, j + k + far)
        sum0 = sum0 + term(weight, rows, table, how, j)
        sum1 = sum1 + term(weight, rows, table, how, j + 1)
        sum2 = sum2 + term(weight, rows, table, how, j + 2)
        sum3 = sum3 + term(weight, rows, table, how, j + 3)
        j += 4
    if asking:
        for k in range(j + far, end + far):
            ask(rows, table, k)
    if j < end:
        sum0 = sum0 + term(weight, rows, table, how, j)
    if j + 1 < end:
        sum1 = sum1 + term(weight, rows, table, how, j + 1)
    if j + 2 < end:
        sum2 = sum2 + term(weight, rows, table, how, j + 2)
    return clamped(((sum0 + sum1) + (sum2 + sum3)) + intercept, MAX_MARGIN)


@inlined
def margin_abreast(weights, rows, table, how, r, asking):
    """The margin of a single lane, eight positions at once; `weights` reads those of eight rows."""
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    far = ahead(rows, end)
    intercepts = weights(table, eight_slots(rows.indices, j, 0, rows.slot_mask), how)
    sums = like(intercepts, ZERO)
    while j < end:
        n = min(end - j, 8)
        if asking:
            for k in range(j + far, j + far + n):
                ask(rows, table, k)
        terms = weights(table, eight_slots(rows.indices, j, n, rows.slot_mask), how)
        if rows.value_mask:
            terms = terms * eight_numbers(rows.values, j, n, ZERO)
        sums = add_in_fours(sums, first_of(n, terms, NOTHING))
        j += 8
    whole = (lane(sums, 0) + lane(sums, 1)) + (lane(sums, 2) + lane(sums, 3))
    return clamped(whole + lane(intercepts, 0), MAX_MARGIN)
