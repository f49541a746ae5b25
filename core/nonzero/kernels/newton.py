# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""Lanes -> one probability: mixtures, a regression over the lanes, and a gate between two answers.

1. *Two mixtures* by the aggregating algorithm (:mod:`nonzero.kernels.mixture`): of all eight lanes, whose
   shares move by the likelihood to the power 0.3, and of the first five, the *plain* ones. The log-odds of
   the former are the base :math:`B`.
2. *The regression*: :math:`q = \operatorname{sigmoid}(\omega \cdot u)`, whose inputs :math:`u` are each
   lane's log-odds less the base, and :math:`B, 1, l, l B, |B|, B |B| / 4`, where :math:`l = \log(1 +
   \sigma^2)` of one lane says how unsure the example is. It begins as the base. It learns by the online
   Newton step (Hazan, Agarwal, Kale, "Logarithmic regret algorithms for online convex optimization", Machine
   Learning 69, 2007) with the whole covariance, because lanes are nearly collinear. It learns from groups of
   eight examples; each of the first 1,024 is a group of its own.
3. *Two answers*. The *free* one aggregates the mixture of all lanes and the regression. The *restricted* one
   aggregates the mixture of the plain lanes and the regression, kept between the plain lanes' least and
   greatest log-odds, their *hull*. Plain lanes are slow: a run of one label moves them no further than it
   must, and the restricted answer no further than them.

**The gate.** The prediction is the restricted answer until blocks of examples have shown that the free one is
better. The evidence is a sum as of Page's test (see :mod:`nonzero.kernels.evidence.restarts`), to which a
block of 64 examples adds what the free answer gained, less a reference value, and no more than a cap. The
gate opens where the evidence is above ln(8 (n + 1)) / 2 at nine block ends in a row: evidence takes time as
well as nats, and 500 examples alone cannot open it. It shuts where the evidence is not above. In the first
512 examples blocks are of 16, and half of that evidence is enough, once.

**Regret.** In nats, over T examples of a stream between new starts. Of the restricted answer, over the best
plain lane, at most :math:`S (\ln 5 + \ln(T + 1) / 2 + \ln 2 + 0.34)`: the mixture gives away half of 1 / (t +
1), and the last aggregation at most 1 / (t + 1)^2. Of the free answer, over the best lane, at most :math:`S
((\ln 8 + \ln(T + 1)) / 0.3 + \ln 2 + 0.34)`: with shares that move by the power 0.3, which is at most 1, the
mixture's loss is at most what they lose over 0.3. The prediction is always one of the two; no bound of its
own holds over many openings.
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
    on_stack,
    store,
    total,
    where,
)
from nonzero.kernels.evidence.arrays import LAST_RESTART, PLAIN_LANES
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
"""Examples up to which each is a group of its own."""
EARLY_GATE: Final = 512
"""Examples up to which blocks are short, and little evidence opens the gate."""
SHORT_BLOCK, BLOCK = 16, 64
"""Examples after which the gate is looked at."""
UNSURE_LANE: Final = 2
"""The lane whose variance of the margin says how unsure an example is."""
INPUTS: Final = 14
LANES_VARIANCE, OTHERS_VARIANCE = 0.1, 0.02
"""Prior variances of the regression's weights: of the lanes' differences, of all other inputs."""
PREDICTED_AT_ONCE: Final = 16
POWER = np.float32(0.3)
"""Of the likelihoods by which the shares of all lanes move."""
REFERENCE, REFERENCE_SHARE = np.float32(0.25), np.float32(0.02)
"""What a block must gain to count: nats, or so much of its loss."""
EARLY_CAP, LEAST_CAP, MOST_CAP = np.float32(2.0), np.float32(1.0), np.float32(4.0)
"""What a block counts for at most; later it is what blocks differ by, within bounds."""
EARLY_THRESHOLD, THRESHOLD = np.float32(0.25), np.float32(0.5)
"""The evidence that opens the gate, in T = ln(8 (n + 1))."""
BLOCKS_ABOVE = np.float32(8.0)
"""How many block ends in a row the evidence must have been above, and one more, to open the gate."""
MOST_EVIDENCE, MORE_EVIDENCE = np.float32(3.0), np.float32(28.0)
"""The most evidence that is kept: so many times T, and so many nats."""
REMEMBERED_BLOCKS = np.float32(128.0)
"""Over how many blocks their usual difference is averaged."""
FARTHEST = np.float32(100.0)
"""Beyond all log-odds of lanes."""
MAX_ODDS = np.float32(30.0)
LEAST_CURVATURE = np.float32(1e-6)
LEAST_ODDS, MOST_ODDS = np.float32(1e-30), np.float32(1e30)
EIGHT = np.float32(8.0)
QUARTER = np.float32(0.25)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)

# Rows of the shares, each of two halves: those of all lanes and those of the plain ones, 0 for the others;
# the lanes' losses in the group so far; weights and gathered gradient of the regression, for the lanes and
# for the other inputs; single numbers; the covariance of the regression's weights.
SHARES, LOSSES, WEIGHTS, GRADIENT, NUMBERS, COVARIANCE = range(6)
SHARE_ROWS: Final = COVARIANCE + INPUTS
# The single numbers: the odds of the regression's share in the free answer, and in the restricted one; the
# gate: whether it is open, its evidence, what the block adds to it, what the restricted answer lost in the
# block, what blocks usually differ by, and how many block ends in a row the evidence was above; the group's
# importance weight.
FREE_ODDS, ODDS, OPEN, GATE_EVIDENCE, BLOCK_GAIN, BLOCK_LOSS, SPREAD, ABOVE, GROUP_WEIGHT = range(9)
# What is kept of pending examples beside what every mixer keeps. UNSURE is the variance first, and CHANCE and
# WITHIN are log-odds first.
(
    UNSURE,
    BASE,
    OTHERS,
    CHANCE,
    NO_CHANCE,
    WITHIN,
    NOT_WITHIN,
    PLAIN_CLICK,
    PLAIN_NONE,
    LOST,
    GAIN,
    SCALE,
) = range(PENDING_ROWS, PENDING_ROWS + 12)
NEWTON_PENDING_ROWS: Final = PENDING_ROWS + 12


def new_newton_shares() -> NDArray[np.float32]:
    """Return float32[19, 16]: what a new model predicts with, beside the lanes."""
    shares = np.empty((SHARE_ROWS, 16), np.float32)
    reset(shares)
    return shares


@inlined
def reset(rows):
    """Make of the rows of the shares those of a new model."""
    for row in range(SHARE_ROWS):
        rows[row, :] = ZERO
    for k in range(8):
        rows[SHARES, k] = ONE / EIGHT
        rows[COVARIANCE + k, k] = np.float32(LANES_VARIANCE)
    for k in range(PLAIN_LANES):
        rows[SHARES, 8 + k] = ONE / np.float32(PLAIN_LANES)
    for k in range(8, INPUTS):
        rows[COVARIANCE + k, k] = np.float32(OTHERS_VARIANCE)
    rows[WEIGHTS, 8] = ONE
    rows[NUMBERS, FREE_ODDS] = ONE
    rows[NUMBERS, ODDS] = ONE


def mixture_shares(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32[8]: the shares of the mixture in the answer that is given.

    Parameters
    ----------
    shares
        As :func:`new_newton_shares` gives them.
    """
    mixture: NDArray[np.float32] = shares[SHARES, :8] if shares[NUMBERS, OPEN] > 0 else shares[SHARES, 8:]
    return mixture


def lane_weights(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32[8]: by how much a lane's log-odds move those of the prediction, if that were linear.

    Parameters
    ----------
    shares
        As :func:`new_newton_shares` gives them.
    """
    numbers, regression = shares[NUMBERS], shares[WEIGHTS, :8]
    odds = numbers[FREE_ODDS] if numbers[OPEN] > 0 else numbers[ODDS]
    last = odds / (1 + odds)
    rest = shares[WEIGHTS, 8] - regression.sum()
    weights: NDArray[np.float32] = (1 - last) * mixture_shares(shares) + last * (
        regression + rest * shares[SHARES, :8]
    )
    return weights


@inlined
def regressed(shares, plain, margin, differences, base, unsure):
    """(the log-odds of the regression, within +-30; the same, kept within the plain lanes' hull)."""
    size, w = max(base, -base), shares.rows
    others = (w[WEIGHTS, 8] * base + w[WEIGHTS, 9]) + (
        w[WEIGHTS, 10] * unsure + w[WEIGHTS, 11] * (unsure * base)
    )
    others = others + (w[WEIGHTS, 12] * size + w[WEIGHTS, 13] * (base * size * QUARTER))
    raw = total(load(shares, WEIGHTS, 0) * differences) + others
    raw = min(max(raw, -MAX_ODDS), MAX_ODDS)
    lowest = least(where(plain, margin, FARTHEST))
    highest = greatest(where(plain, margin, -FARTHEST))
    return raw, min(max(raw, lowest), highest)


@inlined
def enqueue_with_variance(pending, k, margin, click, none, variance):
    """Keep what the lanes predicted of the k-th pending example, and how unsure it is."""
    enqueue(pending, k, margin, click, none, variance)
    pending.rows[UNSURE, np.uintp(k)] = lane(variance, UNSURE_LANE)


@inlined
def ends_group(age):
    """Whether a group ends with the example of this number."""
    return age <= EARLY or age % GROUP == 0


@inlined
def block_length(age):
    """How many examples are in a block that ends with the example of this number."""
    return SHORT_BLOCK if age <= EARLY_GATE else BLOCK


@inlined
def find_lane_losses(pending, labels, first, n):
    """Find what each lane lost on each example: of its probability of what came, which is never too small."""
    for k in range(n):
        came = CLICK if labels[np.uintp(first + k)] > ZERO else COMPLEMENT
        losses = log(load(pending, 0, came * MAX_PENDING + k)) * -ONE
        store(pending, 0, LOSS * MAX_PENDING + k, losses)
    for k in range(n):
        pending.rows[UNSURE, np.uintp(k)] = log(pending.rows[UNSURE, np.uintp(k)] + ONE)


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
def plain_updated(shares, moved, age):
    """The plain lanes' shares after an example: moved by likelihoods, then half of 1/(t+1) spread evenly."""
    shares = shares * moved
    alpha = HALF / np.float32(age + 1)
    spread = where(shares, alpha / np.float32(PLAIN_LANES), ZERO)
    return (shares / total(shares)) * (ONE - alpha) + spread


@inlined
def plain_rescaled(shares, ratio):
    """The plain lanes' shares as in :func:`nonzero.kernels.mixture.rescaled`; the others' stay 0."""
    raised = where(shares, exp(log(where(shares, shares, ONE)) * ratio), shares)
    return raised / total(raised)


@inlined
def mix_group(pending, call, first, lo, hi, shares, age, largest):
    """Write what both mixtures predict of each example, and move their shares by it.

    Where the largest weight grows by the group's one example, its prediction is from before.
    """
    free, plain, rows = load(shares, SHARES, 0), load(shares, SHARES, 1), pending.rows
    for k in range(lo, hi):
        r, at = np.uintp(first + k), np.uintp(k)
        clicks = load(pending, 0, CLICK * MAX_PENDING + k)
        nones = load(pending, 0, COMPLEMENT * MAX_PENDING + k)
        click, none = mixed(free, clicks, nones)
        call.out[r] = click
        rows[NONE, at] = none
        rows[BASE, at] = click / none
        rows[PLAIN_CLICK, at], rows[PLAIN_NONE, at] = mixed(plain, clicks, nones)
        s = call.weights[r]
        if s > largest:
            free, plain = rescaled(free, largest / s), plain_rescaled(plain, largest / s)
            largest = s
        scale = s / largest
        rows[SCALE, at] = scale
        if s > ZERO:
            age += 1
            losses = load(pending, 0, LOSS * MAX_PENDING + k)
            free = updated(free, losses, POWER * scale, age)
            moved = clicks if call.labels[r] > ZERO else nones
            if scale < ONE:
                moved = exp(losses * -scale)
            plain = plain_updated(plain, moved, age)
    store(shares, SHARES, 0, free)
    store(shares, SHARES, 1, plain)
    # Always eight, so that they are one vector; what is behind the group is written again with its own.
    for k in range(lo, lo + GROUP):
        rows[BASE, np.uintp(k)] = log(rows[BASE, np.uintp(k)])


@inlined
def regress_group(pending, lo, hi, shares):
    """Write each example's inputs of the regression, differences for margins, and what it predicts."""
    rows, plain = pending.rows, load(shares, SHARES, 1)
    for k in range(lo, hi):
        base, unsure = rows[BASE, np.uintp(k)], rows[UNSURE, np.uintp(k)]
        margin = load(pending, 0, MARGIN * MAX_PENDING + k)
        differences = margin - base
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
        raw, within = regressed(shares, plain, margin, differences, base, unsure)
        rows[CHANCE, np.uintp(k)], rows[WITHIN, np.uintp(k)] = raw, within
    for k in range(lo, lo + GROUP):
        chance, no_chance = chances(rows[CHANCE, np.uintp(k)])
        rows[CHANCE, np.uintp(k)] = chance
        rows[NO_CHANCE, np.uintp(k)] = no_chance
    for k in range(lo, lo + GROUP):
        chance, no_chance = chances(rows[WITHIN, np.uintp(k)])
        rows[WITHIN, np.uintp(k)] = chance
        rows[NOT_WITHIN, np.uintp(k)] = no_chance


@inlined
def moved_odds(odds, ratio, scale):
    """The odds of a share after an example of which the ratio of likelihoods is known."""
    if scale < ONE:
        ratio = exp(log(ratio) * scale)
    return min(max(odds * ratio, LEAST_ODDS), MOST_ODDS)


@inlined
def answer_group(pending, call, first, lo, hi, shares, grown):
    """Write the prediction of each example: one of the two answers, as the gate stands.

    The odds of the regression's shares are what an example multiplies. Where the largest weight grows by the
    group's one example, its prediction is from before.
    """
    numbers, rows = shares.rows, pending.rows
    free_odds, odds = numbers[NUMBERS, FREE_ODDS], numbers[NUMBERS, ODDS]
    opened = numbers[NUMBERS, OPEN] > ZERO
    for k in range(lo, hi):
        r, at = np.uintp(first + k), np.uintp(k)
        whole_click, whole_none = call.out[r], rows[NONE, at]
        plain_click, plain_none = rows[PLAIN_CLICK, at], rows[PLAIN_NONE, at]
        last = free_odds / (free_odds + ONE)
        free_click = (ONE - last) * whole_click + last * rows[CHANCE, at]
        free_none = (ONE - last) * whole_none + last * rows[NO_CHANCE, at]
        last = odds / (odds + ONE)
        click = (ONE - last) * plain_click + last * rows[WITHIN, at]
        none = (ONE - last) * plain_none + last * rows[NOT_WITHIN, at]
        clicked = call.labels[r] > ZERO
        rows[LOST, at] = click if clicked else none
        rows[GAIN, at] = free_click / click if clicked else free_none / none
        call.out[r] = free_click if opened else click
        rows[NONE, at] = free_none if opened else none
        if grown < ONE:
            free_odds, odds = exp(log(free_odds) * grown), exp(log(odds) * grown)
        scale = rows[SCALE, at]
        if scale > ZERO:
            ratio = rows[CHANCE, at] / whole_click if clicked else rows[NO_CHANCE, at] / whole_none
            free_odds = moved_odds(free_odds, ratio, scale)
            ratio = rows[WITHIN, at] / plain_click if clicked else rows[NOT_WITHIN, at] / plain_none
            odds = moved_odds(odds, ratio, scale)
    numbers[NUMBERS, FREE_ODDS], numbers[NUMBERS, ODDS] = free_odds, odds
    for k in range(lo, lo + GROUP):
        rows[LOST, np.uintp(k)] = -log(rows[LOST, np.uintp(k)])
        rows[GAIN, np.uintp(k)] = log(rows[GAIN, np.uintp(k)])


@inlined
def grow(shares, ratio):
    """Make what is gathered what it would be had the largest importance weight always been what it is now."""
    store(shares, LOSSES, 0, load(shares, LOSSES, 0) * ratio)
    numbers = shares.rows
    numbers[NUMBERS, BLOCK_GAIN] *= ratio
    numbers[NUMBERS, BLOCK_LOSS] *= ratio
    numbers[NUMBERS, GROUP_WEIGHT] *= ratio


@inlined
def gather(pending, call, first, lo, hi, shares):
    """Gather what the group's examples showed of the lanes, of the regression and of the gate."""
    rows, numbers, losses = pending.rows, shares.rows, load(shares, LOSSES, 0)
    lanes, others = load(shares, GRADIENT, 0), load(shares, GRADIENT, 1)
    gained, lost = numbers[NUMBERS, BLOCK_GAIN], numbers[NUMBERS, BLOCK_LOSS]
    weight = numbers[NUMBERS, GROUP_WEIGHT]
    for k in range(lo, hi):
        at = np.uintp(k)
        scale = rows[SCALE, at]
        losses = losses + load(pending, 0, LOSS * MAX_PENDING + k) * scale
        gained += rows[GAIN, at] * scale
        lost += rows[LOST, at] * scale
        weight += scale
        clicked = call.labels[np.uintp(first + k)] > ZERO
        g = (-rows[NO_CHANCE, at] if clicked else rows[CHANCE, at]) * scale
        lanes = lanes + load(pending, 0, MARGIN * MAX_PENDING + k) * g
        others = others + load(pending, 0, OTHERS * MAX_PENDING + k) * g
    store(shares, LOSSES, 0, losses)
    store(shares, GRADIENT, 0, lanes)
    store(shares, GRADIENT, 1, others)
    numbers[NUMBERS, BLOCK_GAIN], numbers[NUMBERS, BLOCK_LOSS] = gained, lost
    numbers[NUMBERS, GROUP_WEIGHT] = weight


@inlined
def sum_lane_losses(shares, progress, largest):
    """Add up what each lane lost in a group that is whole."""
    for k in range(8):
        progress.lane_losses[k] += np.float64(shares.rows[LOSSES, k]) * np.float64(largest)
    store(shares, LOSSES, 0, like(load(shares, LOSSES, 0), ZERO))


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


@inlined
def cap_of(shares):
    """What a block's gain counts for at most, after the first examples."""
    return min(max(shares.rows[NUMBERS, SPREAD], LEAST_CAP), MOST_CAP)


@outlined
def judge(shares, age):
    """Open or shut the gate, at a block's end."""
    numbers, early = shares.rows, age <= EARLY_GATE
    length, nats = np.float32(block_length(age)), log(np.float32(8 * (age + 1)))
    part, gain = length / np.float32(BLOCK), numbers[NUMBERS, BLOCK_GAIN]
    cap = EARLY_CAP if early else cap_of(shares)
    threshold = nats * (EARLY_THRESHOLD if early else THRESHOLD)
    reference = min(REFERENCE * part, REFERENCE_SHARE * numbers[NUMBERS, BLOCK_LOSS])
    counted = min(max(gain - reference, -cap), cap)
    most = nats * MOST_EVIDENCE + MORE_EVIDENCE
    evidence = min(max(numbers[NUMBERS, GATE_EVIDENCE] + counted, ZERO), most)
    numbers[NUMBERS, GATE_EVIDENCE] = evidence
    blocks = min(np.float32(age) / length, REMEMBERED_BLOCKS)
    numbers[NUMBERS, SPREAD] += (max(gain, -gain) / part - numbers[NUMBERS, SPREAD]) / blocks
    above = numbers[NUMBERS, ABOVE] + ONE if evidence > threshold else ZERO
    numbers[NUMBERS, ABOVE] = above
    enough = ZERO if early or numbers[NUMBERS, OPEN] > ZERO else BLOCKS_ABOVE
    numbers[NUMBERS, OPEN] = ONE if above > enough else ZERO
    numbers[NUMBERS, BLOCK_GAIN] = ZERO
    numbers[NUMBERS, BLOCK_LOSS] = ZERO


@inlined
def spread_odds(shares, age):
    """Spread a share of 1/(t+1)^2 over the mixture and the regression, in both answers."""
    alpha = ONE / np.float32(age + 1)
    alpha = alpha * alpha * HALF
    kept, numbers = ONE - alpha, shares.rows
    for at in range(FREE_ODDS, ODDS + 1):
        odds = numbers[NUMBERS, at]
        numbers[NUMBERS, at] = (odds * kept + alpha) / (odds * alpha + kept)


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
def combine(pending, rows, table, shares, progress, born, call, first, stop):
    """Predict the rows from `first` to `stop`, which are pending, learn to, and count them."""
    n = stop - first
    age, largest = progress.counts[LEARNED] - born, np.float32(progress.sums[LARGEST_WEIGHT])
    find_lane_losses(pending, call.labels, first, n)
    lo = 0
    while lo < n:
        before = age
        hi, age, whole = group_from(call.weights, first, lo, n, age, largest)
        fetch_ahead(rows, table, first, lo, hi, stop)
        mix_group(pending, call, first, lo, hi, shares, before, largest)
        regress_group(pending, lo, hi, shares)
        heaviest = call.weights[np.uintp(lo + first)]
        ratio = largest / heaviest if heaviest > largest else ONE
        largest = max(largest, heaviest)
        if ratio < ONE:
            grow(shares, ratio)
        answer_group(pending, call, first, lo, hi, shares, ratio)
        gather(pending, call, first, lo, hi, shares)
        if whole:
            sum_lane_losses(shares, progress, largest)
            spread_odds(shares, age)
            k = hi - 1
            h = max(pending.rows[CHANCE, np.uintp(k)] * pending.rows[NO_CHANCE, np.uintp(k)], LEAST_CURVATURE)
            newton_step(pending, k, shares.rows[NUMBERS, GROUP_WEIGHT] * h, shares)
            shares.rows[NUMBERS, GROUP_WEIGHT] = ZERO
            if age % block_length(age) == 0:
                judge(shares, age)
        lo = hi
    progress.counts[LEARNED] = age + born
    progress.sums[LARGEST_WEIGHT] = np.float64(largest)
    count_pending(pending, progress, call, first, n)


@inlined
def flush(rows, state, call, first, stop):
    """Combine and count, handed no more than that needs."""
    born = state.evidence.counters[LAST_RESTART]
    combine(state.pending, rows, state.table, state.shares, state.progress, born, call, first, stop)


@inlined
def predict(margin, weight, rows, state, params, out):
    """Predict each example, 16 at a time: the chain of one alone is longer than the margins of the next."""
    pending, shares = on_stack(state.shares), state.shares
    kept, numbers = pending.rows, shares.rows
    free, plain, opened = load(shares, SHARES, 0), load(shares, SHARES, 1), numbers[NUMBERS, OPEN] > ZERO
    odds = numbers[NUMBERS, FREE_ODDS] if opened else numbers[NUMBERS, ODDS]
    last = odds / (odds + ONE)
    for first in range(0, out.size, PREDICTED_AT_ONCE):
        n = min(out.size - first, PREDICTED_AT_ONCE)
        for k in range(n):
            m, variance = margin(weight, rows, state.table, params, first + k, prefetching=True)
            store(pending, 0, MARGIN * MAX_PENDING + k, m)
            kept[UNSURE, np.uintp(k)] = lane(variance, UNSURE_LANE)
        for k in range(n):
            clicks, nones = chances(load(pending, 0, MARGIN * MAX_PENDING + k))
            click, none = mixed(free, clicks, nones)
            kept[BASE, np.uintp(k)] = click / none
            out[np.uintp(first + k)] = click if opened else mixed(plain, clicks, nones)[0]
        for k in range(n):
            kept[BASE, np.uintp(k)] = log(kept[BASE, np.uintp(k)])
            kept[UNSURE, np.uintp(k)] = log(kept[UNSURE, np.uintp(k)] + ONE)
        for k in range(n):
            base, unsure = kept[BASE, np.uintp(k)], kept[UNSURE, np.uintp(k)]
            m = load(pending, 0, MARGIN * MAX_PENDING + k)
            raw, within = regressed(shares, plain, m, m - base, base, unsure)
            kept[CHANCE, np.uintp(k)] = raw if opened else within
        for k in range(n):
            chance, _ = chances(kept[CHANCE, np.uintp(k)])
            out[np.uintp(first + k)] = (ONE - last) * out[np.uintp(first + k)] + last * chance


NEWTON: Final = Mixer(predict, enqueue_with_variance, flush)
"""Mixtures, the regression over the lanes, and the gate between two answers."""
