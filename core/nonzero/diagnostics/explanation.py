"""What made a prediction, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.weights import mean_rates, mean_weights
from nonzero.kernels.rules.optimizers import Rule


class Explanation(NamedTuple):
    """What made a prediction.

    ``contributions.sum() + intercept + mixing`` is the log-odds of `probability`.
    """

    probability: float
    """The mixture's probability of a click."""
    contributions: NDArray[np.float32]
    """float32[nnz]: each nonzero's share of the log-odds, by the lanes' averaged weights."""
    intercept: float
    """The intercept's share of the log-odds."""
    mixing: float
    """The rest: a mixture of probabilities is no linear function of the features."""
    weights: NDArray[np.float32]
    """float32[nnz]: the lanes' averaged weights, in log-odds."""
    values: NDArray[np.float32]
    """float32[nnz]: what they were multiplied with, in units of the fields where the model scales values."""
    rates: NDArray[np.float32]
    """float32[nnz]: the lanes' averaged learning rates: how far a gradient of 1 would move the weight now."""
    verdicts: tuple[str, ...]
    """Of each nonzero, what the diagnosis says of its field; ``unknown`` where nothing is said."""


def take_apart(
    probability: float,
    lanes: Sequence[Rule],
    rows: NDArray[np.float32],
    values: NDArray[np.float32],
    verdicts: tuple[str, ...],
    learned: int,
    shares: NDArray[np.float32],
) -> Explanation:
    """Return what made a probability, of the rows of the table that were read, the intercept's last."""
    weights = mean_weights(lanes, rows, learned, shares)
    contributions = weights[:-1] * values
    intercept = float(weights[-1])
    p = min(max(probability, 1e-22), 1 - 2**-25)  # float32 rounds the nearest to 1 up to it
    mixing = float(np.log(p) - np.log1p(-p)) - intercept - float(contributions.sum())
    rates = mean_rates(lanes, rows[:-1], shares)
    return Explanation(probability, contributions, intercept, mixing, weights[:-1], values, rates, verdicts)
