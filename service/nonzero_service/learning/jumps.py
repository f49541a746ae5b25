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
    "BLOCK", "CALM", "CLICK_RATE", "FEATURES", "LOSS", "NEW", "SEEN", "SUSPICIOUS", "UNSEEN", "WINDOW",
    "Watch", "advance", "count_unseen", "new_watch",
]  # fmt: skip

BLOCK: Final = 250
WINDOW: Final = 4
"""Blocks that are compared with those before them."""

WARM: Final = 40
"""Blocks before anything is compared."""

MEMORY: Final = 200
"""Blocks over which the means go, about."""

CLICK_ERRORS: Final = 6.0
LOSS_ERRORS: Final = 12.0
DOUBTS: Final = 2.5
"""So many standard errors make a loss suspicious."""

DENSE_ENOUGH: Final = 2
"""So many blocks whose every example was predicted make a judgement; one of fewer is a suspicion."""

SMALLEST: Final = 1e-6

CALM, SUSPICIOUS, CLICK_RATE, UNSEEN, LOSS = range(5)
"""What a block may turn out to be; the last three are jumps."""

FILLED, SEEN, BLOCKS, DENSE = range(4)
"""Counters: examples in the block that is being filled, and in all; blocks; neighbours that are dense."""

# Sums over a block; those of its sample from SAMPLED on, SAMPLES being how many examples that is.
WEIGHT, SQUARES, CLICKS, SAMPLED, LOSSES, LOSSES2, PROMISED, PROMISED2, FEATURES, NEW, SAMPLES = range(11)
SUMS: Final = 11


class Watch(NamedTuple):
    """What was seen.

    Parameters
    ----------
    counters
        int64[4]: see the names above.
    block
        float64[11]: sums over the block that is being filled.
    window
        float64[4, 11]: those of the last blocks, the newest last.
    mean
        float64[11]: an exponential mean of those before them, as if every example had been sampled.
    figures
        float64[2]: of the last judgement, what was compared: now, and before.
    """

    counters: NDArray[np.int64]
    block: NDArray[np.float64]
    window: NDArray[np.float64]
    mean: NDArray[np.float64]
    figures: NDArray[np.float64]


def new_watch() -> Watch:
    """Return what is known when nothing was seen."""
    return Watch(np.zeros(4, np.int64), np.zeros(SUMS), np.zeros((WINDOW, SUMS)), np.zeros(SUMS), np.zeros(2))


@inlined
def sample(block, p, label, weight, features, new):
    """Add an example that was predicted: its loss, and what the prediction promised it would be."""
    p = min(max(p, 1e-15), 1 - 1e-7)
    click, none = -math.log(p), -math.log1p(-p)
    loss = click if label > 0 else none
    block[SAMPLED] += weight
    block[LOSSES] += weight * loss
    block[LOSSES2] += weight * loss * loss
    block[PROMISED] += weight * (p * click + (1 - p) * none)
    block[PROMISED2] += weight * (p * click * click + (1 - p) * none * none)
    block[FEATURES] += features
    block[NEW] += new
    block[SAMPLES] += 1


@inlined
def click_rate(watch, now, odds):
    """Whether the odds of a click have changed by more than a factor, and by more than chance does."""
    before = watch.mean
    if now[WEIGHT] == 0 or before[WEIGHT] == 0:
        return False
    rate, usual = now[CLICKS] / now[WEIGHT], before[CLICKS] / before[WEIGHT]
    n = now[WEIGHT] * now[WEIGHT] / now[SQUARES]
    m = before[WEIGHT] * before[WEIGHT] / before[SQUARES] * min(watch.counters[BLOCKS], MEMORY)
    both = (rate * n + usual * m + 0.5) / (n + m + 1)
    errors = abs(rate - usual) / math.sqrt(both * (1 - both) * (1 / n + 1 / m))
    factor = (rate + 0.5 / n) / (1 - rate + 0.5 / n) / ((usual + 0.5 / m) / (1 - usual + 0.5 / m))
    watch.figures[0], watch.figures[1] = rate, usual
    return errors > CLICK_ERRORS and max(factor, 1 / factor) > odds


@inlined
def unseen_share(watch, now, growth):
    """Whether the share of unseen features has grown by more than that."""
    share, usual = now[NEW] / max(now[FEATURES], 1), watch.mean[NEW] / max(watch.mean[FEATURES], 1)
    watch.figures[0], watch.figures[1] = share, usual
    return share - usual > growth


@inlined
def loss(watch, now, multiple, errors):
    """Whether the loss is more than that multiple of what it was, or was promised, and beyond chance.

    What it was may rest on a sample without a click, where clicks are rare: so the predictions' own promise
    counts too, for the mean and for the spread.
    """
    before = watch.mean
    if now[SAMPLED] == 0 or before[SAMPLED] == 0:
        return False
    mean, usual = now[LOSSES] / now[SAMPLED], before[LOSSES] / before[SAMPLED]
    promised = now[PROMISED] / now[SAMPLED]
    spread2 = max(
        before[LOSSES2] / before[SAMPLED] - usual * usual,
        now[PROMISED2] / now[SAMPLED] - promised * promised,
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
            if k < SAMPLED or dense < DENSE_ENOUGH or b >= WINDOW - dense:
                now[k] += watch.window[b, k]
    if click_rate(watch, now, bounds[0]):
        return CLICK_RATE
    if dense >= DENSE_ENOUGH:
        if unseen_share(watch, now, bounds[1]):
            return UNSEEN
        if loss(watch, now, bounds[2], LOSS_ERRORS):
            return LOSS
    if unseen_share(watch, now, bounds[1] / 2) or loss(watch, now, (1 + bounds[2]) / 2, DOUBTS):
        return SUSPICIOUS
    return CALM


@inlined
def put_away(watch, stride):
    """Take the full block into the window, and what falls out of it into the means."""
    counters, window, mean = watch.counters, watch.window, watch.mean
    counters[BLOCKS] += 1
    if counters[BLOCKS] > WINDOW:
        share = 1.0 / min(counters[BLOCKS] - WINDOW, MEMORY)
        samples = window[0, SAMPLES]
        for k in range(SUMS):
            if k < SAMPLED:
                mean[k] += (window[0, k] - mean[k]) * share
            elif samples > 0:
                mean[k] += (window[0, k] * BLOCK / samples - mean[k]) * share
    for b in range(WINDOW):
        for k in range(SUMS):
            window[b, k] = window[b + 1, k] if b + 1 < WINDOW else watch.block[k]
    watch.block[:] = 0.0
    counters[FILLED] = 0
    counters[DENSE] = min(counters[DENSE] + 1, WINDOW) if stride == 1 else 0


_STATE = types.NamedTuple(
    (types.int64[::1], types.float64[::1], types.float64[:, ::1], types.float64[::1], types.float64[::1]),
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
    its `features` unseen. `bounds` are those of the click odds, the unseen share and the loss. Returns where
    the look ended, and what the last block is.
    """
    counters, block = watch.counters, watch.block
    k = 0
    for r in range(start, stop):
        weight, label = np.float64(weights[r]), labels[r]
        block[WEIGHT] += weight
        block[SQUARES] += weight * weight
        block[CLICKS] += weight * np.float64(label)
        if r == first + k * stride and k < p.size:
            sample(block, np.float64(p[k]), label, weight, features[k], new[k])
            k += 1
        counters[FILLED] += 1
        counters[SEEN] += 1
        if counters[FILLED] == BLOCK:
            put_away(watch, stride)
            if counters[BLOCKS] > WARM + WINDOW:
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
