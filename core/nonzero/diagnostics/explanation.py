"""What made a prediction, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.weights import mean_rates, mean_weights
from nonzero.kernels.rules.optimizers import Rule


class Explanation(NamedTuple):
    """What made a prediction: :meth:`nonzero.LogisticRegression.explain` returns it.

    ``contributions.sum() + intercept + mixing`` is the log-odds of `probability`. `nnz` is the number of the
    example's nonzeros, those of its interactions included.

    Parameters
    ----------
    probability
        The mixture's probability of a click, from 0 to 1, before any recalibration.
    contributions
        float32[nnz]: each nonzero's share of the log-odds, by the lanes' averaged weights.
    intercept
        The intercept's share of the log-odds.
    mixing
        The rest, in log-odds: a mixture of probabilities is no linear function of the features.
    weights
        float32[nnz]: the lanes' averaged weights, in log-odds for a value of 1.
    values
        float32[nnz]: what they were multiplied with, in units of the fields where the model scales values.
    rates
        float32[nnz]: the lanes' averaged learning rates: how far a gradient of 1 would move the weight now.
    verdicts
        Of each nonzero, what the diagnosis says of its field; ``unknown`` where nothing is said.

    Examples
    --------
    >>> from nonzero import Batch, LogisticRegression
    >>> model = LogisticRegression(bits=10)
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> explanation = model.explain(Batch.from_dicts([{"site": "news"}]))
    >>> explanation.probability > 0.5, explanation.contributions.shape, explanation.verdicts
    (True, (1,), ('unknown',))
    """

    probability: float
    contributions: NDArray[np.float32]
    intercept: float
    mixing: float
    weights: NDArray[np.float32]
    values: NDArray[np.float32]
    rates: NDArray[np.float32]
    verdicts: tuple[str, ...]


def take_apart(
    probability: float,
    lanes: Sequence[Rule],
    rows: NDArray[np.float32],
    values: NDArray[np.float32],
    verdicts: tuple[str, ...],
    learned: int,
    shares: NDArray[np.float32],
    averaging: NDArray[np.float32],
) -> Explanation:
    """Return what made a probability, of the rows of the table that were read, the intercept's last.

    Weights are averaged by `averaging`, how far each lane's margin moves the log-odds; rates by the shares.
    """
    weights = mean_weights(lanes, rows, learned, averaging)
    contributions = weights[:-1] * values
    intercept = float(weights[-1])
    p = min(max(probability, 1e-22), 1 - 2**-25)  # float32 rounds the nearest to 1 up to it
    mixing = float(np.log(p) - np.log1p(-p)) - intercept - float(contributions.sum())
    rates = mean_rates(lanes, rows[:-1], shares)
    return Explanation(probability, contributions, intercept, mixing, weights[:-1], values, rates, verdicts)
