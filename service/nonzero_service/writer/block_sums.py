# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Sums over blocks of examples, and the means of those before them.

Compiled, because every example passes here before it is journalled.
"""

from __future__ import annotations

import math

import numpy as np

from nonzero.native import inlined, kernel, types
from nonzero_service.writer import jumps
from nonzero_service.writer.jumps import judged, new_statistics


@inlined
def add_sample(block, p, label, features, new):
    """Add an example that was predicted: its loss, and what the prediction promised it would be.

    Each counts once, whatever it weighs and however many features it has: one that counted a thousand times
    would hide all the others.
    """
    p = min(max(p, 1e-15), 1 - 1e-7)
    click, none = -math.log(p), -math.log1p(-p)
    loss = click if label > 0 else none
    block[jumps.SAMPLES] += 1
    block[jumps.LOSSES] += loss
    block[jumps.LOSSES2] += loss * loss
    block[jumps.PROMISED] += p * click + (1 - p) * none
    block[jumps.PROMISED2] += p * click * click + (1 - p) * none * none
    if features > 0:
        block[jumps.WITH_FEATURES] += 1
        block[jumps.UNSEEN_SHARE] += new / features


@inlined
def update_means(stats, sums):
    """Take the sums over a block into the means."""
    counters, mean = stats.counters, stats.mean
    stats.odds[counters[jumps.MEANT] % jumps.MEMORY] = sums[jumps.BY_WEIGHT]
    counters[jumps.MEANT] += 1
    share = 1.0 / min(counters[jumps.MEANT], jumps.MEMORY)
    for k in (jumps.CLICKS, jumps.ADDED):
        mean[k] += (sums[k] - mean[k]) * share
    samples = sums[jumps.SAMPLES]
    if samples > 0 and counters[jumps.UNSETTLED] == 0:
        mean[jumps.SAMPLES] += 1
        for k in range(jumps.LOSSES, jumps.WITH_FEATURES):
            mean[k] += (sums[k] / samples - mean[k]) / min(mean[jumps.SAMPLES], jumps.MEMORY)
    if sums[jumps.WITH_FEATURES] > 0:
        counters[jumps.KNOWN] += 1
        share = 1.0 / min(counters[jumps.KNOWN], jumps.MEMORY)
        mean[jumps.UNSEEN_SHARE] += (
            sums[jumps.UNSEEN_SHARE] / sums[jumps.WITH_FEATURES] - mean[jumps.UNSEEN_SHARE]
        ) * share


@inlined
def record_block(stats, stride):
    """Take the full block into the window, and what falls out of it into the means."""
    counters, window, block = stats.counters, stats.window, stats.block
    # Half an example is added to both sides, of the geometric mean weight: few heavy ones do not move it.
    clicks, half = block[jumps.CLICKS], 0.5 * math.exp(block[jumps.LOG_WEIGHTS] / jumps.BLOCK)
    block[jumps.BY_WEIGHT] = math.log((block[jumps.WEIGHT_OF_1] + half) / (block[jumps.WEIGHT_OF_0] + half))
    block[jumps.ADDED] = block[jumps.BY_WEIGHT] - math.log((clicks + 0.5) / (jumps.BLOCK - clicks + 0.5))
    if counters[jumps.BLOCKS] == jumps.WINDOW:
        update_means(stats, window[0])
    for b in range(jumps.WINDOW):
        for k in range(jumps.SUMS):
            window[b, k] = window[b + 1, k] if b + 1 < jumps.WINDOW else block[k]
    block[:] = 0.0
    counters[jumps.FILLED] = 0
    if counters[jumps.UNSETTLED] > 0:
        counters[jumps.UNSETTLED] -= 1
        if counters[jumps.UNSETTLED] == 0:  # it has not come back: that is how this model predicts now
            stats.mean[jumps.SAMPLES : jumps.WITH_FEATURES] = 0.0
    counters[jumps.BLOCKS] = min(counters[jumps.BLOCKS] + 1, jumps.WINDOW)
    counters[jumps.DENSE] = min(counters[jumps.DENSE] + 1, jumps.WINDOW) if stride == 1 else 0


_STATE = types.like(new_statistics())


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
        block[jumps.CLICKS] += label
        block[jumps.WEIGHT_OF_1] += weight * label
        block[jumps.WEIGHT_OF_0] += weight * (1 - label)
        block[jumps.LOG_WEIGHTS] += math.log(weight)
        if r == first + k * stride and k < p.size:
            add_sample(block, p[k], label, features[k], new[k])
            k += 1
        counters[jumps.FILLED] += 1
        counters[jumps.SEEN] += 1
        if counters[jumps.FILLED] == jumps.BLOCK:
            record_block(stats, stride)
            if counters[jumps.BLOCKS] == jumps.WINDOW and counters[jumps.MEANT] >= jumps.WARM:
                what = judged(stats, bounds, now)
                if what != jumps.CALM:
                    return r + 1, what
    return stop, jumps.CALM


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
