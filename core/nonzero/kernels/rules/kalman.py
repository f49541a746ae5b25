# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""The diagonal Kalman filter, compiled: a lane keeps a weight and its rate, which is the weight's variance.

One formula serves every lane; see :class:`nonzero.kernels.rules.optimizers.Kalman` for its numbers:

.. math::

    m = \sum_i w_i x_i, \quad \sigma^2 = \sum_i v_i x_i^2, \quad g = p - y, \quad
    h = \max(p (1 - p), e\, g^2), \quad k = 1 / (1 + c\, h\, \sigma^2)

    v_i \leftarrow v_i / \sqrt{1 + 2 z_i}, \quad z_i = v_i x_i^2 (a\, h + b\, v_i\, g^2), \qquad
    w_i \leftarrow w_i - v_i\, x_i\, g\, k, \qquad v_i \leftarrow \max(v_i, f)

With :math:`a = c = e = f = 0`, :math:`b = 1 / (2 \eta^2)` and :math:`v_0 = \eta / \sqrt\epsilon` that is
AdaGrad: :math:`v` is :math:`\eta / \sqrt{G + \epsilon}`.

A rate is stored as the exclusive or of its bits with those of :math:`v_0`: what was never touched is 0, and
takes no memory. That is one instruction; to take 0 for the first rate is two. What is stored is bits, and no
number: nothing adds or compares it.

No weight needs a bound: a step moves it by less than 2e6, so that after 2^53 of them it is below 2e22, and a
margin of 65,536 such weights and values of 1e6 is finite.

The margin's pass reads both halves of a row, which are one cache line, and so has :math:`\sigma^2` for
little.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import exp
from nonzero.arithmetic.intrinsics import exclusive, like, load, maximum, minimum, root, store
from nonzero.kernels.rows import intercept_row, prefetch_distance, prefetch_row, slot, value
from nonzero.kernels.rules import optimizers as places
from nonzero.kernels.rules.adagrad import MAX_PULL, margin_move
from nonzero.kernels.rules.bounds import MAX_MARGIN, MAX_STEPPED, clamped
from nonzero.kernels.rules.interface import UpdateRule, hyperparameter, residual
from nonzero.kernels.steps import step_nonzeros, step_row
from nonzero.native import inlined

ONE = np.float32(1.0)
TWO = np.float32(2.0)
ZERO = np.float32(0.0)
WEIGHTS, RATES = 0, 1


class KalmanParams(NamedTuple):
    """The first rates of a coordinate and of the intercept, how a rate falls, and the least one."""

    first: Any
    intercept: Any
    curvature: Any
    gradient: Any
    damping: Any
    fisher: Any
    floor: Any


class Touch(NamedTuple):
    """What one example does to each rate and weight that it names, but for the coordinate's own part.

    Parameters
    ----------
    first
        The first rate: that of a coordinate, or of the intercept.
    curvature, gradient
        2 a h and 2 b g^2.
    pull
        g k.
    floor
        The least rate.
    """

    first: Any
    curvature: Any
    gradient: Any
    pull: Any
    floor: Any


@inlined
def read_params(hyperparameters, learned):  # noqa: ARG001 - other rules need it
    """Read the rule's hyperparameters."""
    return KalmanParams(
        hyperparameter(hyperparameters, places.PRIOR),
        hyperparameter(hyperparameters, places.INTERCEPT_PRIOR),
        hyperparameter(hyperparameters, places.CURVATURE),
        hyperparameter(hyperparameters, places.GRADIENT),
        hyperparameter(hyperparameters, places.JOINT_DAMPING),
        hyperparameter(hyperparameters, places.FISHER),
        hyperparameter(hyperparameters, places.FLOOR),
    )


@inlined
def weight(weights, rates, params):  # noqa: ARG001
    """Return the weights: they are stored as they are."""
    return weights


@inlined
def rates_of_row(table, i, first):
    """The rates of row i."""
    return exclusive(load(table, i, RATES), first)


@inlined
def term(rows, table, first, j):
    """(w x, v x^2) of position j."""
    i = slot(rows, table, j)
    w, v = load(table, i, WEIGHTS), rates_of_row(table, i, first)
    if rows.value_mask:
        x = value(rows, j)
        w = w * x
        v = v * (x * x)
    return w, v


@inlined
def margin(weight, rows, table, params, r, prefetching):  # noqa: ARG001 - the weights are stored
    """(margins, their variances) of several lanes in row r, summed as :mod:`nonzero.kernels.margins` says."""
    last = intercept_row(table)
    intercept, variance = load(table, last, WEIGHTS), rates_of_row(table, last, params.intercept)
    zero = like(intercept, ZERO)
    m0, m1, m2, m3 = zero, zero, zero, zero
    v0, v1, v2, v3 = zero, zero, zero, zero
    j, end = rows.indptr[np.uintp(r)], rows.indptr[np.uintp(r + 1)]
    distance = prefetch_distance(rows, end)
    while j + 4 <= end:
        if prefetching:
            for k in range(4):
                prefetch_row(rows, table, j + k + distance)
        m, v = term(rows, table, params.first, j)
        m0, v0 = m0 + m, v0 + v
        m, v = term(rows, table, params.first, j + 1)
        m1, v1 = m1 + m, v1 + v
        m, v = term(rows, table, params.first, j + 2)
        m2, v2 = m2 + m, v2 + v
        m, v = term(rows, table, params.first, j + 3)
        m3, v3 = m3 + m, v3 + v
        j += 4
    if prefetching:
        for k in range(j + distance, end + distance):
            prefetch_row(rows, table, k)
    if j < end:
        m, v = term(rows, table, params.first, j)
        m0, v0 = m0 + m, v0 + v
    if j + 1 < end:
        m, v = term(rows, table, params.first, j + 1)
        m1, v1 = m1 + m, v1 + v
    if j + 2 < end:
        m, v = term(rows, table, params.first, j + 2)
        m2, v2 = m2 + m, v2 + v
    whole = ((m0 + m1) + (m2 + m3)) + intercept
    return clamped(whole, MAX_MARGIN), ((v0 + v1) + (v2 + v3)) + variance


@inlined
def shrunk(rates, x, touch):
    """Return v / sqrt(1 + 2 z)."""
    doubled = (touch.gradient * rates + touch.curvature) * rates * (x * x)
    return rates / root(doubled + ONE)


@inlined
def update(weights, rates, x, touch):
    """Return the weight and the rate of a coordinate after an example of weight 1 in which its value is x."""
    rates = shrunk(exclusive(rates, touch.first), x, touch)
    return weights - rates * (touch.pull * x), exclusive(maximum(rates, touch.floor), touch.first)


@inlined
def in_intercept(touch, params):
    """Return what the example does to the intercept, whose first rate is another."""
    return Touch(params.intercept, touch.curvature, touch.gradient, touch.pull, touch.floor)


@inlined
def curved(example, params):
    """(g, h): p - y, and the curvature of the loss, which is not below so many times the squared gradient."""
    g = residual(example)
    return g, maximum(example.click * example.none, params.fisher * (g * g))


@inlined
def learn(step, rows, table, example, params):  # noqa: ARG001 - other rules need it
    """Learn from an example of weight 1: in each of its coordinates, then in the intercept."""
    g, h = curved(example, params)
    k = ONE / (params.damping * h * example.variance + ONE)
    curvature, gradient = params.curvature * h * TWO, params.gradient * (g * g) * TWO
    touch = Touch(params.first, curvature, gradient, g * k, params.floor)
    step_nonzeros(update, rows, table, example.row, ONE, touch)
    step_row(update, table, intercept_row(table), ONE, in_intercept(touch, params))


@inlined
def shrink(table, i, x, touch):
    """Let the rates of row i fall; return them."""
    rates = shrunk(rates_of_row(table, i, touch.first), x, touch)
    store(table, i, RATES, exclusive(rates, touch.first))
    return rates


@inlined
def move(table, i, moved, touch):
    """Move the weights of row i, by what `moved` makes of their rates."""
    rates = rates_of_row(table, i, touch.first)
    store(table, i, WEIGHTS, clamped(load(table, i, WEIGHTS) + moved * rates, MAX_STEPPED))
    store(table, i, RATES, exclusive(maximum(rates, touch.floor), touch.first))


@inlined
def learn_weighted(step, rows, table, example, params):  # noqa: ARG001 - other rules need it
    """Take the step that infinitely many small steps of total weight s would take, rates held fixed.

    The rates fall by all of s first. Then the margin moves by dm/ds = (y - p) Q with Q = sum of v x^2
    (Karampatziakis and Langford 2011, section 4), which :func:`nonzero.kernels.rules.adagrad.margin_move`
    solves: it rises with s, and never passes the label. The joint damping is the linear form of just that,
    and so has no part in it.
    """
    g, h = curved(example, params)
    s, r = example.weight, example.row
    curvature, gradient = params.curvature * h * (TWO * s), params.gradient * (g * g) * (TWO * s)
    touch = Touch(params.first, curvature, gradient, g, params.floor)
    intercept = in_intercept(touch, params)
    toward = ONE if example.label > ZERO else -ONE
    lo, hi, last = rows.indptr[r], rows.indptr[r + 1], intercept_row(table)
    distance = prefetch_distance(rows, hi)
    for j in range(lo, hi):
        prefetch_row(rows, table, j + distance)
        shrink(table, slot(rows, table, j), value(rows, j), touch)
    q = shrink(table, last, ONE, intercept)
    for j in range(lo, hi):
        x = value(rows, j)
        q = q + rates_of_row(table, slot(rows, table, j), touch.first) * (x * x)
    pull = minimum(q * s, MAX_PULL)
    moved = margin_move(exp(example.margin * toward), pull) / q * toward
    for j in range(lo, hi):
        move(table, slot(rows, table, j), moved * value(rows, j), touch)
    move(table, last, moved, intercept)


KALMAN: Final = UpdateRule(read_params, weight, None, learn, learn_weighted)
"""See :class:`nonzero.kernels.rules.optimizers.Kalman`."""
