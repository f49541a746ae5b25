"""What made a prediction, feature by feature."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Explanation"]


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
