# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Examples whose prediction no step in the table waits for: they are mixed and counted up to 64 at a time.

One example's mixing is a chain of some two hundred operations that each wait for the one before. So it is
done for up to 64 examples at once, link by link, each link a short loop whose rounds do not wait for each
other: the machine works on several rounds at a time, and where a loop goes over plain numbers LLVM makes
vectors of them. All that an example hands to the next are the shares. The numbers, and their order in every
sum, are those of one example after another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import chances, log, softplus
from nonzero.arithmetic.intrinsics import count, load, store
from nonzero.kernels.mixture import mixed, rescaled, updated
from nonzero.kernels.progress import LARGEST_WEIGHT, LEARNED, record
from nonzero.native import inlined, outlined

MAX_PENDING = 64
"""How many examples are pending at most."""

ONE = np.float32(1.0)
ZERO = np.float32(0.0)

# What is kept of pending examples: rows of as many numbers a lane, the last three of one number an example.
MARGIN, CLICK, COMPLEMENT, LOSS, SHARES, NONE, LOG_CLICK, LOG_NONE = range(8)
PENDING_ROWS: Final = 8


class Mixer(NamedTuple):
    """How lanes become one probability, and how what they predicted moves that.

    Parameters
    ----------
    predict
        ``(margin, weight, rows, state, params, out) -> None``: write the predictions of all rows, by a
        layout's margin and a rule's weight; nothing else is written.
    enqueue
        ``(pending, k, margin, click, none, variance) -> None``: keep what the lanes predicted of the k-th
        pending example.
    flush
        ``(rows, state, call, first, stop) -> None``: write the predictions of the rows from `first`
        to `stop`, which are pending, move the shares by those of them that have a weight, and count them all.
    """

    predict: Callable[..., Any]
    enqueue: Callable[..., Any]
    flush: Callable[..., Any]


@inlined
def predict(margin, weight, rows, state, params, out):
    """Predict each example by the shares."""
    for r in range(out.size):
        m, _ = margin(weight, rows, state.table, params, r, prefetching=True)
        click, none = chances(m)
        out[r] = mixed(load(state.shares, 0, 0), click, none)[0]


@inlined
def enqueue(pending, k, margin, click, none, variance):  # noqa: ARG001 - other mixers need it
    """Keep the margin and the probabilities of the k-th pending example, in each lane."""
    store(pending, 0, MARGIN * MAX_PENDING + k, margin)
    store(pending, 0, CLICK * MAX_PENDING + k, click)
    store(pending, 0, COMPLEMENT * MAX_PENDING + k, none)


@inlined
def find_losses(pending, labels, first, n):
    """Find what each lane lost on each example."""
    lanes = pending.rows.shape[1] // MAX_PENDING
    for k in range(n):
        sign = -ONE if labels[np.uintp(first + k)] > ZERO else ONE
        store(pending, 0, LOSS * MAX_PENDING + k, load(pending, 0, MARGIN * MAX_PENDING + k) * sign)
    for j in range(n * lanes):
        pending.rows[LOSS, np.uintp(j)] = softplus(pending.rows[LOSS, np.uintp(j)])


@inlined
def update_shares(pending, weights, first, n, shares, progress):
    """Keep the shares that each example met, and move them by what it showed."""
    now = load(shares, 0, 0)
    for k in range(n):
        store(pending, 0, SHARES * MAX_PENDING + k, now)
        s = weights[np.uintp(first + k)]
        if s > ZERO:
            progress.counts[LEARNED] += 1
            if count(now) > 1:
                largest = np.float32(progress.sums[LARGEST_WEIGHT])
                if s > largest:
                    now = rescaled(now, largest / s)
                    progress.sums[LARGEST_WEIGHT] = s
                    largest = s
                losses = load(pending, 0, LOSS * MAX_PENDING + k)
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


@inlined
def count_pending(pending, progress, call, first, n):
    """Count the pending examples, by the probabilities that were written."""
    for k in range(n):
        pending.rows[LOG_CLICK, np.uintp(k)] = log(call.out[np.uintp(first + k)])
        pending.rows[LOG_NONE, np.uintp(k)] = log(pending.rows[NONE, np.uintp(k)])
    for k in range(n):
        r = np.uintp(first + k)
        log_click, log_none = pending.rows[LOG_CLICK, np.uintp(k)], pending.rows[LOG_NONE, np.uintp(k)]
        record(progress, call.out[r], log_click, log_none, call.labels[r], call.weights[r])


@outlined
def mix_and_count(pending, shares, progress, call, first, stop):
    """Mix the predictions of the rows from `first` to `stop`, which are pending, and count them."""
    n = stop - first
    several = count(load(pending, 0, 0)) > 1
    if several:
        find_losses(pending, call.labels, first, n)
    update_shares(pending, call.weights, first, n, shares, progress)
    for k in range(n):
        met = load(pending, 0, SHARES * MAX_PENDING + k)
        clicks = load(pending, 0, CLICK * MAX_PENDING + k)
        click, none = mixed(met, clicks, load(pending, 0, COMPLEMENT * MAX_PENDING + k))
        call.out[np.uintp(first + k)] = click
        pending.rows[NONE, np.uintp(k)] = none
    if several:
        sum_losses(pending, call.weights, first, n, progress)
    count_pending(pending, progress, call, first, n)


@inlined
def flush(rows, state, call, first, stop):  # noqa: ARG001 - other mixers need them
    """Mix and count, handed no more than that needs: the whole state took one lane 3 % of its speed."""
    mix_and_count(state.pending, state.shares, state.progress, call, first, stop)


VOVK: Final = Mixer(predict, enqueue, flush)
"""The mixture of :mod:`nonzero.kernels.mixture`."""
