# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Log losses of two models on the same examples: what is counted of them for a comparison.

The difference of an example is one of two numbers, by its label. Both are known before the label is, and so
is how far the difference can go down. A weight is taken to be known before the label too, but for a factor
that may follow the label, as where negatives are thinned: it is the ratio of the mean weights of both so far.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.elementary import log
from nonzero.arithmetic.intrinsics import split
from nonzero.native import kernel, types
from nonzero.statistics.confidence_sequence import BANDS, BOUNDS, LEAST_BAND, SQUARES, SUM

# Where each sum stands in the state; the bands follow.
EXAMPLES = 0
COUNTS, WEIGHTS = 1, 3  # two each, of weights above 0: of examples without a click, and of clicks
PREDICTED, LOSS = 5, 7  # two each: ours, then theirs
FIRST = 9
SIZE: Final = FIRST + 3 * BANDS

ONE = np.float32(1.0)
ZERO = np.float32(0.0)
MOST_CERTAIN = np.float32(1 - 2**-24)
LEAST_CERTAIN = np.float32(2e-22)
SMALLEST = np.float32(2.0**LEAST_BAND)
LOWEST = np.float32(LEAST_BAND)
HIGHEST = np.float32(BANDS - 1)


class Pair(NamedTuple):
    """Arrays of both models."""

    ours: NDArray[np.float32]
    theirs: NDArray[np.float32]


@kernel(types.void(types.float32.readonly, types.float32[:, ::1]))
def log_losses(probabilities, losses):
    """Write the log loss of each prediction for no click, without cancellation, and for a click."""
    for r in range(probabilities.size):
        p = min(max(probabilities[r], LEAST_CERTAIN), MOST_CERTAIN)
        rest = ONE - p
        losses[0, r] = -(log(rest) + ((ONE - rest) - p) / rest)
        losses[1, r] = -log(p)


@kernel(
    types.void(
        types.float64[:, ::1],
        types.int64.readonly,
        types.float32.readonly,
        types.float32.readonly,
        types.NamedUniTuple(types.float32.readonly, 2, Pair),
        types.NamedUniTuple(types.float32[:, ::1], 2, Pair),
    )
)
def compare(states, groups, labels, weights, probabilities, losses):
    """Count examples one after another, each in the state of its group; those of a negative one in none."""
    for r in range(labels.size):
        g = groups[r]
        if g < 0:
            continue
        states[g, EXAMPLES] += 1.0
        s = np.float64(weights[r])
        if s > 0.0:
            click = np.intp(labels[r] > ZERO)
            if_none = np.float64(losses.theirs[0, r]) - np.float64(losses.ours[0, r])
            if_click = np.float64(losses.theirs[1, r]) - np.float64(losses.ours[1, r])
            difference, otherwise = (if_click, if_none) if click else (if_none, if_click)
            factor = 1.0  # by which it would weigh more with the other label
            if states[g, COUNTS] > 0.0 and states[g, COUNTS + 1] > 0.0:
                mean = states[g, WEIGHTS + click] * states[g, COUNTS + 1 - click]
                factor = states[g, WEIGHTS + 1 - click] * states[g, COUNTS + click] / mean
            value, bound = s * difference, s * max(abs(difference), factor * abs(otherwise))
            _, exponent = split(max(np.float32(bound), SMALLEST))
            band = FIRST + np.intp(min(max(exponent - LOWEST, ZERO), HIGHEST))
            states[g, band + SUM * BANDS] += value
            states[g, band + SQUARES * BANDS] += value * value
            states[g, band + BOUNDS * BANDS] += bound
            states[g, COUNTS + click] += 1.0
            states[g, WEIGHTS + click] += s
            states[g, PREDICTED] += s * np.float64(probabilities.ours[r])
            states[g, PREDICTED + 1] += s * np.float64(probabilities.theirs[r])
            states[g, LOSS] += s * np.float64(losses.ours[click, r])
            states[g, LOSS + 1] += s * np.float64(losses.theirs[click, r])


def count(
    states: NDArray[np.float64],
    groups: NDArray[np.int64],
    labels: NDArray[np.float32],
    weights: NDArray[np.float32],
    probabilities: Pair,
) -> None:
    """Count examples that follow on those before.

    Parameters
    ----------
    states
        float64[groups, 129]: what is counted of each group.
    groups
        int64[n]: the group of each example; a negative one: none.
    labels, weights
        float32[n].
    probabilities
        float32[n] each.
    """
    assert {x.size for x in (groups, weights, *probabilities)} <= {labels.size}  # noqa: S101
    losses = Pair(*(np.empty((2, labels.size), np.float32) for _ in probabilities))
    for predicted, lost in zip(probabilities, losses, strict=True):
        log_losses(predicted, lost)
    compare(states, groups, labels, weights, probabilities, losses)


def check_state(state: NDArray[np.float64]) -> None:
    """Refuse a stored state that no comparison returns.

    Raises
    ------
    ValueError
        For another shape, and for numbers that are not finite, or negative where none can be.
    """
    if state.shape != (SIZE,) or state.dtype != np.float64:
        raise ValueError(
            f"a comparison's state is float64[{SIZE}], and this is {state.dtype}{[*state.shape]}"
        )
    sums = np.delete(state, np.s_[FIRST + SUM * BANDS : FIRST + (SUM + 1) * BANDS])
    if not np.isfinite(state).all() or (sums < 0).any():
        raise ValueError("a comparison's state has numbers that no examples give")
