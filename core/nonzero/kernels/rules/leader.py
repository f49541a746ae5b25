# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""FTRL-proximal and dual averaging, compiled: a lane keeps a sum of gradients, and of their squares.

Both follow the regularized leader: the weight is what minimises the linearised loss so far, an L1 penalty and
a quadratic term, and is worked out from the two sums whenever it is read,

.. math:: w = -\operatorname{sgn}(z)\, [\,|z| - \lambda\,]_+ \,/\, ((\beta + \sqrt{n}) / \alpha + \lambda_2)

so that a weight within the penalty is exactly 0. They differ in where the quadratic term is centred: at the
weights of the time for FTRL-proximal, which adds :math:`-\sigma w` to z at each step, and at 0 for dual
averaging, whose penalty is counted once an example and so grows with their number (McMahan,
"Follow-the-Regularized-Leader and Mirror Descent: Equivalence Theorems and L1 Regularization", AISTATS 2011,
table 1).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.intrinsics import maximum, minimum, root, where
from nonzero.kernels.rules import optimizers as places
from nonzero.kernels.rules.bounds import MAX_ACCUMULATOR, MAX_SUM, bounded, clamped
from nonzero.kernels.rules.interface import UpdateRule, hyperparameter, residual
from nonzero.native import inlined

ONE = np.float32(1.0)
ZERO = np.float32(0.0)


class LeaderParams(NamedTuple):
    """What the weights are worked out with, beside the two sums.

    Parameters
    ----------
    alpha, beta, l2
        As in the formula; 0 for the l2 of dual averaging.
    threshold
        How far the sum of gradients must be from 0 for the weight to be other than 0.
    proximal
        1 for FTRL-proximal, 0 for dual averaging.
    """

    alpha: Any
    beta: Any
    l2: Any
    threshold: Any
    proximal: Any


@inlined
def read_params(hyperparameters, learned):
    """Read the rule's hyperparameters; dual averaging's threshold grows with the number of examples."""
    averaged = hyperparameter(hyperparameters, places.AVERAGED)
    penalties = averaged * np.float32(learned) + (ONE - averaged)
    return LeaderParams(
        hyperparameter(hyperparameters, places.RATE),
        hyperparameter(hyperparameters, places.DAMPING),
        hyperparameter(hyperparameters, places.L2),
        hyperparameter(hyperparameters, places.L1) * penalties,
        hyperparameter(hyperparameters, places.PROXIMAL),
    )


@inlined
def weight(sums, squares, params):
    """Return the weights that the two sums stand for."""
    excess = maximum(maximum(sums, -ONE * sums) - params.threshold, ZERO)
    size = excess / ((params.beta + root(squares)) / params.alpha + params.l2)
    return bounded(where(sums, -ONE * size, size))


@inlined
def update(sums, squares, g, params):
    """Return the two sums after the gradient g: z + g - sigma w and n + g^2."""
    grown = minimum(squares + g * g, MAX_ACCUMULATOR)
    # Of the roots as they are stored, not the more exact g^2 / (root + root): these add up to the
    # divisor, and where float32 stops growing both stop.
    sigma = (root(grown) - root(squares)) / params.alpha
    summed = sums + g - params.proximal * (sigma * weight(sums, squares, params))
    return clamped(summed, MAX_SUM), grown


@inlined
def learn(step, rows, table, example, params):
    """Learn from an example of weight 1."""
    step(update, rows, table, example.row, residual(example), params)


@inlined
def learn_weighted(step, rows, table, example, params):
    """Learn from an example of a weight other than 1: it multiplies the gradient."""
    step(update, rows, table, example.row, residual(example) * example.weight, params)


LEADER: Final = UpdateRule(read_params, weight, update, learn, learn_weighted)
"""See :class:`nonzero.FTRL` and :class:`nonzero.DualAveraging`."""
