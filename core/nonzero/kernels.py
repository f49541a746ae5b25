# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops: predict and learn, for one lane and for eight from the same lines.

Each loops over an example's nonzeros: `j` is a position in the batch, ``i = indices[j] & mask`` the slot, the
last row of the table the intercept. Kernels never allocate, never raise, and touch only the rows that an
example names.

The order of every sum is fixed, so that any chunking, any CPU and any day gives the same bits: a margin is
four partial sums over the positions j mod 4 within the example, added as (0 + 1) + (2 + 3), and then the
intercept's weight. (One chain of additions is bound by their latency: 6.0 against 7.3 million examples a
second with one lane.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from nonzero.compiled import inlined, kernel, outlined
from nonzero.evidence import (
    COMPARING,
    EVIDENCE,
    PIECE,
    SAMPLE_SHIFT,
    drawn,
    observe_fields,
    put_away,
    read_clock,
)
from nonzero.intrinsics import (
    EightLanes,
    OneLane,
    count,
    lane,
    like,
    load,
    maximum,
    minimum,
    prefetch,
    root,
    store,
)
from nonzero.lanes import exp, expm1, log, softplus
from nonzero.mixture import mixed, rescaled, updated
from nonzero.progressive import LARGEST_WEIGHT, LEARNED, Progress, record

__all__ = ["AHEAD", "Rows", "learn_eight", "learn_one", "predict_eight", "predict_one"]

AHEAD = 200
"""How many nonzeros ahead a row is asked for: about the time that memory takes, across the borders of
examples."""

ONE = np.float32(1.0)
ZERO = np.float32(0.0)
MAX_MARGIN = np.float32(50.0)
MAX_ACCUMULATOR = np.float32(1e30)
MAX_WEIGHT = np.float32(1e6)
MAX_PULL = np.float32(1e30)
MAX_RATIO = np.float32(1e37)
MAX_EXPONENT = np.float32(87.0)
LEAST_LOSS = np.float32(1e-9)  # what 1 - decay is taken for where it is 0; any other is 6e-8 or more
NEWTON_STEPS = 6
WEIGHTS, ACCUMULATORS = 0, 1


class Rows(NamedTuple):
    """A batch as kernels take it.

    Parameters
    ----------
    indptr
        int64[n + 1].
    indices
        uint32[nnz].
    values
        float32[nnz], or a single 1 where every value is 1.
    value_mask
        All ones, or 0 where every value is 1: ``values[j & value_mask]``. One kernel serves both, and memory
        is read only where there are values.
    slot_mask
        The number of slots less 1.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    value_mask: int
    slot_mask: int


# Subscripts are unsigned: a signed one would be checked for being negative, each time.


@inlined
def slot(rows, j):
    """The slot of position j."""
    return np.intp(rows.indices[np.uintp(j)] & np.uint32(rows.slot_mask))


@inlined
def value(rows, j):
    """The feature value of position j."""
    return rows.values[np.uintp(j & rows.value_mask)]


@inlined
def term(rows, table, j):
    """The share of position j in the margin."""
    return load(table, slot(rows, j), WEIGHTS) * value(rows, j)


@inlined
def margin(rows, table, r):
    """M = sum of w_i x_i over the row, in the stated order, clamped to +-50."""
    intercept = load(table, rows.slot_mask + 1, WEIGHTS)
    zero = like(intercept, ZERO)
    sum0, sum1, sum2, sum3 = zero, zero, zero, zero
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    last = rows.indices.size - 1
    while j + 4 <= end:
        soon = min(j + AHEAD, last - 3)
        for k in range(4):
            prefetch(table, slot(rows, soon + k))
        sum0 = sum0 + term(rows, table, j)
        sum1 = sum1 + term(rows, table, j + 1)
        sum2 = sum2 + term(rows, table, j + 2)
        sum3 = sum3 + term(rows, table, j + 3)
        j += 4
    for k in range(j, end):
        prefetch(table, slot(rows, min(k + AHEAD, last)))
    if j < end:
        sum0 = sum0 + term(rows, table, j)
    if j + 1 < end:
        sum1 = sum1 + term(rows, table, j + 1)
    if j + 2 < end:
        sum2 = sum2 + term(rows, table, j + 2)
    m = ((sum0 + sum1) + (sum2 + sum3)) + intercept
    return minimum(maximum(m, like(m, -MAX_MARGIN)), like(m, MAX_MARGIN))


@inlined
def chances(m):
    """(p, 1 - p) of margins, neither with cancellation: 1 / (1 + e) and e / (1 + e), e = exp(-m)."""
    e = exp(-ONE * m)
    p = ONE / (e + ONE)
    return p, e * p


@inlined
def bounded(weights):
    """Weights kept within +-1e6."""
    return minimum(maximum(weights, like(weights, -MAX_WEIGHT)), like(weights, MAX_WEIGHT))


@inlined
def accumulate(table, i, g, decay, mass):
    """G_i <- min(decay G_i + mass g^2, 1e30); returns it."""
    accumulators = load(table, i, ACCUMULATORS) * decay + (g * g) * mass
    accumulators = minimum(accumulators, like(accumulators, MAX_ACCUMULATOR))
    store(table, i, ACCUMULATORS, accumulators)
    return accumulators


@inlined
def step(table, i, residual, x, eta, epsilon, decay):
    """AdaGrad on one coordinate: G_i <- decay G_i + g^2, w_i -= eta g / sqrt(G_i + epsilon)."""
    g = residual * x
    accumulators = accumulate(table, i, g, decay, ONE)
    store(table, i, WEIGHTS, bounded(load(table, i, WEIGHTS) - eta * g / root(accumulators + epsilon)))


@inlined
def learn_plain(rows, table, r, residual, eta, epsilon, decay):
    """Take the step of an example whose importance weight is 1."""
    for j in range(rows.indptr[r], rows.indptr[r + 1]):
        step(table, slot(rows, j), residual, value(rows, j), eta, epsilon, decay)
    step(table, rows.slot_mask + 1, residual, ONE, eta, epsilon, decay)


@inlined
def touches(s, decay, whole):
    """(decay^s, (1 - decay^s) / (1 - decay)): what s touches at once leave of an accumulator and add to it.

    The second is the sum of a geometric series, and s itself in the lanes that do not decay, where `whole` is
    1.
    """
    exponent = maximum(log(decay) * s, like(decay, -MAX_EXPONENT))
    lost = maximum(like(decay, ONE) - decay, like(decay, LEAST_LOSS))
    return exp(exponent), expm1(exponent) * -ONE / lost + whole * s


@inlined
def distance(odds, pull):
    """How far the margin goes towards the label under the pull Q s: the d >= 0 with d + a (e^d - 1) = Q s.

    `odds` is a, the odds of the label: p / (1 - p) for a click, (1 - p) / p for none. The left side rises and
    is convex, and both Q s and log(1 + Q s / a) are at or above the root, so Newton's steps from the smaller
    of them fall towards it and never pass it.
    """
    ratio = minimum(pull / odds, like(pull, MAX_RATIO))
    d = minimum(pull, log(ratio + ONE))
    for _ in range(NEWTON_STEPS):
        grown = expm1(d)
        d = d - (d + odds * grown - pull) / (odds * grown + odds + ONE)
        d = maximum(d, like(d, ZERO))
    return d


@inlined
def learn_weighted(rows, table, r, residual, odds, toward, s, eta, epsilon, kept, mass):
    """Take the step that infinitely many small steps of total weight s would take, rates held fixed.

    With the rates r_i = eta / sqrt(G_i + epsilon), along such steps the margin moves by dm/ds = (y - p) Q,
    where Q = sum of r_i x_i^2 (Karampatziakis and Langford 2011, section 4); `distance` solves that for the
    logistic loss. The accumulators take all of s first: `kept` and `mass` are what :func:`touches` says.
    """
    lo, hi, last = rows.indptr[r], rows.indptr[r + 1], rows.slot_mask + 1
    for j in range(lo, hi):
        accumulate(table, slot(rows, j), residual * value(rows, j), kept, mass)
    rate = eta / root(accumulate(table, last, residual, kept, mass) + epsilon)
    q = rate
    for j in range(lo, hi):
        x = value(rows, j)
        q = q + eta / root(load(table, slot(rows, j), ACCUMULATORS) + epsilon) * (x * x)
    pull = minimum(q * s, like(q, MAX_PULL))
    move = distance(odds, pull) / q * toward
    for j in range(lo, hi):
        i = slot(rows, j)
        rate_i = eta / root(load(table, i, ACCUMULATORS) + epsilon)
        store(table, i, WEIGHTS, bounded(load(table, i, WEIGHTS) + move * rate_i * value(rows, j)))
    store(table, last, WEIGHTS, bounded(load(table, last, WEIGHTS) + move * rate))


@inlined
def learn_example(rows, table, r, m, p, complement, label, s, rates):
    """Take one example's step in every lane."""
    eta, epsilon = load(rates, 0, 0), load(rates, 0, 1)
    # p - y without the cancellation of 1 - p: -(1 - p) for a click.
    residual = complement * -ONE if label > ZERO else p
    if s == ONE:
        learn_plain(rows, table, r, residual, eta, epsilon, load(rates, 1, 0))
    else:
        toward = ONE if label > ZERO else -ONE
        kept, mass = touches(s, load(rates, 1, 0), load(rates, 1, 1))
        learn_weighted(rows, table, r, residual, exp(m * toward), toward, s, eta, epsilon, kept, mass)


@inlined
def mix(shares, progress, losses, s):
    """Move the shares, and add up the lanes' losses, after an example that the lanes lost `losses` on."""
    largest = np.float32(progress.sums[LARGEST_WEIGHT])
    now = load(shares, 0, 0)
    if s > largest:
        now = rescaled(now, largest / s)
        progress.sums[LARGEST_WEIGHT] = s
        largest = s
    store(shares, 0, 0, updated(now, losses, s / largest, progress.counts[LEARNED]))
    for k in range(count(losses)):
        progress.lane_losses[k] += np.float64(s) * np.float64(lane(losses, k))


@outlined
def ask_fields(
    rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
    clock, m, p, complement, label, s,
):  # fmt: skip
    """Write down of each field of an example what the live lanes would have made of it."""
    observe_fields(
        evidence, groups, load(shares, 0, 0), rates, table, rows.indptr, rows.indices, rows.values,
        rows.value_mask, fields, field_mask, r, m, p, complement, label, s, progress.counts[LEARNED], clock,
    )  # fmt: skip


@inlined
def learn(
    rows, fields, field_mask, labels, weights, table, rates, shares, groups, progress, evidence, clock, out
):
    """Predict each example, then learn from it."""
    read_clock(evidence, clock)
    for r in range(labels.size):
        label, s = labels[r], weights[r]
        m = margin(rows, table, r)
        p, complement = chances(m)
        click, none = mixed(load(shares, 0, 0), p, complement)
        out[r] = click
        record(progress, click, none, label, s)
        if s > ZERO:
            progress.counts[LEARNED] += 1
            if count(m) > 1:
                mix(shares, progress, softplus(m * (-ONE if label > ZERO else ONE)), s)
                learned = progress.counts[LEARNED]
                if drawn(learned, SAMPLE_SHIFT) and evidence.counters[COMPARING]:
                    ask_fields(
                        rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
                        clock, m, p, complement, label, s,
                    )  # fmt: skip
                if learned % PIECE == 0 and evidence.counters[COMPARING]:
                    put_away(evidence, groups, shares, table, progress)
            learn_example(rows, table, r, m, p, complement, label, s, rates)


@inlined
def predict(rows, table, shares, out):
    """Predict each example."""
    for r in range(out.size):
        p, complement = chances(margin(rows, table, r))
        out[r] = mixed(load(shares, 0, 0), p, complement)[0]


@inlined
def as_rows(indptr, indices, values, value_mask, table):
    """Gather a batch's arrays and the mask of the table's slots."""
    return Rows(indptr, indices, values, value_mask, table.rows.shape[0] - 2)


FLOATS = types.float32[::1]
# What a batch holds may be read-only (bytes of a journal); arrays inside of tuples would have to match
# exactly.
ARRAYS = [types.Array(of, 1, "C", readonly=True) for of in (types.int64, types.uint32, types.float32)]
BATCH = (*ARRAYS, types.intp)
LABELS = types.Array(types.float32, 1, "C", readonly=True)
GROUPED = types.Array(types.uint16, 1, "C", readonly=True)
LEARNING = (*BATCH, GROUPED, types.intp, LABELS, LABELS)
ONE_LANE = types.NamedUniTuple(types.float32[:, ::1], 1, OneLane)
EIGHT_LANES = types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes)
PROGRESS = types.NamedTuple(
    (types.int64[::1], types.float64[::1], types.float64[::1], types.float64[:, ::1], types.float32[:, ::1]),
    Progress,
)


@kernel(types.void(*LEARNING, *[ONE_LANE] * 4, PROGRESS, EVIDENCE, types.int64, FLOATS))
def learn_one(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, out,
):  # fmt: skip
    """:func:`learn` with one lane."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, out,
    )  # fmt: skip


@kernel(types.void(*LEARNING, *[EIGHT_LANES] * 4, PROGRESS, EVIDENCE, types.int64, FLOATS))
def learn_eight(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, out,
):  # fmt: skip
    """:func:`learn` with eight lanes."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, out,
    )  # fmt: skip


@kernel(types.void(*BATCH, ONE_LANE, ONE_LANE, FLOATS))
def predict_one(indptr, indices, values, value_mask, table, shares, out):
    """:func:`predict` with one lane."""
    predict(as_rows(indptr, indices, values, value_mask, table), table, shares, out)


@kernel(types.void(*BATCH, EIGHT_LANES, EIGHT_LANES, FLOATS))
def predict_eight(indptr, indices, values, value_mask, table, shares, out):
    """:func:`predict` with eight lanes."""
    predict(as_rows(indptr, indices, values, value_mask, table), table, shares, out)
