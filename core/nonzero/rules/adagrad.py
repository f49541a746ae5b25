# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""AdaGrad, compiled: a lane keeps a weight and its accumulator."""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import like, load, load_eight, maximum, minimum, root
from nonzero.arithmetic.lanes import exp, expm1, log
from nonzero.compiled import inlined
from nonzero.rules.bounds import MAX_ACCUMULATOR, bounded
from nonzero.rules.rows import ahead, ask, slot, value
from nonzero.rules.steps import put, step, step_abreast

__all__ = ["eight_weights", "learn_alone", "learn_example", "learn_with", "reading", "weight"]

ONE = np.float32(1.0)
ZERO = np.float32(0.0)
MAX_PULL = np.float32(1e30)
MAX_RATIO = np.float32(1e37)
MAX_EXPONENT = np.float32(87.0)
LEAST_LOSS = np.float32(1e-9)  # what 1 - decay is taken for where it is 0; any other is 6e-8 or more
NEWTON_STEPS = 6
WEIGHTS, ACCUMULATORS = 0, 1


@inlined
def reading(rates, learned):  # noqa: ARG001 - other rules need both
    """What reading a weight takes beside the table: nothing, it is stored."""
    return ZERO


@inlined
def weight(table, i, how):  # noqa: ARG001
    """The weights of row i."""
    return load(table, i, WEIGHTS)


@inlined
def eight_weights(table, slots, how):  # noqa: ARG001
    """The weights of eight rows of one lane."""
    return load_eight(table, slots)[0]


@inlined
def touches(s, decay, whole):
    """(decay^s, (1 - decay^s) / (1 - decay)): what s touches at once leave of an accumulator and add to it.

    The second is the sum of a geometric series, and s itself in the lanes that do not decay, where `whole` is
    1.
    """
    exponent = maximum(log(decay) * s, like(decay, -MAX_EXPONENT))
    lost = maximum(like(decay, ONE) - decay, like(decay, LEAST_LOSS))
    return exp(exponent), expm1(exponent) * -ONE / lost + whole * s


@inlined
def distance(odds, pull):
    """How far the margin goes towards the label under the pull Q s: the d >= 0 with d + a (e^d - 1) = Q s.

    `odds` is a, the odds of the label: p / (1 - p) for a click, (1 - p) / p for none. The left side rises and
    is convex, and both Q s and log(1 + Q s / a) are at or above the root, so Newton's steps from the smaller
    of them fall towards it and never pass it.
    """
    ratio = minimum(pull / odds, like(pull, MAX_RATIO))
    d = minimum(pull, log(ratio + ONE))
    for _ in range(NEWTON_STEPS):
        grown = expm1(d)
        d = d - (d + odds * grown - pull) / (odds * grown + odds + ONE)
        d = maximum(d, like(d, ZERO))
    return d


@inlined
def grown(accumulators, g, decay, mass):
    """Return G_i <- min(decay G_i + mass g^2, 1e30)."""
    accumulators = accumulators * decay + (g * g) * mass
    return minimum(accumulators, like(accumulators, MAX_ACCUMULATOR))


@inlined
def moved(weights, accumulators, g, given):
    """Return G_i <- decay G_i + g^2 and w_i <- w_i - eta g / sqrt(G_i + epsilon), in the order of a row."""
    eta, epsilon, decay = given
    accumulators = grown(accumulators, g, decay, ONE)
    return bounded(weights - eta * g / root(accumulators + epsilon)), accumulators


@inlined
def accumulate(put, table, i, g, decay, mass, how):
    """Let the accumulators of row i grow; return them."""
    accumulators = grown(load(table, i, ACCUMULATORS), g, decay, mass)
    put(table, i, ACCUMULATORS, accumulators, how)
    return accumulators


@inlined
def learn_weighted(put, rows, table, r, residual, odds, toward, s, eta, epsilon, kept, mass, how):
    """Take the step that infinitely many small steps of total weight s would take, rates held fixed.

    With the rates r_i = eta / sqrt(G_i + epsilon), along such steps the margin moves by dm/ds = (y - p)
    Q, where Q = sum of r_i x_i^2 (Karampatziakis and Langford 2011, section 4); `distance` solves that
    for the logistic loss. The accumulators take all of s first: `kept` and `mass` are what
    :func:`touches` says.
    """
    lo, hi, last = rows.indptr[r], rows.indptr[r + 1], rows.slot_mask + 1
    far = ahead(rows, hi)
    for j in range(lo, hi):
        ask(rows, table, j + far)
        accumulate(put, table, slot(rows, j), residual * value(rows, j), kept, mass, how)
    rate = eta / root(accumulate(put, table, last, residual, kept, mass, how) + epsilon)
    q = rate
    for j in range(lo, hi):
        x = value(rows, j)
        q = q + eta / root(load(table, slot(rows, j), ACCUMULATORS) + epsilon) * (x * x)
    pull = minimum(q * s, like(q, MAX_PULL))
    move = distance(odds, pull) / q * toward
    for j in range(lo, hi):
        i = slot(rows, j)
        rate_i = eta / root(load(table, i, ACCUMULATORS) + epsilon)
        moved = bounded(load(table, i, WEIGHTS) + move * rate_i * value(rows, j))
        put(table, i, WEIGHTS, moved, how)
    put(table, last, WEIGHTS, bounded(load(table, last, WEIGHTS) + move * rate), how)


@inlined
def learn_with(step, put, rows, table, r, m, p, complement, label, s, rates, how):
    """Take one example's step, by `step` and `put` as :mod:`nonzero.rules.steps` has them."""
    eta, epsilon = load(rates, 0, 0), load(rates, 0, 1)
    # p - y without the cancellation of 1 - p: -(1 - p) for a click.
    residual = complement * -ONE if label > ZERO else p
    if s == ONE:
        step(put, moved, rows, table, r, residual, (eta, epsilon, load(rates, 1, 0)), how)
    else:
        toward = ONE if label > ZERO else -ONE
        kept, mass = touches(s, load(rates, 1, 0), load(rates, 1, 1))
        odds = exp(m * toward)
        learn_weighted(put, rows, table, r, residual, odds, toward, s, eta, epsilon, kept, mass, how)


@inlined
def learn_example(rows, table, r, m, p, complement, label, s, rates, how):
    """Take one example's step with several lanes."""
    learn_with(step, put, rows, table, r, m, p, complement, label, s, rates, how)


@inlined
def learn_alone(rows, table, r, m, p, complement, label, s, rates, how):
    """Take one example's step with a single lane."""
    learn_with(step_abreast, put, rows, table, r, m, p, complement, label, s, rates, how)
