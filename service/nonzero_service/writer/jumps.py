# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Whether what is to be learned from has jumped: sums over blocks of examples, and how they are compared.

What the figures and their bounds are is said in :mod:`nonzero_service.writer.breaker`; the sums are made in
:mod:`nonzero_service.writer.block_sums`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.native import inlined

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
# these with features; how many of the window's last blocks are dense; for how many blocks more a high loss is
# put down to the model.
FILLED, SEEN, BLOCKS, MEANT, KNOWN, DENSE, UNSETTLED = range(7)
COUNTERS: Final = 7

# Sums over a block. BY_WEIGHT is its log-odds of a click by weight, ADDED what that is more than by count.
# Those of its sample are from SAMPLES on, which is how many examples that is. WITH_FEATURES is how many of
# them have any, UNSEEN_SHARE the sum of their shares of unseen ones.
CLICKS, WEIGHT_OF_1, WEIGHT_OF_0, LOG_WEIGHTS, BY_WEIGHT, ADDED, SAMPLES, LOSSES, LOSSES2 = range(9)
PROMISED, PROMISED2, WITH_FEATURES, UNSEEN_SHARE = range(9, 13)
SUMS: Final = 13


class BlockStatistics(NamedTuple):
    """What was seen.

    Parameters
    ----------
    counters
        int64[7]: see the names above.
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


def new_statistics() -> BlockStatistics:
    """Return what is known when nothing was seen."""
    window = np.zeros((WINDOW, SUMS))
    return BlockStatistics(
        np.zeros(COUNTERS, np.int64), np.zeros(SUMS), window, np.zeros(SUMS), np.zeros(MEMORY), np.zeros(2)
    )


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
def click_rate(stats, now, odds):
    """Whether the click rate has jumped, each example counted once."""
    n, m = np.float64(WINDOW * BLOCK), np.float64(BLOCK * min(stats.counters[MEANT], MEMORY))
    usual = stats.mean[CLICKS] / BLOCK
    stats.figures[0], stats.figures[1] = now[CLICKS] / n, usual
    return differs(now[CLICKS], n, usual, m, odds)


@inlined
def click_weight(stats, now, odds):
    """Whether the odds of a click by weight have jumped, and weights have a part in that.

    What teaches is weight. No standard error can be told of it that weights could not inflate. So the blocks
    of the window are held against the farthest of all blocks before: their mean log-odds must lie beyond it
    by half the bound (in log-odds), and by the bound from the mean. Four blocks of a stream as before,
    whatever the tail of its weights, are not all as far as the farthest of hundreds. A quarter of the bound
    must be the weights' doing: the rest is for the click rate to notice.
    """
    blocks = min(stats.counters[MEANT], MEMORY)
    low = high = usual = stats.odds[0]
    for b in range(1, blocks):
        low, high, usual = min(low, stats.odds[b]), max(high, stats.odds[b]), usual + stats.odds[b]
    usual, mean, bound = usual / blocks, now[BY_WEIGHT] / WINDOW, math.log(odds)
    stats.figures[0], stats.figures[1] = 1 / (1 + math.exp(-mean)), 1 / (1 + math.exp(-usual))
    added = abs(now[ADDED] / WINDOW - stats.mean[ADDED])
    return abs(mean - usual) > bound and max(mean - high, low - mean) > bound / 2 and added > bound / 4


@inlined
def unseen_share(stats, now, growth):
    """Whether the share of unseen features has grown by more than that."""
    if now[WITH_FEATURES] == 0 or stats.counters[KNOWN] < WARM:
        return False
    share, usual = now[UNSEEN_SHARE] / now[WITH_FEATURES], stats.mean[UNSEEN_SHARE]
    stats.figures[0], stats.figures[1] = share, usual
    return share - usual > growth


@inlined
def loss(stats, now, multiple, errors):
    """Whether the loss is more than that multiple of what it was, or was promised, and beyond chance.

    What it was may rest on a sample without a click, where clicks are rare: so the predictions' own promise
    counts too, for the mean and for the spread.
    """
    if now[SAMPLES] == 0 or stats.mean[SAMPLES] < WARM:
        return False
    mean, usual, promised = now[LOSSES] / now[SAMPLES], stats.mean[LOSSES], now[PROMISED] / now[SAMPLES]
    spread2 = max(
        stats.mean[LOSSES2] - usual * usual, now[PROMISED2] / now[SAMPLES] - promised * promised, SMALLEST
    )
    usual = max(usual, promised)
    stats.figures[0], stats.figures[1] = mean, usual
    return mean > multiple * usual and (mean - usual) * math.sqrt(now[SAMPLES]) > errors * math.sqrt(spread2)


@inlined
def settled_loss(stats, now, multiple, errors):
    """As :func:`loss`, where it is not put down to the model; it is no more once it has come back."""
    counters = stats.counters
    if counters[UNSETTLED] > 0 and loss(stats, now, 1 + (multiple - 1) / 2, 0.0):
        return False
    counters[UNSETTLED] = 0
    return loss(stats, now, multiple, errors)


@inlined
def judged(stats, bounds, now):
    """What the window is, of which `now` gets the sums."""
    dense = stats.counters[DENSE]
    now[:] = 0.0
    for b in range(WINDOW):
        for k in range(SUMS):
            if k < SAMPLES or dense < DENSE_ENOUGH or b >= WINDOW - dense:
                now[k] += stats.window[b, k]
    if click_rate(stats, now, bounds[0]):
        return CLICK_RATE
    if click_weight(stats, now, bounds[0]):
        return CLICK_WEIGHT
    if dense >= DENSE_ENOUGH:
        if unseen_share(stats, now, bounds[1]):
            return UNSEEN
        if settled_loss(stats, now, bounds[2], LOSS_ERRORS):
            return LOSS
    if unseen_share(stats, now, bounds[1] / 2) or settled_loss(stats, now, (1 + bounds[2]) / 2, DOUBTS):
        return SUSPICIOUS
    return CALM
