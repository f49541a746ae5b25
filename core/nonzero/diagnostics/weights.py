"""What the two numbers that a lane keeps of a coordinate stand for: its weight, and its learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.rules.optimizers import AdaGrad, Kalman, Rule

Floats = NDArray[np.float32]


def mean_weights(lanes: Sequence[Rule], rows: Floats, learned: int, shares: Floats) -> Floats:
    """Return float32[n]: the lanes' weights averaged by their shares.

    Parameters
    ----------
    lanes
        Their rules.
    rows
        float32[n, 2 * lanes]: rows of the table.
    learned
        How many examples were learned from.
    shares
        float32[lanes].
    """
    n = len(lanes)
    if all(isinstance(lane, AdaGrad | Kalman) for lane in lanes):  # they are stored as they are
        stored: Floats = rows[:, :n] @ shares
        return stored
    weights = np.zeros(len(rows), np.float32)
    for k, lane in enumerate(lanes):
        weights += shares[k] * lane.weights(rows[:, k], rows[:, n + k], learned)
    return weights


def mean_rates(lanes: Sequence[Rule], rows: Floats, shares: Floats) -> Floats:
    """Return float32[n]: the lanes' effective learning rates averaged by their shares."""
    rates = np.zeros(len(rows), np.float32)
    for k, lane in enumerate(lanes):
        rates += shares[k] * lane.rates(rows[:, len(lanes) + k])
    return rates


def intercept_lanes(lanes: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules of the intercept's row, whose first rates are others in a Kalman filter."""
    return tuple(lane.for_intercept() if isinstance(lane, Kalman) else lane for lane in lanes)
