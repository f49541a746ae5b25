"""A model's table as predictions read it: the weights of its lanes, slot by slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.diagnostics.weights import intercept_lanes
from nonzero.kernels.newton import UNSURE_LANE
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.formula import Formula


class Coordinates(NamedTuple):
    """Some coordinates of a model.

    Parameters
    ----------
    slots
        int64[n], ascending.
    weights
        float32[n, lanes]: each lane's weight, in log-odds for a value of 1.
    variances
        float32[n]: the rate of the lane that says how unsure an example is. None where nothing asks for it.
    """

    slots: NDArray[np.int64]
    weights: NDArray[np.float32]
    variances: NDArray[np.float32] | None

    def where(self, kept: NDArray[np.bool_]) -> Coordinates:
        """Return some of them."""
        variances = None if self.variances is None else self.variances[kept]
        return Coordinates(self.slots[kept], self.weights[kept], variances)


def coordinates_of(model: LogisticRegression, formula: Formula) -> Iterator[Coordinates]:
    """Yield the coordinates that are not as those of a new model, without the intercept, some at a time.

    What was touched and predicts as if it had not been is left out, such as a weight that L1 keeps at 0.

    Parameters
    ----------
    model
        The model; it is read by its touched rows.
    formula
        Its own.

    Yields
    ------
    Coordinates
        In the order of their slots.

    Examples
    --------
    >>> model = LogisticRegression(bits=10)
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> [some.slots.tolist() for some in coordinates_of(model, model.formula())]
    [[783]]
    """
    new = untouched(formula)
    for numbers in model.rows.touched().numbers():
        slots = numbers[numbers < 2**model.bits]
        found = _read(formula, formula.lanes, slots, model.rows.at(slots))
        other = (found.weights != 0).any(axis=1)
        if found.variances is not None and new.variances is not None:
            other |= found.variances != new.variances
        yield found if other.all() else found.where(other)


def intercept_of(model: LogisticRegression, formula: Formula) -> Coordinates:
    """Return the intercept, as one coordinate whose slot is the number of slots."""
    last = np.array([2**model.bits])
    return _read(formula, intercept_lanes(formula.lanes), last, model.rows.at(last))


def untouched(formula: Formula) -> Coordinates:
    """Return what any other coordinate is, as one whose slot is -1."""
    n = len(formula.lanes)
    return _read(formula, formula.lanes, np.array([-1]), np.zeros((1, 2 * n), np.float32))


def _read(
    formula: Formula, lanes: Sequence[Rule], slots: NDArray[np.int64], rows: NDArray[np.float32]
) -> Coordinates:
    n = len(lanes)
    weights = np.empty((len(rows), n), np.float32)
    for k, lane in enumerate(lanes):
        weights[:, k] = lane.weights(rows[:, k], rows[:, n + k], formula.learned)
    weights += 0  # of a lane that is worked out a 0 may be -0
    variances = lanes[UNSURE_LANE].rates(rows[:, n + UNSURE_LANE]) if formula.answers is not None else None
    return Coordinates(slots, weights, variances)


def largest(model: LogisticRegression, formula: Formula, n: int) -> NDArray[np.int64]:
    """Return the slots of the largest averaged weights, ascending.

    Parameters
    ----------
    model, formula
        As of :func:`coordinates_of`.
    n
        So many; fewer where there are no more.

    Returns
    -------
    int64[n]
    """
    slots, sizes = np.zeros(0, np.int64), np.zeros(0, np.float32)
    for some in coordinates_of(model, formula):
        slots = np.concatenate([slots, some.slots])
        sizes = np.concatenate([sizes, np.abs(some.weights @ formula.averaging)])
        kept = np.sort(np.argsort(-sizes, kind="stable")[:n])
        slots, sizes = slots[kept], sizes[kept]
    return slots


def chosen(model: LogisticRegression, formula: Formula, top: int | None) -> Iterator[Coordinates]:
    """Yield coordinates, some at a time and never none: those of the largest averaged weights, or all.

    Parameters
    ----------
    model, formula
        As of :func:`coordinates_of`.
    top
        How many; None for all.

    Yields
    ------
    Coordinates
        In the order of their slots.
    """
    slots = None if top is None else largest(model, formula, top)
    for some in coordinates_of(model, formula):
        found = some if slots is None else some.where(np.isin(some.slots, slots))
        if found.slots.size:
            yield found
