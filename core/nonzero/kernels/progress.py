# mypy: disable-error-code="no-untyped-def"
"""Progress: what is counted of each example just before it is learned from.

The sums are part of the model's state, and so of the fold; :mod:`nonzero.statistics.progressive` reads them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import untouched
from nonzero.native import inlined

RECENT: Final = 100_000
"""How many examples the recent figures cover."""

BINS: Final = 4096
BINS_PER_NAT = np.float32(128.0)
MIDDLE = np.float32(BINS / 2)
LAST = np.float32(BINS - 1)
ZERO = np.float32(0.0)

# Where each sum stands.
WEIGHT, POSITIVE, PREDICTED, LOSS, LARGEST_WEIGHT = range(5)
EXAMPLES, LEARNED = range(2)


class Progress(NamedTuple):
    """What was seen so far.

    Parameters
    ----------
    counts
        int64[2]: examples, and those of them whose importance weight was not 0.
    sums
        float64[5]: importance weight, that of the clicks, weighted predictions, weighted log loss in nats,
        and the largest importance weight (at least 1).
    lane_losses
        float64[lanes]: each lane's own weighted log loss, in nats (of a model with several).
    histogram
        float64[2, 4096]: importance weight of the negatives and of the positives, by predicted log-odds.
    recent
        float32[100_000, 4]: probability, log loss, label and weight of the last examples, as a ring.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    lane_losses: NDArray[np.float64]
    histogram: NDArray[np.float64]
    recent: NDArray[np.float32]


def new_progress(lanes: int) -> Progress:
    """Return the progress of a model that has seen nothing."""
    sums = np.zeros(5)
    sums[LARGEST_WEIGHT] = 1
    return Progress(
        np.zeros(2, np.int64),
        sums,
        np.zeros(lanes),
        untouched.zeros((2, BINS)),
        untouched.zeros((RECENT, 4), np.float32),
    )


@inlined
def record(progress, click, log_click, log_none, label, weight):
    """Count one example that was predicted with the probability `click`, by the logarithms of both."""
    loss = -(log_click if label > ZERO else log_none)
    place = progress.counts[EXAMPLES] % RECENT
    progress.recent[place, 0] = click
    progress.recent[place, 1] = loss
    progress.recent[place, 2] = label
    progress.recent[place, 3] = weight
    progress.counts[EXAMPLES] += 1
    s = np.float64(weight)
    progress.sums[WEIGHT] += s
    progress.sums[POSITIVE] += s * np.float64(label)
    progress.sums[PREDICTED] += s * np.float64(click)
    progress.sums[LOSS] += s * np.float64(loss)
    log_odds = (log_click - log_none) * BINS_PER_NAT + MIDDLE
    progress.histogram[np.intp(label), np.intp(min(max(log_odds, ZERO), LAST))] += s
