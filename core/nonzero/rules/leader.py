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

from typing import Any, NamedTuple

import numpy as np

from nonzero.arithmetic.intrinsics import like, load, load_eight, maximum, minimum, root, store, where
from nonzero.compiled import inlined
from nonzero.rules import adagrad
from nonzero.rules.bounds import MAX_ACCUMULATOR, bounded, clamped
from nonzero.rules.steps import put, step, step_abreast

__all__ = ["Reading", "eight_weights", "learn_alone", "learn_mixed", "reading", "weight", "weight_of_any"]

SUMS, SQUARES = 0, 1
MAX_SUM = np.float32(1e30)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


class Reading(NamedTuple):
    """What reading a weight takes beside the table: float32, or eight, each.

    Parameters
    ----------
    alpha, beta, l2
        As in the formula; 0 for the l2 of dual averaging.
    threshold
        How far the sum of gradients must be from 0 for the weight to be other than 0.
    proximal
        1 for FTRL-proximal, 0 for dual averaging.
    direct
        1 for the lanes that follow AdaGrad, whose weights are stored; else 0.
    """

    alpha: Any
    beta: Any
    l2: Any
    threshold: Any
    proximal: Any
    direct: Any


@inlined
def reading(rates, learned):
    """What reading takes after `learned` examples; rates as :func:`nonzero.rules.optimizers.rates_of`."""
    growing = load(rates, 3, 1)
    penalties = growing * np.float32(learned) + (ONE - growing)
    return Reading(
        load(rates, 0, 0),
        load(rates, 0, 1),
        load(rates, 2, 1),
        load(rates, 2, 0) * penalties,
        load(rates, 3, 0),
        load(rates, 4, 0),
    )


@inlined
def leader(sums, squares, how):
    """The weights that two sums stand for."""
    excess = maximum(maximum(sums, -ONE * sums) - how.threshold, like(sums, ZERO))
    size = excess / ((how.beta + root(squares)) / how.alpha + how.l2)
    return bounded(where(sums, -ONE * size, size))


@inlined
def weight(table, i, how):
    """The weights of row i."""
    return leader(load(table, i, SUMS), load(table, i, SQUARES), how)


@inlined
def eight_weights(table, slots, how):
    """The weights of eight rows of one lane."""
    sums, squares = load_eight(table, slots)
    return leader(sums, squares, how)


@inlined
def weight_of_any(table, i, how):
    """The weights of row i where some lanes follow AdaGrad."""
    return where(how.direct, load(table, i, SUMS), weight(table, i, how))


@inlined
def moved(sums, squares, g, how):
    """Return the two sums after the gradient g: z + g - sigma w and n + g^2."""
    grown = minimum(squares + g * g, like(squares, MAX_ACCUMULATOR))
    # Of the roots as they are stored, not the more exact g^2 / (root + root): these add up to the
    # divisor, and where float32 stops growing both stop.
    sigma = (root(grown) - root(squares)) / how.alpha
    summed = sums + g - how.proximal * (sigma * leader(sums, squares, how))
    return clamped(summed, MAX_SUM), grown


@inlined
def gradient_of(p, complement, label, s):
    """S (p - y), without the cancellation of 1 - p."""
    return (complement * -ONE if label > ZERO else p) * s


@inlined
def learn_alone(rows, table, r, m, p, complement, label, s, rates, how):  # noqa: ARG001
    """Take one example's step with a single lane."""
    step_abreast(put, moved, rows, table, r, gradient_of(p, complement, label, s), how, how)


@inlined
def put_direct(table, i, half, numbers, how):
    """Store numbers in the lanes that follow AdaGrad."""
    store(table, i, half, where(how.direct, numbers, load(table, i, half)))


@inlined
def put_others(table, i, half, numbers, how):
    """Store numbers in the other lanes."""
    store(table, i, half, where(how.direct, load(table, i, half), numbers))


@inlined
def learn_mixed(rows, table, r, m, p, complement, label, s, rates, how):
    """Take one example's step in every lane, by its own rule."""
    adagrad.learn_with(step, put_direct, rows, table, r, m, p, complement, label, s, rates, how)
    step(put_others, moved, rows, table, r, gradient_of(p, complement, label, s), how, how)
