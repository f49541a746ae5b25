# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Sums over blocks of examples, and the means of those before them.

Compiled, because every example passes here before it is journalled.
"""

from __future__ import annotations

import math

import numpy as np

from nonzero.native import inlined, kernel, types
from nonzero_service.writer.jumps import (
    ADDED,
    BLOCK,
    BLOCKS,
    BY_WEIGHT,
    CALM,
    CLICKS,
    DENSE,
    FILLED,
    KNOWN,
    LOG_WEIGHTS,
    LOSSES,
    LOSSES2,
    MEANT,
    MEMORY,
    PROMISED,
    PROMISED2,
    SAMPLES,
    SEEN,
    SUMS,
    UNSEEN_SHARE,
    UNSETTLED,
    WARM,
    WEIGHT_OF_0,
    WEIGHT_OF_1,
    WINDOW,
    WITH_FEATURES,
    BlockStatistics,
    judged,
)


@inlined
def add_sample(block, p, label, features, new):
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


@inlined
def update_means(stats, sums):
    """Take the sums over a block into the means."""
    counters, mean = stats.counters, stats.mean
    stats.odds[counters[MEANT] % MEMORY] = sums[BY_WEIGHT]
    counters[MEANT] += 1
    share = 1.0 / min(counters[MEANT], MEMORY)
    for k in (CLICKS, ADDED):
        mean[k] += (sums[k] - mean[k]) * share
    samples = sums[SAMPLES]
    if samples > 0 and counters[UNSETTLED] == 0:
        mean[SAMPLES] += 1
        for k in range(LOSSES, WITH_FEATURES):
            mean[k] += (sums[k] / samples - mean[k]) / min(mean[SAMPLES], MEMORY)
    if sums[WITH_FEATURES] > 0:
        counters[KNOWN] += 1
        share = 1.0 / min(counters[KNOWN], MEMORY)
        mean[UNSEEN_SHARE] += (sums[UNSEEN_SHARE] / sums[WITH_FEATURES] - mean[UNSEEN_SHARE]) * share


@inlined
def record_block(stats, stride):
    """Take the full block into the window, and what falls out of it into the means."""
    counters, window, block = stats.counters, stats.window, stats.block
    # Half an example is added to both sides, of the geometric mean weight: few heavy ones do not move it.
    clicks, half = block[CLICKS], 0.5 * math.exp(block[LOG_WEIGHTS] / BLOCK)
    block[BY_WEIGHT] = math.log((block[WEIGHT_OF_1] + half) / (block[WEIGHT_OF_0] + half))
    block[ADDED] = block[BY_WEIGHT] - math.log((clicks + 0.5) / (BLOCK - clicks + 0.5))
    if counters[BLOCKS] == WINDOW:
        update_means(stats, window[0])
    for b in range(WINDOW):
        for k in range(SUMS):
            window[b, k] = window[b + 1, k] if b + 1 < WINDOW else block[k]
    block[:] = 0.0
    counters[FILLED] = 0
    if counters[UNSETTLED] > 0:
        counters[UNSETTLED] -= 1
        if counters[UNSETTLED] == 0:  # it has not come back: that is how this model predicts now
            stats.mean[SAMPLES:WITH_FEATURES] = 0.0
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
    BlockStatistics,
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
def advance(labels, weights, start, stop, first, stride, p, features, new, stats, bounds, now):
    """Look at the examples from `start` to `stop`, up to the end of a block that is not calm.

    The k-th that is predicted is row ``first + k * stride``: with the probability ``p[k]``, and `new` ones of
    its `features` unseen. `bounds` are those of the click odds, the unseen share and the loss. No weight is
    0. Returns where the look ended, and what the last block is.
    """
    counters, block = stats.counters, stats.block
    k = 0
    for r in range(start, stop):
        weight, label = np.float64(weights[r]), np.float64(labels[r])
        block[CLICKS] += label
        block[WEIGHT_OF_1] += weight * label
        block[WEIGHT_OF_0] += weight * (1 - label)
        block[LOG_WEIGHTS] += math.log(weight)
        if r == first + k * stride and k < p.size:
            add_sample(block, p[k], label, features[k], new[k])
            k += 1
        counters[FILLED] += 1
        counters[SEEN] += 1
        if counters[FILLED] == BLOCK:
            record_block(stats, stride)
            if counters[BLOCKS] == WINDOW and counters[MEANT] >= WARM:
                what = judged(stats, bounds, now)
                if what != CALM:
                    return r + 1, what
    return stop, CALM


@kernel(types.void(types.int64.readonly, types.uint32.readonly, types.float32[:, ::1], types.int64[::1]))
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
