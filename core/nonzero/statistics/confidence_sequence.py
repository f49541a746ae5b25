r"""A confidence sequence: where the mean of a stream is, told so that it may be looked at at any time.

An interval at a fixed length of the stream is wrong more and more often, the more often somebody looks and
waits for it to leave 0. The intervals here hold at all lengths at once: the chance that any of them misses is
at most 1 - confidence.

Let :math:`\mu_i` be what :math:`x_i` was to be expected to be, given all that came before it, and let
:math:`x_i \geq -b_i`, of which :math:`b_i` is known before :math:`x_i` is. Then for every :math:`\lambda > 0`

.. math::

    M_\lambda = \exp \sum_i \left( \lambda (x_i - \mu_i) - \kappa(\lambda b_i) \lambda^2 x_i^2 \right), \qquad
    \kappa(u) = \frac{-\log(1 - u) - u}{u^2}

has a mean of at most 1 whenever it is looked at: each factor is at most :math:`(1 + \lambda x_i) e^{-\lambda
\mu_i}` (Fan, Grama, Liu, "Exponential inequalities for martingales with applications", Electronic Journal of
Probability 2015, lemma 4.1), whose mean is at most 1 because of :math:`1 + z \leq e^z`. So has a mixture of
such. By Ville's inequality it ever exceeds :math:`2 / (1 - c)` with a chance of at most :math:`(1 - c) / 2`,
and so :math:`\sum \mu_i` is above the root of the mixture; the other end is that of :math:`-x`. This is an
empirical Bernstein bound (Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 2021, theorem 4), as Choe and Ramdas ("Comparing sequential
forecasters", Operations Research 2024) use one for the losses of forecasters. It supposes nothing of the
stream: neither independent examples, nor a mean that stays as it is, nor a variance.

Values differ in size by orders of magnitude. So sums are kept by bands of the bound: a large :math:`\lambda`
leaves out the bands that are too wide for it, and takes their worst case, :math:`\mu_i = -b_i`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_BAND: Final = -12
BANDS: Final = 40
"""Band j has bounds up to 2**(LEAST_BAND + j + 1/2), the first one all that are smaller, the last one up to
some 2e8: a weight of a million, and a loss of fifty nats."""

SUM, SQUARES, BOUNDS = range(3)
"""Where each sum of a band stands: of the values, of their squares, of their bounds."""

_CAPS: Final = 2.0 ** (LEAST_BAND + 0.5 + np.arange(BANDS))

# Rates a factor of two apart lose a few percent between two of them. A quarter is in the middle: where one
# model knows all that the other knows and more, 1/2 is the best, and less where both are wrong in places. Far
# rates have less of the mixture, which costs little: ten octaves off, intervals are a fifth wider.
_OCTAVES: Final = np.arange(10, -31, -1)
_RATES: Final = 2.0**_OCTAVES
_SHARES: Final = (4.0 + np.abs(_OCTAVES + 2)) ** -2
_LOG_SHARES: Final = np.log(_SHARES / _SHARES.sum())

_STEEPNESS: Final = np.minimum(np.multiply.outer(_RATES, _CAPS), 0.75)
_TAKEN: Final = _STEEPNESS < 0.75
"""bool[rates, bands]: rates that a band is not too wide for; beyond that the logarithm's bound is poor."""
_KAPPA: Final = (-np.log1p(-_STEEPNESS) - _STEEPNESS) / _STEEPNESS**2 * _TAKEN


def interval(bands: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return between what the sum of the expectations is.

    Parameters
    ----------
    bands
        float64[3, 40]: sums of the values, of their squares and of their bounds, by the bands of the bounds.
    confidence
        The chance, at least, that the sum is within at all times, above 0 and below 1.

    Examples
    --------
    >>> bands = np.zeros((3, BANDS))
    >>> bands[:, 12] = 200.0, 1000.0, 1000.0  # a thousand values of 1 or -1
    >>> low, high = interval(bands, 0.95)
    >>> low > 50, high < 350
    (True, True)
    """
    level = float(np.log(2 / (1 - confidence)))
    sums, squares, bounds = bands
    return _least(sums, squares, bounds, level), -_least(-sums, squares, bounds, level)


def _least(
    sums: NDArray[np.float64], squares: NDArray[np.float64], bounds: NDArray[np.float64], level: float
) -> float:
    """Return the sum of expectations at which the logarithm of the mixture comes down to a level."""
    gained = _LOG_SHARES + _RATES * (_TAKEN @ sums - _RATES * (_KAPPA @ squares) - ~_TAKEN @ bounds)
    # The mixture exceeds each of its parts, so the root is above each of theirs. From there Newton's steps on
    # a convex function go up to it and never beyond.
    found = float(((gained - level) / _RATES).max())
    for _ in range(50):
        logs = gained - _RATES * found
        most = float(logs.max())
        shares = np.exp(logs - most)
        total = float(shares.sum())
        step = (most + float(np.log(total)) - level) * total / float(shares @ _RATES)
        found += step
        if step <= 1e-12 * abs(found):
            break
    return found
