# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""What is owed to an example that no step in the table waits for: its prediction, its place in the sums.

One example's is a chain of some two hundred operations that each wait for the one before. So it is done for
up to 64 examples at once, link by link, each link a short loop whose rounds do not wait for each other: the
machine works on several rounds at a time, and where a loop goes over plain numbers LLVM makes vectors of
them. All that an example hands to the next are the shares. The numbers, and their order in every sum, are
those of one example after another.
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import EightLanes, OneLane, count, load, store
from nonzero.arithmetic.lanes import log, softplus
from nonzero.compiled import inlined, outlined
from nonzero.kernels.progress import LARGEST_WEIGHT, LEARNED, record
from nonzero.loops.mixture import mixed, rescaled, updated
from nonzero.state.pages import allocate

__all__ = ["MOST", "defer", "new_pending", "settle"]

MOST = 64
"""Examples that are settled at once, at most."""

ONE = np.float32(1.0)
ZERO = np.float32(0.0)

# What is kept of pending examples: rows of as many numbers a lane, the last three of one number an example.
MARGIN, CHANCE, COMPLEMENT, LOSS, SHARES, NONE, LOG_CLICK, LOG_NONE = range(8)


def new_pending(lanes: int) -> OneLane | EightLanes:
    """Return room for the margins of pending examples, and for what is made of them."""
    rows = allocate(8, MOST * lanes)
    return OneLane(rows) if lanes == 1 else EightLanes(rows)


@inlined
def defer(pending, k, margin, p, complement):
    """Keep what is known of the k-th pending example: its margin and its chances, in each lane."""
    store(pending, 0, MARGIN * MOST + k, margin)
    store(pending, 0, CHANCE * MOST + k, p)
    store(pending, 0, COMPLEMENT * MOST + k, complement)


@inlined
def lose(pending, labels, first, n):
    """Find what each lane lost on each example."""
    lanes = pending.rows.shape[1] // MOST
    for k in range(n):
        sign = -ONE if labels[np.uintp(first + k)] > ZERO else ONE
        store(pending, 0, LOSS * MOST + k, load(pending, 0, MARGIN * MOST + k) * sign)
    for j in range(n * lanes):
        pending.rows[LOSS, np.uintp(j)] = softplus(pending.rows[LOSS, np.uintp(j)])


@inlined
def move(pending, weights, first, n, shares, progress):
    """Keep the shares that each example met, and move them by what it showed."""
    now = load(shares, 0, 0)
    for k in range(n):
        store(pending, 0, SHARES * MOST + k, now)
        s = weights[np.uintp(first + k)]
        if s > ZERO:
            progress.counts[LEARNED] += 1
            if count(now) > 1:
                largest = np.float32(progress.sums[LARGEST_WEIGHT])
                if s > largest:
                    now = rescaled(now, largest / s)
                    progress.sums[LARGEST_WEIGHT] = s
                    largest = s
                losses = load(pending, 0, LOSS * MOST + k)
                now = updated(now, losses, s / largest, progress.counts[LEARNED])
    store(shares, 0, 0, now)


@inlined
def sum_losses(pending, weights, first, n, progress):
    """Add up what each lane lost."""
    lanes = progress.lane_losses.size
    for k in range(n):
        s = np.float64(weights[np.uintp(first + k)])
        if s > 0.0:
            for i in range(lanes):
                progress.lane_losses[np.uintp(i)] += s * np.float64(
                    pending.rows[LOSS, np.uintp(k * lanes + i)]
                )


@outlined
def settle(pending, labels, weights, first, stop, shares, progress, out):
    """Mix the predictions of the examples from `first` on, which are pending, and count them."""
    n = stop - first
    several = count(load(pending, 0, 0)) > 1
    if several:
        lose(pending, labels, first, n)
    move(pending, weights, first, n, shares, progress)
    for k in range(n):
        met = load(pending, 0, SHARES * MOST + k)
        click, none = mixed(met, load(pending, 0, CHANCE * MOST + k), load(pending, 0, COMPLEMENT * MOST + k))
        out[np.uintp(first + k)] = click
        pending.rows[NONE, np.uintp(k)] = none
    if several:
        sum_losses(pending, weights, first, n, progress)
    for k in range(n):
        pending.rows[LOG_CLICK, np.uintp(k)] = log(out[np.uintp(first + k)])
        pending.rows[LOG_NONE, np.uintp(k)] = log(pending.rows[NONE, np.uintp(k)])
    for k in range(n):
        r = np.uintp(first + k)
        record(
            progress, out[r], pending.rows[LOG_CLICK, np.uintp(k)], pending.rows[LOG_NONE, np.uintp(k)],
            labels[r], weights[r],
        )  # fmt: skip
