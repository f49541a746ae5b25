"""The rules by which impressions become examples: windows, thinning, corrections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.limits import MAX_WEIGHT

Keeping = Literal["durable", "buffered"]
"""Whether a prediction with an id is answered when it is durable, or at once."""

Negatives = Literal["at_once", "window", "at_end"]
"""When an impression is learned from.

at_once
    As a negative when it is predicted. A click is learned from when it comes, with a weight that takes the
    negative back.
window
    When its window ends, as a click or as a negative, in the order of the predictions.
at_end
    As a click when that comes, as a negative when its window ends. So models of releases before 0.2 go on.
"""

MOST_LIKELY: Final = 0.9
"""A probability above this counts as this in a correction, whose weight would be without bound."""


COLD: Final = 10_000
"""Of so many of a model's first impressions every negative is learned from, however few are later.

There is nothing to save yet. An untrained model predicts far too many clicks, and corrects that by negatives:
from a tenth of them it would learn it ten times as slowly.
"""

GRACE_MS: Final = 300_000
"""So long after a start no window ends, at most: nor longer than a window, or than the service was down."""


def rates_of(numbers: NDArray[np.int64], rate: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64[n]: the share of negatives that is learned from, by the impressions' numbers."""
    return np.where(numbers < COLD, 1.0, rate)


def keeps(numbers: NDArray[np.int64], hashes: NDArray[np.uint64], rate: float) -> NDArray[np.bool_]:
    """Return bool[n]: the negatives that are learned from, by the hash of their ids alone once warm."""
    if rate >= 1:
        return np.ones(hashes.size, np.bool_)
    mixed = hashes * np.uint64(0x9E3779B97F4A7C15)  # other bits than those by which the index probes
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    kept: NDArray[np.bool_] = (mixed >> np.uint64(11)) < np.uint64(rate * 2**53)
    return kept | (numbers < COLD)


def weight_of_negatives(weights: NDArray[np.float32], rates: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return float32[n]: the weights of negatives that are kept (McMahan et al. 2013, section 4.6)."""
    kept: NDArray[np.float32] = np.minimum(weights / rates, MAX_WEIGHT).astype(np.float32)
    return kept


def weight_of_clicks(
    weights: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    rates: NDArray[np.float64],
    learned: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return float32[n]: the weights of clicks, some of which take back a negative that was learned.

    The gradient of a click is ``-(1 - p) x``, that of the negative learned before was ``p x / r``. A click of
    the weight ``1 + p / (1 - p) / r`` gives what a click and the taking back of that negative would, to first
    order; where no negative was learned there is nothing to take back. For r = 1 that is ``1 / (1 - p)``, to
    first order in p the ``1 + p`` of Ktena et al., "Addressing delayed feedback for continuous training with
    neural networks in CTR prediction", 2019, section 4.

    Parameters
    ----------
    weights
        float32[n]: importance weights of the impressions.
    probabilities
        float32[n]: what was answered.
    rates
        float64[n]: the share of negatives that was learned from.
    learned
        bool[n]: of which a negative was learned.
    """
    p = np.minimum(probabilities.astype(np.float64), MOST_LIKELY)
    back = np.where(learned, p / (1 - p) / rates, 0.0)
    heavy: NDArray[np.float32] = np.minimum(weights * (1 + back), MAX_WEIGHT).astype(np.float32)
    return heavy


WAIT_MS: Final = 600_000
"""So long a label of a topic waits for its impression, where the source does not say it."""


@dataclass(frozen=True)
class Rules:
    """When an impression's window ends, and what is learned then.

    Parameters
    ----------
    attribution_ms
        How long after its prediction an impression waits for its label.
    correction_ms
        How long after that its click still corrects the negative that was learned; for as long again a label
        is known to have come too late.
    negative_rate
        The share of negatives that is learned from, each with the weight 1 / negative_rate; of those of the
        first :data:`COLD` impressions all are, as they are.
    """

    attribution_ms: int = 3_600_000
    correction_ms: int = 86_400_000
    negative_rate: float = 1.0
    negatives: Negatives = "at_once"
    """When impressions are learned from."""
    wait_ms: int = WAIT_MS
    """How long, by event time, a label of a topic waits for its impression."""
