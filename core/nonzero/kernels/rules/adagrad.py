# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""AdaGrad, compiled: a lane keeps a weight and its accumulator."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import exp, expm1, log
from nonzero.arithmetic.intrinsics import load, maximum, minimum, root, store, where
from nonzero.kernels.rows import intercept_row, prefetch_distance, prefetch_row, slot, value
from nonzero.kernels.rules import optimizers as places
from nonzero.kernels.rules.bounds import MAX_ACCUMULATOR, bounded
from nonzero.kernels.rules.interface import UpdateRule, hyperparameter, residual
from nonzero.native import inlined

ONE = np.float32(1.0)
ZERO = np.float32(0.0)
MAX_PULL = np.float32(1e30)
MAX_RATIO = np.float32(1e37)
MAX_EXPONENT = np.float32(87.0)
BELOW_ONE = np.nextafter(ONE, ZERO)
LEAST_LOSS = np.float32(1e-9)  # what 1 - decay is taken for where it is 0; any other is 6e-8 or more
NEWTON_STEPS = 6
WEIGHTS, ACCUMULATORS = 0, 1


class AdaGradParams(NamedTuple):
    """The learning rate, what damps it, and what is left of an accumulator at each touch."""

    eta: Any
    epsilon: Any
    decay: Any


@inlined
def read_params(hyperparameters, learned):  # noqa: ARG001 - other rules need it
    """Read the rule's hyperparameters."""
    return AdaGradParams(
        hyperparameter(hyperparameters, places.RATE),
        hyperparameter(hyperparameters, places.DAMPING),
        hyperparameter(hyperparameters, places.DECAY),
    )


@inlined
def weight(weights, accumulators, params):  # noqa: ARG001
    """Return the weights: they are stored as they are."""
    return weights


@inlined
def grown(accumulators, g, decay, mass):
    """Return G_i <- min(decay G_i + mass g^2, 1e30)."""
    accumulators = accumulators * decay + (g * g) * mass
    return minimum(accumulators, MAX_ACCUMULATOR)


@inlined
def update(weights, accumulators, g, params):
    """Return w_i <- w_i - eta g / sqrt(G_i + epsilon) and, before it, G_i <- decay G_i + g^2."""
    accumulators = grown(accumulators, g, params.decay, ONE)
    return bounded(weights - params.eta * g / root(accumulators + params.epsilon)), accumulators


@inlined
def learn(step, rows, table, example, params):
    """Learn from an example of weight 1."""
    step(update, rows, table, example.row, residual(example), params)


@inlined
def touches(s, params):
    """(decay^s, (1 - decay^s) / (1 - decay)): what s touches at once leave of an accumulator and add to it.

    The second is the sum of a geometric series, and s itself in the lanes that do not decay.
    """
    decay = params.decay
    exponent = maximum(log(decay) * s, -MAX_EXPONENT)
    lost = maximum(ONE - decay, LEAST_LOSS)
    undecayed = where(decay - BELOW_ONE, ONE, ZERO)
    return exp(exponent), expm1(exponent) * -ONE / lost + undecayed * s


@inlined
def margin_move(odds, pull):
    """How far the margin goes towards the label under the pull Q s: the d >= 0 with d + a (e^d - 1) = Q s.

    `odds` is a, the odds of the label: p / (1 - p) for a click, (1 - p) / p for none. The left side rises and
    is convex, and both Q s and log(1 + Q s / a) are at or above the root, so Newton's steps from the smaller
    of them fall towards it and never pass it.
    """
    ratio = minimum(pull / odds, MAX_RATIO)
    d = minimum(pull, log(ratio + ONE))
    for _ in range(NEWTON_STEPS):
        grown = expm1(d)
        d = d - (d + odds * grown - pull) / (odds * grown + odds + ONE)
        d = maximum(d, ZERO)
    return d


@inlined
def accumulate(store_lanes, mask, table, i, g, decay, mass):
    """Let the accumulators of row i grow; return them."""
    accumulators = grown(load(table, i, ACCUMULATORS), g, decay, mass)
    store_lanes(table, i, ACCUMULATORS, accumulators, mask)
    return accumulators


@inlined
def learn_lanes(store_lanes, mask, rows, table, example, params):
    """Take the step that infinitely many small steps of total weight s would take, rates held fixed.

    With the rates r_i = eta / sqrt(G_i + epsilon), along such steps the margin moves by dm/ds = (y - p)
    Q, where Q = sum of r_i x_i^2 (Karampatziakis and Langford 2011, section 4); `margin_move` solves that
    for the logistic loss. The accumulators take all of s first. ``store_lanes(table, i, half, numbers,
    mask)`` stores numbers, in all lanes or in some.
    """
    eta, epsilon, s, r = params.eta, params.epsilon, example.weight, example.row
    kept, mass = touches(s, params)
    toward = ONE if example.label > ZERO else -ONE
    odds, gradient = exp(example.margin * toward), residual(example)
    lo, hi, last = rows.indptr[r], rows.indptr[r + 1], intercept_row(table)
    distance = prefetch_distance(rows, hi)
    for j in range(lo, hi):
        prefetch_row(rows, table, j + distance)
        accumulate(store_lanes, mask, table, slot(rows, table, j), gradient * value(rows, j), kept, mass)
    rate = eta / root(accumulate(store_lanes, mask, table, last, gradient, kept, mass) + epsilon)
    q = rate
    for j in range(lo, hi):
        x = value(rows, j)
        q = q + eta / root(load(table, slot(rows, table, j), ACCUMULATORS) + epsilon) * (x * x)
    pull = minimum(q * s, MAX_PULL)
    move = margin_move(odds, pull) / q * toward
    for j in range(lo, hi):
        i = slot(rows, table, j)
        rate_i = eta / root(load(table, i, ACCUMULATORS) + epsilon)
        moved = bounded(load(table, i, WEIGHTS) + move * rate_i * value(rows, j))
        store_lanes(table, i, WEIGHTS, moved, mask)
    store_lanes(table, last, WEIGHTS, bounded(load(table, last, WEIGHTS) + move * rate), mask)


@inlined
def store_all(table, i, half, numbers, mask):  # noqa: ARG001 - what stores in some lanes needs it
    """Store numbers in every lane."""
    store(table, i, half, numbers)


@inlined
def learn_weighted(step, rows, table, example, params):  # noqa: ARG001 - other rules need it
    """Learn from an example of a weight other than 1, in every lane."""
    learn_lanes(store_all, ZERO, rows, table, example, params)


ADAGRAD: Final = UpdateRule(read_params, weight, update, learn, learn_weighted)
"""See :class:`nonzero.AdaGrad`."""
