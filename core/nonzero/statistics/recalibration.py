# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""Recalibration on line: a monotone map of the predictions, learned from how they turned out.

A prediction p just before its example was learned from, and the example's label y, are what it learns from:

.. math::

    q = \sigma(a \operatorname{logit}(p) + b), \qquad a \geq 1/16

which is Platt's scaling ("Probabilistic outputs for support vector machines", 1999) on line (Gupta and
Ramdas, "Online Platt scaling with calibeating", ICML 2023). The steps are those of the static Kalman filter
for the logistic loss (de Vilmarest and Wintenberger, "Stochastic online optimization using Kalman recursion",
JMLR 2021, algorithm 1), with x = (logit p, 1) and importance weights s:

.. math::

    I \leftarrow (1 - 1/M) I + s q (1 - q) x x^T, \qquad
    (a, b) \leftarrow (a, b) + (I + 100)^{-1} x \, s (y - q)

What was learned fades over about M = 2^18 examples, for what there is to correct changes with the model. The
100 is what the map knows at the start, that it should do nothing: it keeps a calibrated model from paying for
what there is not to be learned. One step moves the log-odds at hand by 0.25 at most.

Beside the map stands what it gains: the log loss with it and without it, on the same examples, before each is
learned from. The map is part of the model's state, and so of the fold, whether anyone is served by it or not.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.elementary import log, sigmoid, softplus
from nonzero.native import inlined, kernel, types

LEAST_SLOPE: Final = 1 / 16
MOST_SLOPE: Final = 16.0
MOST_OFFSET: Final = 20.0
KNOWN: Final = 100.0
KEPT: Final = 1 - 2**-18
LONGEST_MOVE: Final = 0.25
ENOUGH: Final = 100.0
"""So many clicks, and as many examples that were none, before a standard error says anything."""

ONE = np.float32(1.0)
ZERO = np.float32(0.0)
MOST_CERTAIN = np.float32(1 - 2**-24)
LEAST_CERTAIN = np.float32(2e-22)
MAX_MARGIN = np.float32(50.0)

SLOPE, OFFSET = range(2)
EXAMPLES, WEIGHT, CLICKS, PREDICTED, MAPPED, LOSS, MAPPED_LOSS, GAIN2 = range(8)


class Recalibration(NamedTuple):
    """The map, and what it has come to.

    Parameters
    ----------
    parameters
        float64[2]: slope and offset.
    information
        float64[3]: of the slope, of both together, of the offset.
    sums
        float64[8]: examples, weight, that of the clicks, weighted predictions without the map and with it,
        weighted log losses, and the squared weighted difference of the losses.
    """

    parameters: NDArray[np.float64]
    information: NDArray[np.float64]
    sums: NDArray[np.float64]


def new_recalibration() -> Recalibration:
    """Return the map that changes nothing."""
    return Recalibration(np.array([1.0, 0.0]), np.zeros(3), np.zeros(8))


@inlined
def logit(p):
    """The log-odds of a prediction, kept within what float32 can say of it."""
    p = min(max(p, LEAST_CERTAIN), MOST_CERTAIN)
    return log(p) - log(ONE - p)


@inlined
def mapped(x, parameters):
    """The log-odds that the map makes of log-odds."""
    z = np.float32(parameters[SLOPE] * np.float64(x) + parameters[OFFSET])
    return min(max(z, -MAX_MARGIN), MAX_MARGIN)


@inlined
def step(parameters, information, x, residual, curvature, s):
    """Take the step of one example."""
    information[0] = information[0] * KEPT + s * curvature * x * x
    information[1] = information[1] * KEPT + s * curvature * x
    information[2] = information[2] * KEPT + s * curvature
    aa, ab, bb = information[0] + KNOWN, information[1], information[2] + KNOWN
    pull = s * residual / (aa * bb - ab * ab)
    slope, offset = (bb * x - ab) * pull, (aa - ab * x) * pull
    move = abs(slope * x + offset)
    if move > LONGEST_MOVE:
        slope *= LONGEST_MOVE / move
        offset *= LONGEST_MOVE / move
    a, b = parameters[SLOPE] + slope, parameters[OFFSET] + offset
    if a < LEAST_SLOPE:
        # The nearest that is allowed, as the information measures it.
        b += ab / bb * (a - LEAST_SLOPE)
        a = LEAST_SLOPE
    parameters[SLOPE] = min(a, MOST_SLOPE)
    parameters[OFFSET] = min(max(b, -MOST_OFFSET), MOST_OFFSET)


_STATE = types.NamedUniTuple(types.float64[::1], 3, Recalibration)


@kernel(types.void(_STATE, types.float32[::1], types.float32.readonly, types.float32.readonly))
def learn_map(state, probabilities, labels, weights):
    """Learn from predictions, each made just before its example was learned from, one after another."""
    parameters, information, sums = state
    for r in range(labels.size):
        s = np.float64(weights[r])
        if s > 0.0:
            x = logit(probabilities[r])
            z = mapped(x, parameters)
            sign = -ONE if labels[r] > ZERO else ONE
            q = np.float64(sigmoid(z))
            loss, after = np.float64(softplus(sign * x)), np.float64(softplus(sign * z))
            label = np.float64(labels[r])
            sums[EXAMPLES] += 1.0
            sums[WEIGHT] += s
            sums[CLICKS] += s * label
            sums[PREDICTED] += s * np.float64(probabilities[r])
            sums[MAPPED] += s * q
            sums[LOSS] += s * loss
            sums[MAPPED_LOSS] += s * after
            sums[GAIN2] += (s * (loss - after)) * (s * (loss - after))
            step(parameters, information, np.float64(x), label - q, q * (1.0 - q), s)


@kernel(types.void(_STATE, types.float32[::1]))
def apply_map(state, probabilities):
    """Map predictions in place."""
    for r in range(probabilities.size):
        probabilities[r] = sigmoid(mapped(logit(probabilities[r]), state.parameters))


def check_map(state: Recalibration) -> None:
    """Refuse a stored map that no stream leads to.

    Raises
    ------
    ValueError
        For parameters out of their range, and for information that is none.
    """
    slope, offset = state.parameters.tolist()
    aa, ab, bb = state.information.tolist()
    if not (LEAST_SLOPE <= slope <= MOST_SLOPE and abs(offset) <= MOST_OFFSET):
        raise ValueError(f"recalibration_parameters are {slope} and {offset}, out of their range")
    if min(aa, bb) < 0 or ab * ab > (aa + KNOWN) * (bb + KNOWN):
        raise ValueError(f"recalibration_information is {aa}, {ab}, {bb}, which no examples give")


def describe_recalibration(state: Recalibration) -> dict[str, Any]:
    """Return the map and what it gains, as JSON holds it.

    Returns
    -------
    dict
        ``slope``, ``offset``; ``examples`` that it was tried on, and on them ``log_loss`` and ``calibration``
        without the map, ``mapped_log_loss`` and ``mapped_calibration`` with it; ``gain``: by how much the
        mean log loss is lower with it, in nats, and ``gain_low`` and ``gain_high``, 1.96 standard errors of
        the paired difference around that. None where a figure is not defined yet, and for the last two until
        there were 100 clicks and 100 examples without one.
    """
    examples, weight, clicks, predicted, with_map, loss, mapped_loss, gain2 = state.sums.tolist()
    gain = (loss - mapped_loss) / weight if weight else None
    spread = gain2 - (loss - mapped_loss) ** 2 / examples if examples else 0.0
    error = 1.96 * max(spread, 0.0) ** 0.5 / weight if min(clicks, weight - clicks) >= ENOUGH else None
    return {
        "slope": float(state.parameters[SLOPE]),
        "offset": float(state.parameters[OFFSET]),
        "examples": int(examples),
        "log_loss": loss / weight if weight else None,
        "mapped_log_loss": mapped_loss / weight if weight else None,
        "calibration": predicted / clicks if clicks else None,
        "mapped_calibration": with_map / clicks if clicks else None,
        "gain": gain,
        "gain_low": None if gain is None or error is None else gain - error,
        "gain_high": None if gain is None or error is None else gain + error,
    }
