# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Whether what is to be learned from has jumped: sums over blocks of examples, and how they are compared.

Compiled, because every example passes here before it is journalled. What the figures and their bounds are is
said in :mod:`nonzero_service.learning.breaker`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.compiled import inlined, kernel, types

__all__ = [
    "BLOCK", "BLOCKS", "CALM", "CLICK_ERRORS", "CLICK_RATE", "CLICK_WEIGHT", "DENSE", "FILLED", "KNOWN",
    "LOSS", "MEANT", "MEMORY", "SEEN", "SUSPICIOUS", "UNSEEN", "UNSEEN_SHARE", "WARM", "WINDOW", "Watch",
    "advance", "count_unseen", "new_watch", "rate_jumped",
]  # fmt: skip

BLOCK: Final = 250
WINDOW: Final = 4
"""Blocks that are compared with those before them."""

WARM: Final = 40
"""Blocks before anything is compared."""

MEMORY: Final = 200
"""Blocks over which the means go, about."""

CLICK_ERRORS: Final = 6.0
"""Beyond chance is what is as unlikely as so many standard errors."""

LOSS_ERRORS: Final = 12.0
DOUBTS: Final = 2.5
"""So many standard errors make a loss suspicious."""

DENSE_ENOUGH: Final = 2
"""So many blocks whose every example was predicted make a judgement; one of fewer is a suspicion."""

SMALLEST: Final = 1e-6

CALM, SUSPICIOUS, CLICK_RATE, CLICK_WEIGHT, UNSEEN, LOSS = range(6)
"""What a block may turn out to be; the last four are jumps."""

# Counters: examples in the block that is being filled, and in all; blocks in the window, in the means, and of
# these with features; how many of the window's last blocks are dense.
FILLED, SEEN, BLOCKS, MEANT, KNOWN, DENSE = range(6)

# Sums over a block. BY_WEIGHT is its log-odds of a click by weight, ADDED what that is more than by count.
# Those of its sample are from SAMPLES on, which is how many examples that is. WITH_FEATURES is how many of
# them have any, UNSEEN_SHARE the sum of their shares of unseen ones.
CLICKS, WEIGHT, CLICK_SHARE, LOG_WEIGHTS, BY_WEIGHT, ADDED, SAMPLES, LOSSES, LOSSES2 = range(9)
PROMISED, PROMISED2, WITH_FEATURES, UNSEEN_SHARE = range(9, 13)
SUMS: Final = 13


class Watch(NamedTuple):
    """What was seen.

    Parameters
    ----------
    counters
        int64[6]: see the names above.
    block
        float64[13]: sums over the block that is being filled.
    window
        float64[4, 13]: those of the last blocks, the newest last.
    mean
        float64[13]: an exponential mean of those before them: of the clicks a block, and of the sample an
        example.
    odds
        float64[200]: log-odds of a click by weight, of each of the last blocks that the mean is of.
    figures
        float64[2]: of the last judgement, what was compared: now, and before.
    """

    counters: NDArray[np.int64]
    block: NDArray[np.float64]
    window: NDArray[np.float64]
    mean: NDArray[np.float64]
    odds: NDArray[np.float64]
    figures: NDArray[np.float64]


def new_watch() -> Watch:
    """Return what is known when nothing was seen."""
    window = np.zeros((WINDOW, SUMS))
    return Watch(np.zeros(6, np.int64), np.zeros(SUMS), window, np.zeros(SUMS), np.zeros(MEMORY), np.zeros(2))


@inlined
def sample(block, p, label, features, new):
    """Add an example that was predicted: its loss, and what the prediction promised it would be.

    Each counts once, whatever it weighs and however many features it has: one that counted a thousand times
    would hide all the others.
    """
    p = min(max(p, 1e-15), 1 - 1e-7)
    click, none = -math.log(p), -math.log1p(-p)
    loss = click if label > 0 else none
    block[SAMPLES] += 1
    block[LOSSES] += loss
    block[LOSSES2] += loss * loss
    block[PROMISED] += p * click + (1 - p) * none
    block[PROMISED2] += p * click * click + (1 - p) * none * none
    if features > 0:
        block[WITH_FEATURES] += 1
        block[UNSEEN_SHARE] += new / features


def rate_jumped(clicks: float, n: float, usual: float, m: float, odds: float) -> bool:
    """Whether a click rate has jumped: by more than a factor, and by more than chance does.

    Chance is judged by the ratio of the likelihoods of two rates and of one for both (a G-test), which holds
    where clicks are few too: of 250 examples with half a click to be expected five are no rarity, and six
    standard errors.

    Parameters
    ----------
    clicks, n
        So many of so many.
    usual, m
        The rate that was usual, which is a mean of so many.
    odds
        The factor by which the odds of a click may rise or fall.
    """
    rate, before = clicks / n, usual * m
    both = (clicks + before) / (n + m)
    ratio = 0.0
    for observed, expected in (
        (clicks, both * n),
        (n - clicks, (1 - both) * n),
        (before, both * m),
        (m - before, (1 - both) * m),
    ):
        if observed > 0:
            ratio += observed * math.log(observed / expected)
    factor = (rate + 0.5 / n) / (1 - rate + 0.5 / n) / ((usual + 0.5 / m) / (1 - usual + 0.5 / m))
    return 2 * ratio > CLICK_ERRORS * CLICK_ERRORS and max(factor, 1 / factor) > odds


differs = inlined(rate_jumped)


@inlined
def click_rate(watch, now, odds):
    """Whether the click rate has jumped, each example counted once."""
    n, m = np.float64(WINDOW * BLOCK), np.float64(BLOCK * min(watch.counters[MEANT], MEMORY))
    usual = watch.mean[CLICKS] / BLOCK
    watch.figures[0], watch.figures[1] = now[CLICKS] / n, usual
    return differs(now[CLICKS], n, usual, m, odds)


@inlined
def click_weight(watch, now, odds):
    """Whether the odds of a click by weight have jumped, and weights have a part in that.

    What teaches is weight. No standard error can be told of it that weights could not inflate. So the blocks
    of the window are held against the farthest of all blocks before: their mean log-odds must lie beyond it
    by half the bound (in log-odds), and by the bound from the mean. Four blocks of a stream as before,
    whatever the tail of its weights, are not all as far as the farthest of hundreds. A quarter of the bound
    must be the weights' doing: the rest is for the click rate to notice.
    """
    blocks = min(watch.counters[MEANT], MEMORY)
    low = high = usual = watch.odds[0]
    for b in range(1, blocks):
        low, high, usual = min(low, watch.odds[b]), max(high, watch.odds[b]), usual + watch.odds[b]
    usual, mean, bound = usual / blocks, now[BY_WEIGHT] / WINDOW, math.log(odds)
    watch.figures[0], watch.figures[1] = 1 / (1 + math.exp(-mean)), 1 / (1 + math.exp(-usual))
    added = abs(now[ADDED] / WINDOW - watch.mean[ADDED])
    return abs(mean - usual) > bound and max(mean - high, low - mean) > bound / 2 and added > bound / 4


@inlined
def unseen_share(watch, now, growth):
    """Whether the share of unseen features has grown by more than that."""
    if now[WITH_FEATURES] == 0 or watch.counters[KNOWN] < WARM:
        return False
    share, usual = now[UNSEEN_SHARE] / now[WITH_FEATURES], watch.mean[UNSEEN_SHARE]
    watch.figures[0], watch.figures[1] = share, usual
    return share - usual > growth


@inlined
def loss(watch, now, multiple, errors):
    """Whether the loss is more than that multiple of what it was, or was promised, and beyond chance.

    What it was may rest on a sample without a click, where clicks are rare: so the predictions' own promise
    counts too, for the mean and for the spread.
    """
    if now[SAMPLES] == 0 or watch.mean[SAMPLES] == 0:
        return False
    mean, usual, promised = now[LOSSES] / now[SAMPLES], watch.mean[LOSSES], now[PROMISED] / now[SAMPLES]
    spread2 = max(
        watch.mean[LOSSES2] - usual * usual,
        now[PROMISED2] / now[SAMPLES] - promised * promised,
        SMALLEST,
    )
    usual = max(usual, promised)
    watch.figures[0], watch.figures[1] = mean, usual
    return mean > multiple * usual and (mean - usual) * math.sqrt(now[SAMPLES]) > errors * math.sqrt(spread2)


@inlined
def judged(watch, bounds, now):
    """What the window is, of which `now` gets the sums."""
    dense = watch.counters[DENSE]
    now[:] = 0.0
    for b in range(WINDOW):
        for k in range(SUMS):
            if k < SAMPLES or dense < DENSE_ENOUGH or b >= WINDOW - dense:
                now[k] += watch.window[b, k]
    if click_rate(watch, now, bounds[0]):
        return CLICK_RATE
    if click_weight(watch, now, bounds[0]):
        return CLICK_WEIGHT
    if dense >= DENSE_ENOUGH:
        if unseen_share(watch, now, bounds[1]):
            return UNSEEN
        if loss(watch, now, bounds[2], LOSS_ERRORS):
            return LOSS
    if unseen_share(watch, now, bounds[1] / 2) or loss(watch, now, (1 + bounds[2]) / 2, DOUBTS):
        return SUSPICIOUS
    return CALM


@inlined
def take_in(watch, sums):
    """Take the sums over a block into the means."""
    counters, mean = watch.counters, watch.mean
    watch.odds[counters[MEANT] % MEMORY] = sums[BY_WEIGHT]
    counters[MEANT] += 1
    share = 1.0 / min(counters[MEANT], MEMORY)
    for k in (CLICKS, ADDED):
        mean[k] += (sums[k] - mean[k]) * share
    samples = sums[SAMPLES]
    if samples > 0:
        mean[SAMPLES] += 1
        for k in range(LOSSES, WITH_FEATURES):
            mean[k] += (sums[k] / samples - mean[k]) / min(mean[SAMPLES], MEMORY)
    if sums[WITH_FEATURES] > 0:
        counters[KNOWN] += 1
        share = 1.0 / min(counters[KNOWN], MEMORY)
        mean[UNSEEN_SHARE] += (sums[UNSEEN_SHARE] / sums[WITH_FEATURES] - mean[UNSEEN_SHARE]) * share


@inlined
def put_away(watch, stride):
    """Take the full block into the window, and what falls out of it into the means."""
    counters, window, block = watch.counters, watch.window, watch.block
    # Half an example is added to both sides, of the geometric mean weight: few heavy ones do not move it.
    clicks, weight, half = block[CLICKS], block[WEIGHT], 0.5 * math.exp(block[LOG_WEIGHTS] / BLOCK)
    block[BY_WEIGHT] = math.log((block[CLICK_SHARE] + half) / (weight - block[CLICK_SHARE] + half))
    block[ADDED] = block[BY_WEIGHT] - math.log((clicks + 0.5) / (BLOCK - clicks + 0.5))
    if counters[BLOCKS] == WINDOW:
        take_in(watch, window[0])
    for b in range(WINDOW):
        for k in range(SUMS):
            window[b, k] = window[b + 1, k] if b + 1 < WINDOW else block[k]
    block[:] = 0.0
    counters[FILLED] = 0
    counters[BLOCKS] = min(counters[BLOCKS] + 1, WINDOW)
    counters[DENSE] = min(counters[DENSE] + 1, WINDOW) if stride == 1 else 0


_STATE = types.NamedTuple(
    (
        types.int64[::1],
        types.float64[::1],
        types.float64[:, ::1],
        types.float64[::1],
        types.float64[::1],
        types.float64[::1],
    ),
    Watch,
)


@kernel(
    types.UniTuple(types.intp, 2)(
        types.float32.readonly,
        types.float32.readonly,
        types.intp,
        types.intp,
        types.intp,
        types.intp,
        types.float32.readonly,
        types.int64[::1],
        types.int64[::1],
        _STATE,
        types.float64[::1],
        types.float64[::1],
    )
)
def advance(labels, weights, start, stop, first, stride, p, features, new, watch, bounds, now):
    """Look at the examples from `start` to `stop`, up to the end of a block that is not calm.

    The k-th that is predicted is row ``first + k * stride``: with the probability ``p[k]``, and `new` ones of
    its `features` unseen. `bounds` are those of the click odds, the unseen share and the loss. No weight is
    0. Returns where the look ended, and what the last block is.
    """
    counters, block = watch.counters, watch.block
    k = 0
    for r in range(start, stop):
        weight, label = np.float64(weights[r]), np.float64(labels[r])
        block[CLICKS] += label
        block[WEIGHT] += weight
        block[CLICK_SHARE] += weight * label
        block[LOG_WEIGHTS] += math.log(weight)
        if r == first + k * stride and k < p.size:
            sample(block, p[k], label, features[k], new[k])
            k += 1
        counters[FILLED] += 1
        counters[SEEN] += 1
        if counters[FILLED] == BLOCK:
            put_away(watch, stride)
            if counters[BLOCKS] == WINDOW and counters[MEANT] >= WARM:
                what = judged(watch, bounds, now)
                if what != CALM:
                    return r + 1, what
    return stop, CALM


@kernel(
    types.void(
        types.int64.readonly,
        types.uint32.readonly,
        types.float32[:, ::1],
        types.int64[::1],
    )
)
def count_unseen(indptr, indices, rows, out):
    """Count the nonzeros of each example whose row of the table has only empty accumulators.

    By all of them: a change that the model notices empties those of most lanes, never of all.
    """
    lanes = rows.shape[1] // 2
    mask = np.uint32(rows.shape[0] - 2)
    for r in range(out.size):
        out[r] = 0
        for j in range(indptr[r], indptr[r + 1]):
            i = np.intp(indices[j] & mask)
            seen = False
            for k in range(lanes):
                seen |= rows[i, lanes + k] != 0
            out[r] += not seen
