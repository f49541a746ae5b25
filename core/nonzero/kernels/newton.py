# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""Lanes -> one probability: a mixture, a logistic regression over the lanes, and both together; gates.

1. *The mixture* of :mod:`nonzero.kernels.mixture`, over the lanes that are open. Its log-odds are the base
   :math:`B`.
2. *The regression*: :math:`q = \operatorname{sigmoid}(\omega \cdot u)`, whose inputs :math:`u` are each open
   lane's log-odds less the base, and :math:`B, 1, l, l B, |B|, B |B| / 4`, where :math:`l = \log(1 +
   \sigma^2)` of one lane says how unsure the example is. It begins as the base. It learns by the online
   Newton step (Hazan, Agarwal, Kale, "Logarithmic regret algorithms for online convex optimization", Machine
   Learning 69, 2007) with the whole covariance, because lanes are nearly collinear. Its answer is kept
   between the open lanes' least and greatest log-odds, the *hull*: a run of labels leads it no further than
   it leads them.
3. *Both* are mixed by the aggregating algorithm.

**Gates.** The first five lanes, the *plain* ones, are always open. They are slow: a run of one label moves
them no further than it must. The others, and answers beyond the hull, take part only where blocks of examples
have shown that they gain by it: evidence for them is a sum as of Page's test (see
:mod:`nonzero.kernels.evidence.restarts`), to which a block of 64 examples adds what it gained over the
mixture of the plain ones less a reference value, and at most one nat. So evidence takes time as well as nats,
and 500 examples cannot open a gate. A lane that is shut learns on. In the mixture it is asleep: its share
goes by the mixture's own loss (Freund, Schapire, Singer and Warmuth, "Using and combining predictors that
specialize", STOC 1997).

**Groups.** The regression learns from groups of eight examples, and at their ends the shares give 1 / (t + 1)
of all away; each of the first 1,024 is a group of its own.

**Regret.** In nats, over T examples of a stream between new starts: the mixture loses at most :math:`S (\ln 8
+ \ln(T + 1))` more than the best plain lane, because the lanes with what sleeping ones are taken to say are a
mixture as of :mod:`nonzero.kernels.mixture`; and the prediction at most :math:`S (\ln 2 + 0.34)` more than
the mixture, where the share that is given away is at most :math:`1 / (t + 1)^2`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.elementary import chances, exp, log
from nonzero.arithmetic.intrinsics import (
    greatest,
    lane,
    least,
    like,
    load,
    maximum,
    minimum,
    on_stack,
    store,
    total,
    where,
)
from nonzero.kernels.evidence.arrays import ALWAYS_OPEN, LAST_RESTART, PLAIN
from nonzero.kernels.mixture import mixed, rescaled, updated
from nonzero.kernels.pending import (
    CLICK,
    COMPLEMENT,
    LOSS,
    MARGIN,
    MAX_PENDING,
    NONE,
    PENDING_ROWS,
    Mixer,
    count_pending,
    enqueue,
)
from nonzero.kernels.progress import LARGEST_WEIGHT, LEARNED
from nonzero.kernels.rows import PREFETCH_DISTANCE, prefetch_row
from nonzero.native import inlined, outlined

GROUP: Final = 8
"""Examples that are learned from at once."""
EARLY: Final = 1024
"""Examples up to which each is a group of its own, and blocks are short."""
SHORT_BLOCK, BLOCK = 16, 64
"""Examples after which gates are looked at."""
UNSURE_LANE: Final = 2
"""The lane whose variance of the margin says how unsure an example is."""
INPUTS: Final = 14
LANES_VARIANCE, OTHERS_VARIANCE = 0.1, 0.02
"""Prior variances of the regression's weights: of the lanes' differences, of all other inputs."""
PREDICTED_AT_ONCE: Final = 16
REFERENCE, BEYOND_REFERENCE, REFERENCE_SHARE = np.float32(0.08), np.float32(0.2), np.float32(0.2)
"""What a block must gain to count, for a lane and beyond the hull: nats, or so much of its loss."""
EARLY_CAP, CAP = np.float32(2.0), np.float32(1.0)
"""What a block counts for at most."""
EARLY_THRESHOLD, MORE_THAN_EARLY, MOST_EVIDENCE = np.float32(0.25), np.float32(7.0), np.float32(3.0)
"""What opens: early so many times T = ln(8 (n + 1)), later so many nats more than T; the most kept, in T."""
FARTHEST, NEVER = np.float32(40.0), np.float32(1e30)
"""Nats of a group by which a lane falls behind the best one, at most."""
MAX_ODDS = np.float32(30.0)
LEAST_CURVATURE = np.float32(1e-6)
LEAST_ODDS, MOST_ODDS = np.float32(1e-30), np.float32(1e30)
EIGHT = np.float32(8.0)
QUARTER = np.float32(0.25)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)

# Rows of the shares, each of two halves: the shares, and the lanes' losses in the group so far; weights and
# gathered gradient of the regression, for the lanes and for the other inputs; the evidence for each lane, and
# what the block so far adds to it; losses of the group by which the shares move, and which lanes are open;
# single numbers; the covariance of the regression's weights.
SHARES, WEIGHTS, GRADIENT, GATES, OPEN, NUMBERS, COVARIANCE = range(7)
SHARE_ROWS: Final = COVARIANCE + INPUTS
# The single numbers: the odds of the regression's share; of the hull's gate whether it is open, its evidence,
# and what the block adds; the block's loss; the group's importance weight.
ODDS, BEYOND, BEYOND_EVIDENCE, BEYOND_GAIN, BLOCK_LOSS, GROUP_WEIGHT = range(6)
# What is kept of pending examples beside what every mixer keeps.
(
    VARIANCE,
    UNSURE,
    BASE,
    OTHERS,
    WITHIN,
    RAW,
    CHANCE,
    NO_CHANCE,
    TRUSTED,
    MIXED_LOSS,
    GAIN,
    SCALE,
) = range(PENDING_ROWS, PENDING_ROWS + 12)
NEWTON_PENDING_ROWS: Final = PENDING_ROWS + 12


def new_newton_shares() -> NDArray[np.float32]:
    """Return float32[20, 16]: what a new model predicts with, beside the lanes."""
    shares = np.zeros((SHARE_ROWS, 16), np.float32)
    shares[SHARES, :8] = 1 / 8
    shares[WEIGHTS, 8] = 1
    shares[OPEN, 8 : 8 + ALWAYS_OPEN] = 1
    shares[NUMBERS, ODDS] = 1
    for k in range(INPUTS):
        shares[COVARIANCE + k, k] = LANES_VARIANCE if k < 8 else OTHERS_VARIANCE
    return shares


@inlined
def reset(shares, plain):
    """Make of the shares those of a new model."""
    rows = shares.rows
    zero = like(plain, ZERO)
    for row in range(SHARE_ROWS):
        store(shares, row, 0, zero)
        store(shares, row, 1, zero)
    for k in range(8):
        rows[SHARES, k] = ONE / EIGHT
        rows[COVARIANCE + k, k] = np.float32(LANES_VARIANCE)
    for k in range(8, INPUTS):
        rows[COVARIANCE + k, k] = np.float32(OTHERS_VARIANCE)
    rows[WEIGHTS, 8] = ONE
    rows[NUMBERS, ODDS] = ONE
    store(shares, OPEN, 1, plain)


def lane_weights(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32[8]: by how much a lane's log-odds move those of the prediction, if that were linear.

    Parameters
    ----------
    shares
        As :func:`new_newton_shares` gives them.
    """
    mixture = shares[SHARES, :8] * shares[OPEN, 8:]
    mixture = mixture / mixture.sum()
    regression = shares[WEIGHTS, :8] * shares[OPEN, 8:]
    last = shares[NUMBERS, ODDS] / (1 + shares[NUMBERS, ODDS])
    rest = shares[WEIGHTS, 8] - regression.sum()
    weights: NDArray[np.float32] = (1 - last) * mixture + last * (regression + rest * mixture)
    return weights


@inlined
def regressed(shares, differences, base, unsure):
    """(the log-odds of the regression, kept within the hull; the same as they are, within +-30)."""
    size, w = max(base, -base), shares.rows
    others = (w[WEIGHTS, 8] * base + w[WEIGHTS, 9]) + (
        w[WEIGHTS, 10] * unsure + w[WEIGHTS, 11] * (unsure * base)
    )
    others = others + (w[WEIGHTS, 12] * size + w[WEIGHTS, 13] * (base * size * QUARTER))
    raw = total(load(shares, WEIGHTS, 0) * differences) + others
    raw = min(max(raw, -MAX_ODDS), MAX_ODDS)
    # A lane that is shut has the difference 0, and so stands at the base, which is within the hull.
    return min(max(raw, base + least(differences)), base + greatest(differences)), raw


@inlined
def enqueue_with_variance(pending, k, margin, click, none, variance):
    """Keep what the lanes predicted of the k-th pending example, and how unsure it is."""
    enqueue(pending, k, margin, click, none, variance)
    pending.rows[VARIANCE, np.uintp(k)] = lane(variance, UNSURE_LANE)


@inlined
def ends_group(age):
    """Whether a group ends with the example of this number."""
    return age <= EARLY or age % GROUP == 0


@inlined
def block_length(age):
    """How many examples are in a block that ends with the example of this number."""
    return SHORT_BLOCK if age <= EARLY else BLOCK


@inlined
def find_lane_losses(pending, labels, first, n):
    """Find what each lane lost on each example: of its probability of what came, which is never too small."""
    for k in range(n):
        came = CLICK if labels[np.uintp(first + k)] > ZERO else COMPLEMENT
        losses = log(load(pending, 0, came * MAX_PENDING + k)) * -ONE
        store(pending, 0, LOSS * MAX_PENDING + k, losses)
    for k in range(n):
        pending.rows[UNSURE, np.uintp(k)] = log(pending.rows[VARIANCE, np.uintp(k)] + ONE)


@inlined
def group_from(weights, first, lo, n, age, largest):
    """(where the group that begins at `lo` ends, the age then, whether it is whole).

    A group is cut before an example that is heavier than all so far, behind it, and behind eight examples.
    """
    hi, whole = lo, False
    while hi < min(n, lo + GROUP) and not whole:
        s = weights[np.uintp(first + hi)]
        if s > largest and hi > lo:
            break
        hi += 1
        if s > ZERO:
            age += 1
            whole = ends_group(age)
        if s > largest:
            break
    return hi, age, whole


@inlined
def mix_group(pending, call, first, lo, hi, shares, plain, largest):
    """Write the mixture's prediction of each example, and the chance that the plain lanes gave what came.

    The shares move with each example; in a group they are worked out from the losses so far, so that no
    example waits for another's.
    """
    now, behind, rows = load(shares, SHARES, 0), load(shares, OPEN, 0), pending.rows
    awake = load(shares, OPEN, 1)
    opened, trusted = now * awake, now * plain
    for k in range(lo, hi):
        r = np.uintp(first + k)
        best = least(where(awake, behind, like(behind, NEVER)))
        moved = exp(minimum(maximum(like(behind, best) - behind, -FARTHEST), ZERO))
        clicks = load(pending, 0, CLICK * MAX_PENDING + k)
        nones = load(pending, 0, COMPLEMENT * MAX_PENDING + k)
        click, none = mixed(opened * moved, clicks, nones)
        call.out[r] = click
        rows[NONE, np.uintp(k)] = none
        clicked = call.labels[r] > ZERO
        rows[MIXED_LOSS, np.uintp(k)] = click if clicked else none
        moved = trusted * moved
        rows[TRUSTED, np.uintp(k)] = total(moved * (clicks if clicked else nones)) / total(moved)
        rows[BASE, np.uintp(k)] = click / none
        behind = behind + load(pending, 0, LOSS * MAX_PENDING + k) * (call.weights[r] / largest)
    # Always eight, so that they are one vector; what is behind the group is written again with its own.
    for k in range(lo, lo + GROUP):
        rows[BASE, np.uintp(k)] = log(rows[BASE, np.uintp(k)])
        rows[MIXED_LOSS, np.uintp(k)] = -log(rows[MIXED_LOSS, np.uintp(k)])
        rows[TRUSTED, np.uintp(k)] = -log(rows[TRUSTED, np.uintp(k)])


@inlined
def regress_group(pending, lo, hi, shares):
    """Write each example's inputs of the regression, differences for margins, and what it predicts."""
    rows, opened = pending.rows, load(shares, OPEN, 1)
    for k in range(lo, hi):
        base, unsure = rows[BASE, np.uintp(k)], rows[UNSURE, np.uintp(k)]
        margin = load(pending, 0, MARGIN * MAX_PENDING + k)
        differences = (margin - like(margin, base)) * opened
        store(pending, 0, MARGIN * MAX_PENDING + k, differences)
        size, at = max(base, -base), np.uintp(8 * k)
        rows[OTHERS, at] = base
        rows[OTHERS, at + np.uintp(1)] = ONE
        rows[OTHERS, at + np.uintp(2)] = unsure
        rows[OTHERS, at + np.uintp(3)] = unsure * base
        rows[OTHERS, at + np.uintp(4)] = size
        rows[OTHERS, at + np.uintp(5)] = base * size * QUARTER
        rows[OTHERS, at + np.uintp(6)] = ZERO
        rows[OTHERS, at + np.uintp(7)] = ZERO
        rows[WITHIN, np.uintp(k)], rows[RAW, np.uintp(k)] = regressed(shares, differences, base, unsure)
    beyond = shares.rows[NUMBERS, BEYOND] > ZERO
    for k in range(lo, lo + GROUP):
        odds = rows[RAW, np.uintp(k)] if beyond else rows[WITHIN, np.uintp(k)]
        chance, no_chance = chances(odds)
        rows[CHANCE, np.uintp(k)] = chance
        rows[NO_CHANCE, np.uintp(k)] = no_chance


@inlined
def find_gains(pending, labels, first, lo, hi):
    """Find what answers beyond the hull gain on each example, in nats."""
    rows = pending.rows
    for k in range(lo, hi):
        sign = -ONE if labels[np.uintp(first + k)] > ZERO else ONE
        rows[WITHIN, np.uintp(k)] *= sign
        rows[RAW, np.uintp(k)] *= sign
    for k in range(lo, lo + GROUP):
        within, raw = exp(rows[WITHIN, np.uintp(k)]), exp(rows[RAW, np.uintp(k)])
        rows[GAIN, np.uintp(k)] = log((within + ONE) / (raw + ONE))


@inlined
def grow(shares, ratio):
    """Make what is gathered what it would be had the largest importance weight always been what it is now."""
    store(shares, SHARES, 0, rescaled(load(shares, SHARES, 0), ratio))
    store(shares, SHARES, 1, load(shares, SHARES, 1) * ratio)
    store(shares, OPEN, 0, load(shares, OPEN, 0) * ratio)
    store(shares, GATES, 1, load(shares, GATES, 1) * ratio)
    numbers = shares.rows
    numbers[NUMBERS, BEYOND_GAIN] *= ratio
    numbers[NUMBERS, BLOCK_LOSS] *= ratio
    numbers[NUMBERS, GROUP_WEIGHT] *= ratio


@inlined
def gather(pending, call, first, lo, hi, shares, largest):
    """Gather what the group's examples showed of the lanes, of the regression and of the gates."""
    rows, numbers, opened = pending.rows, shares.rows, load(shares, OPEN, 1)
    losses, slept, gains = load(shares, SHARES, 1), load(shares, OPEN, 0), load(shares, GATES, 1)
    lanes, others = load(shares, GRADIENT, 0), load(shares, GRADIENT, 1)
    gained, lost = numbers[NUMBERS, BEYOND_GAIN], numbers[NUMBERS, BLOCK_LOSS]
    weight = numbers[NUMBERS, GROUP_WEIGHT]
    for k in range(lo, hi):
        r, at = np.uintp(first + k), np.uintp(k)
        scale = call.weights[r] / largest
        rows[SCALE, at] = scale
        loss = load(pending, 0, LOSS * MAX_PENDING + k) * scale
        trusted = rows[TRUSTED, at] * scale
        losses = losses + loss
        slept = slept + where(opened, loss, like(loss, rows[MIXED_LOSS, at] * scale))
        gains = gains + (like(loss, trusted) - loss)
        lost += trusted
        weight += scale
        gained += rows[GAIN, at] * scale
        g = (-rows[NO_CHANCE, at] if call.labels[r] > ZERO else rows[CHANCE, at]) * scale
        lanes = lanes + load(pending, 0, MARGIN * MAX_PENDING + k) * g
        others = others + load(pending, 0, OTHERS * MAX_PENDING + k) * g
    store(shares, SHARES, 1, losses)
    store(shares, OPEN, 0, slept)
    store(shares, GATES, 1, gains)
    store(shares, GRADIENT, 0, lanes)
    store(shares, GRADIENT, 1, others)
    numbers[NUMBERS, BEYOND_GAIN], numbers[NUMBERS, BLOCK_LOSS] = gained, lost
    numbers[NUMBERS, GROUP_WEIGHT] = weight


@inlined
def move_shares(shares, progress, age, largest):
    """Move the shares by a group that is whole, and add up what each lane lost."""
    for k in range(8):
        progress.lane_losses[k] += np.float64(shares.rows[SHARES, 8 + k]) * np.float64(largest)
    now, slept = load(shares, SHARES, 0), load(shares, OPEN, 0)
    losses = minimum(slept - like(slept, least(slept)), FARTHEST)
    store(shares, SHARES, 0, updated(now, losses, ONE, age))
    zero = like(now, ZERO)
    store(shares, SHARES, 1, zero)
    store(shares, OPEN, 0, zero)


@outlined
def newton_step(pending, k, curvature, shares):
    """The covariance learns from the k-th pending example; then the weights take the step that was gathered.

    In float32 a covariance of millions of examples may lose a direction in which it is nearly nothing. There
    it is left as it is, so that it stays finite.
    """
    rows = shares.rows
    u0, u1 = load(pending, 0, MARGIN * MAX_PENDING + k), load(pending, 0, OTHERS * MAX_PENDING + k)
    g0, g1 = load(shares, GRADIENT, 0), load(shares, GRADIENT, 1)
    zero = like(u0, ZERO)
    q0, q1, d0, d1 = zero, zero, zero, zero
    for i in range(INPUTS):
        one, other = load(shares, COVARIANCE + i, 0), load(shares, COVARIANCE + i, 1)
        at = OTHERS if i >= 8 else MARGIN
        u, g = pending.rows[at, np.uintp(8 * k + (i & 7))], rows[GRADIENT, np.uintp(i)]
        q0, q1 = q0 + one * u, q1 + other * u
        d0, d1 = d0 + one * g, d1 + other * g
    variance, along = total(q0 * u0 + q1 * u1), total(q0 * g0 + q1 * g1)
    factor = curvature / (curvature * variance + ONE) if variance > ZERO else ZERO
    for i in range(INPUTS):
        q = lane(q1, i & 7) if i >= 8 else lane(q0, i)
        store(shares, COVARIANCE + i, 0, load(shares, COVARIANCE + i, 0) - q0 * q * factor)
        store(shares, COVARIANCE + i, 1, load(shares, COVARIANCE + i, 1) - q1 * q * factor)
    along = factor * along
    store(shares, WEIGHTS, 0, load(shares, WEIGHTS, 0) - (d0 - q0 * along))
    store(shares, WEIGHTS, 1, load(shares, WEIGHTS, 1) - (d1 - q1 * along))
    store(shares, GRADIENT, 0, zero)
    store(shares, GRADIENT, 1, zero)


@outlined
def judge(shares, plain, age):
    """Open and shut the gates, at a block's end."""
    early, length = age <= EARLY, np.float32(block_length(age))
    numbers, nats = shares.rows, log(np.float32(8 * (age + 1)))
    share, part = REFERENCE_SHARE * numbers[NUMBERS, BLOCK_LOSS], length / np.float32(BLOCK)
    reference = min(REFERENCE, share) * part
    cap = EARLY_CAP if early else CAP
    threshold = nats * EARLY_THRESHOLD if early else nats + MORE_THAN_EARLY
    most = nats * MOST_EVIDENCE
    gains = minimum(maximum(load(shares, GATES, 1) - reference, -cap), cap)
    evidence = minimum(maximum(load(shares, GATES, 0) + gains, ZERO), most)
    zero = like(gains, ZERO)
    store(shares, GATES, 0, evidence)
    store(shares, GATES, 1, zero)
    store(shares, OPEN, 1, maximum(plain, where(evidence - threshold, zero + ONE, zero)))
    reference = min(BEYOND_REFERENCE, share) * part
    gained = min(max(numbers[NUMBERS, BEYOND_GAIN] - reference, -cap), cap)
    proven = min(max(numbers[NUMBERS, BEYOND_EVIDENCE] + gained, ZERO), most)
    numbers[NUMBERS, BEYOND_EVIDENCE] = proven
    numbers[NUMBERS, BEYOND] = ONE if proven > threshold else ZERO
    numbers[NUMBERS, BEYOND_GAIN] = ZERO
    numbers[NUMBERS, BLOCK_LOSS] = ZERO


@inlined
def mix_last(pending, call, first, lo, hi, shares, grown):
    """Write the prediction of each example: of the mixture and the regression, mixed.

    The share's odds are what an example multiplies. Where the largest weight grows by the group's one
    example, its prediction is from before.
    """
    odds, rows = shares.rows[NUMBERS, ODDS], pending.rows
    for k in range(lo, hi):
        r, at = np.uintp(first + k), np.uintp(k)
        clicked = call.labels[r] > ZERO
        new, old = (rows[CHANCE, at], call.out[r]) if clicked else (rows[NO_CHANCE, at], rows[NONE, at])
        ratio = new / old
        last = odds / (odds + ONE)
        call.out[r] = (ONE - last) * call.out[r] + last * rows[CHANCE, at]
        rows[NONE, at] = (ONE - last) * rows[NONE, at] + last * rows[NO_CHANCE, at]
        if grown < ONE:
            odds = exp(log(odds) * grown)
        scale = rows[SCALE, at]
        if scale > ZERO:
            if scale < ONE:
                ratio = exp(log(ratio) * scale)
            odds = min(max(odds * ratio, LEAST_ODDS), MOST_ODDS)
    shares.rows[NUMBERS, ODDS] = odds


@inlined
def spread_last(shares, age):
    """Spread a share of 1/(t+1)^2 over the mixture and the regression."""
    odds, alpha = shares.rows[NUMBERS, ODDS], ONE / np.float32(age + 1)
    alpha = alpha * alpha * HALF
    kept = ONE - alpha
    shares.rows[NUMBERS, ODDS] = (odds * kept + alpha) / (odds * alpha + kept)


@inlined
def fetch_ahead(rows, table, first, lo, hi, stop):
    """Fetch rows of the table that later examples need: the memory would have nothing to do meanwhile.

    As many nonzeros as half of those of the examples from `lo` to `hi`, behind what the steps fetch.
    """
    begin, distance = rows.indptr[np.uintp(first)], rows.indptr[np.uintp(stop)] + PREFETCH_DISTANCE
    start = distance + (rows.indptr[np.uintp(first + lo)] - begin) // 2
    end = distance + (rows.indptr[np.uintp(first + hi)] - begin) // 2
    for j in range(start, min(end, rows.indices.size)):
        prefetch_row(rows, table, j)


@outlined
def combine(pending, rows, table, shares, groups, progress, born, call, first, stop):
    """Mix the predictions of the rows from `first` to `stop`, which are pending, learn to, and count them."""
    n, plain = stop - first, load(groups, PLAIN[0], PLAIN[1])
    age, largest = progress.counts[LEARNED] - born, np.float32(progress.sums[LARGEST_WEIGHT])
    find_lane_losses(pending, call.labels, first, n)
    lo = 0
    while lo < n:
        hi, age, whole = group_from(call.weights, first, lo, n, age, largest)
        fetch_ahead(rows, table, first, lo, hi, stop)
        mix_group(pending, call, first, lo, hi, shares, plain, largest)
        regress_group(pending, lo, hi, shares)
        find_gains(pending, call.labels, first, lo, hi)
        heaviest = call.weights[np.uintp(lo + first)]
        ratio = largest / heaviest if heaviest > largest else ONE
        largest = max(largest, heaviest)
        if ratio < ONE:
            grow(shares, ratio)
        gather(pending, call, first, lo, hi, shares, largest)
        mix_last(pending, call, first, lo, hi, shares, ratio)
        if whole:
            move_shares(shares, progress, age, largest)
            spread_last(shares, age)
            k = hi - 1
            h = max(pending.rows[CHANCE, np.uintp(k)] * pending.rows[NO_CHANCE, np.uintp(k)], LEAST_CURVATURE)
            newton_step(pending, k, shares.rows[NUMBERS, GROUP_WEIGHT] * h, shares)
            shares.rows[NUMBERS, GROUP_WEIGHT] = ZERO
            if age % block_length(age) == 0:
                judge(shares, plain, age)
        lo = hi
    progress.counts[LEARNED] = age + born
    progress.sums[LARGEST_WEIGHT] = np.float64(largest)
    count_pending(pending, progress, call, first, n)


@inlined
def flush(pending, rows, state, call, first, stop):
    """Combine and count, handed no more than that needs."""
    born = state.evidence.counters[LAST_RESTART]
    combine(pending, rows, state.table, state.shares, state.groups, state.progress, born, call, first, stop)


@inlined
def predict(margin, weight, rows, state, params, out):
    """Predict each example, 16 at a time: the chain of one alone is longer than the margins of the next."""
    pending, shares = on_stack(state.shares), state.shares
    kept, numbers, opened = pending.rows, shares.rows, load(shares, OPEN, 1)
    now, odds, beyond = (
        load(shares, SHARES, 0) * opened,
        numbers[NUMBERS, ODDS],
        numbers[NUMBERS, BEYOND] > ZERO,
    )
    last = odds / (odds + ONE)
    for first in range(0, out.size, PREDICTED_AT_ONCE):
        n = min(out.size - first, PREDICTED_AT_ONCE)
        for k in range(n):
            m, variance = margin(weight, rows, state.table, params, first + k, prefetching=True)
            store(pending, 0, MARGIN * MAX_PENDING + k, m)
            kept[VARIANCE, np.uintp(k)] = lane(variance, UNSURE_LANE)
        for k in range(n):
            click, none = chances(load(pending, 0, MARGIN * MAX_PENDING + k))
            click, none = mixed(now, click, none)
            out[np.uintp(first + k)] = click
            kept[BASE, np.uintp(k)] = click / none
        for k in range(n):
            kept[BASE, np.uintp(k)] = log(kept[BASE, np.uintp(k)])
            kept[UNSURE, np.uintp(k)] = log(kept[VARIANCE, np.uintp(k)] + ONE)
        for k in range(n):
            base = kept[BASE, np.uintp(k)]
            m = load(pending, 0, MARGIN * MAX_PENDING + k)
            within, raw = regressed(shares, (m - like(m, base)) * opened, base, kept[UNSURE, np.uintp(k)])
            kept[WITHIN, np.uintp(k)] = raw if beyond else within
        for k in range(n):
            chance, _ = chances(kept[WITHIN, np.uintp(k)])
            out[np.uintp(first + k)] = (ONE - last) * out[np.uintp(first + k)] + last * chance


NEWTON: Final = Mixer(predict, enqueue_with_variance, flush)
"""The mixture, the regression over the lanes, and both together, behind gates."""
