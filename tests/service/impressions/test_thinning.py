"""Thinned negatives: a tenth of them, weighing ten each, teach the same rates (McMahan et al. 2013, 4.6).

Measured over the whole of a stream, from a model that knows nothing on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.rules import COLD, keeps, rates_of, weight_of_negatives
from nonzero_service.impressions.selecting import labelled

N = 1_000_000
VALUES = (8, 50, 400, 3000)
CLICKS = 0.002


class Outcome(NamedTuple):
    """Of the thinned stream."""

    calibration: float
    """Predicted over true rates."""
    beside: float
    """That over the same of the unthinned stream."""
    log_loss: float
    """That of the unthinned stream's predictions is 1."""
    learned: float
    """The share of the examples that was learned from."""


def impressions(seed: int) -> tuple[Batch, NDArray[np.float64], NDArray[np.uint64]]:
    """Draw impressions, their true rates and the hashes of their ids."""
    rng = np.random.default_rng(seed)
    slots, score, offset = np.empty((N, len(VALUES)), np.uint32), np.full(N, np.log(CLICKS)), 0
    for k, cardinality in enumerate(VALUES):
        which = (cardinality * rng.random(N) ** 2).astype(np.int64)  # the first ones are the frequent ones
        score += rng.normal(0, 0.3, cardinality)[which]
        slots[:, k] = which + offset
        offset += cardinality
    rates = 1 / (1 + np.exp(-score))
    rates *= CLICKS / rates.mean()
    labels = (rng.random(N) < rates).astype(np.float32)
    indptr = np.arange(0, slots.size + 1, len(VALUES))
    return Batch(indptr, slots.ravel(), labels=labels), rates, rng.integers(0, 2**64, N, np.uint64)


def thinned(seed: int, rate: float = 0.1) -> Outcome:
    """Predict each example, then learn from it; from a tenth of the negatives, and from all."""
    batch, rates, hashes = impressions(seed)
    numbers, clicks = np.arange(N), batch.labels == 1
    kept = clicks | keeps(numbers, hashes, rate)
    thin = weight_of_negatives(batch.weights, rates_of(numbers, rate))
    weights = np.where(clicks, batch.weights, thin) * kept
    # What weighs nothing is predicted, and not learned from.
    lighter = labelled(batch, batch.labels, weights.astype(np.float32))
    found = np.stack([LogisticRegression(12).learn(one) for one in (lighter, batch)]).astype(np.float64)
    losses = -np.where(clicks, np.log(found), np.log1p(-found)).mean(axis=1)
    calibration, unthinned = found.sum(axis=1) / rates.sum()
    return Outcome(
        float(calibration), float(calibration / unthinned), float(losses[0] / losses[1]), float(kept.mean())
    )


def test_a_tenth_of_the_negatives_teaches_the_same_rates() -> None:
    # One seed has some 2,000 clicks, and so an error of about 2 %, beside the unthinned too.
    calibration, beside, log_loss, learned = np.mean([thinned(seed) for seed in (1, 2, 3)], axis=0)
    assert learned == pytest.approx(0.1 + 0.9 * (CLICKS + COLD / N), rel=0.02)
    assert calibration == pytest.approx(1, abs=0.05)
    assert beside == pytest.approx(1, abs=0.01)
    assert log_loss < 1.003


@pytest.mark.soak
def test_twenty_streams_thinned_are_calibrated() -> None:
    outcomes = [thinned(seed) for seed in range(20)]
    calibration, _, log_loss, _ = np.mean(outcomes, axis=0)
    assert calibration == pytest.approx(1, abs=0.02)
    assert log_loss < 1.01
