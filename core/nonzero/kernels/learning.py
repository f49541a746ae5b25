# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The loops over examples, of which the kernels are made: for every rule, for one lane and for eight.

Each loops over an example's nonzeros: `j` is a position in the batch, ``i = slot(rows, table, j)`` its slot,
and the last row of the table the intercept's. Kernels never allocate, never raise, and touch only the rows
that an example names.

The order of every sum is fixed, so that any chunking, any CPU and any day gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import chances
from nonzero.arithmetic.intrinsics import count
from nonzero.kernels.evidence.arrays import COMPARING, PIECE, read_clock
from nonzero.kernels.evidence.fields import ACCUMULATORS, SAMPLE_SHIFT, VARIANCES, drawn, observe_fields
from nonzero.kernels.evidence.pieces import record_piece
from nonzero.kernels.evidence.restarts import ALL_LANES, ORDINARY_LANES
from nonzero.kernels.margins import margin, margin_8rows
from nonzero.kernels.pending import MAX_PENDING, Mixer
from nonzero.kernels.progress import LEARNED
from nonzero.kernels.rules import kalman
from nonzero.kernels.rules.interface import Example, UpdateRule
from nonzero.kernels.steps import step, step_8rows
from nonzero.native import inlined

ONE = np.float32(1.0)
ZERO = np.float32(0.0)


class Layout(NamedTuple):
    """How the eight numbers of a vector are used: for eight lanes of a row, or for eight rows of one lane.

    Parameters
    ----------
    margin
        ``(weight, rows, table, params, r, prefetching) -> (margin, variance)`` of row r in every lane; the
        variance is 0 where the rule keeps none.
    step
        ``(update, rows, table, r, gradient, params) -> None``: the step of row r in each of its coordinates.
    record
        ``(sampled, full, rows, state, call, example) -> None``: write evidence down before an example's step.
    """

    margin: Callable[..., Any]
    step: Callable[..., Any]
    record: Callable[..., Any]


class Learner(NamedTuple):
    """What a kernel is made of."""

    rule: UpdateRule
    layout: Layout
    mixer: Mixer


@inlined
def record(sampled, full, rows, state, call, example):
    """Write evidence down: of an example's fields where it is sampled, of a block that is full with it."""
    if sampled:
        observe_fields(ACCUMULATORS, rows, state, call, example)
    if full:
        record_piece(state, ORDINARY_LANES)


@inlined
def record_variances(sampled, full, rows, state, call, example):
    """The same where lanes keep variances."""
    if sampled:
        observe_fields(VARIANCES, rows, state, call, example)
    if full:
        record_piece(state, ALL_LANES)


@inlined
def record_nothing(sampled, full, rows, state, call, example):
    """A single lane is compared with none, and code for it would only have to be compiled."""


ONE_LANE: Final = Layout(margin_8rows, step_8rows, record_nothing)
EIGHT_LANES: Final = Layout(margin, step, record)
EIGHT_VARIANCES: Final = Layout(kalman.margin, step, record_variances)


@inlined
def learn(learner, rows, state, call):
    """Predict each example, then learn from it."""
    rule, layout, mixer = learner
    table, pending = state.table, state.pending
    read_clock(state.evidence, call.clock)
    learned, first = state.progress.counts[LEARNED], 0
    for r in range(call.labels.size):
        label, s = call.labels[r], call.weights[r]
        params = rule.read_params(state.hyperparameters, learned)
        m, variance = layout.margin(rule.weight, rows, table, params, r, prefetching=False)
        click, none = chances(m)
        example = Example(r, m, click, none, label, s, variance)
        mixer.enqueue(pending, r - first, m, click, none, variance)
        sampled, full = False, False
        if s > ZERO:
            learned += 1
            if count(m) > 1 and state.evidence.counters[COMPARING]:
                sampled, full = drawn(learned, SAMPLE_SHIFT), learned % PIECE == 0
        # What records evidence looks at the shares, and at the table before the example's own step.
        if sampled or full or r + 1 - first == MAX_PENDING:
            mixer.flush(rows, state, call, first, r + 1)
            first = r + 1
        layout.record(sampled, full, rows, state, call, example)
        if s == ONE:
            rule.learn(layout.step, rows, table, example, params)
        elif s > ZERO:
            rule.learn_weighted(layout.step, rows, table, example, params)
    mixer.flush(rows, state, call, first, call.labels.size)


@inlined
def predict(learner, rows, state, out):
    """Predict each example."""
    rule, layout, mixer = learner
    params = rule.read_params(state.hyperparameters, state.counts[LEARNED])
    mixer.predict(layout.margin, rule.weight, rows, state, params, out)
