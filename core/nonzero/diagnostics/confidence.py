"""How sure a prediction is: McMahan's uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.weights import intercept_lanes, mean_rates
from nonzero.kernels.rules.optimizers import Rule, is_combined

ROWS_AT_ONCE = 4096


def uncertainty(
    indptr: NDArray[np.int64],
    slots: NDArray[np.intp],
    values: NDArray[np.float32],
    table: NDArray[np.float32],
    lanes: Sequence[Rule],
    shares: NDArray[np.float32],
) -> NDArray[np.float32]:
    r"""Return how far one more example could at most move each row's log-odds.

    .. math:: u(x) = \sum_l \pi_l \sum_i \eta_{l,i} |x_i|

    with the lanes' effective learning rates, for AdaGrad :math:`\eta_l / \sqrt{G_{l,i} + \epsilon_l}`, the
    intercept included: a gradient is at most :math:`|x_i|`, and a step the rate times it. Large where the
    features are new, small where they have been seen often (McMahan et al., "Ad Click Prediction: a View from
    the Trenches", KDD 2013, section 5, equation 5, averaged over the lanes). For dual averaging it leaves out
    how much a larger accumulator shrinks the weights.

    For Kalman filters :math:`x_i^2` stands in the place of :math:`|x_i|`, and the sum is at once the variance
    of the row's margin.

    Returns
    -------
    float32[n]
        In log-odds.
    """
    variances = is_combined(lanes)
    out = np.empty(indptr.size - 1, np.float32)
    intercept = float(mean_rates(intercept_lanes(lanes), table[-1:], shares)[0])
    for start in range(0, out.size, ROWS_AT_ONCE):
        ends = indptr[start : start + ROWS_AT_ONCE + 1]
        span = slice(int(ends[0]), int(ends[-1]))
        sizes = np.abs(values[span])
        terms = mean_rates(lanes, table[slots[span]], shares) * (sizes**2 if variances else sizes)
        sums = np.concatenate(([0.0], np.cumsum(terms, dtype=np.float64)))
        out[start : start + ROWS_AT_ONCE] = sums[ends[1:] - ends[0]] - sums[ends[:-1] - ends[0]] + intercept
    return out
