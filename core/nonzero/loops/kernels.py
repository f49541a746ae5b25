# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops: predict and learn, for one lane and for eight, for every rule, from the same lines.

Each loops over an example's nonzeros: `j` is a position in the batch, ``i = indices[j] & mask`` the slot, the
last row of the table the intercept. Kernels never allocate, never raise, and touch only the rows that an
example names.

The order of every sum is fixed, so that any chunking, any CPU and any day gives the same bits.
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import EightLanes, OneLane, count, load
from nonzero.arithmetic.lanes import chances
from nonzero.compiled import inlined, kernel, outlined, types
from nonzero.kernels.evidence.arrays import COMPARING, EVIDENCE, PIECE, read_clock
from nonzero.kernels.evidence.fields import SAMPLE_SHIFT, drawn, observe_fields
from nonzero.kernels.evidence.pieces import put_away
from nonzero.kernels.progress import LEARNED, Progress
from nonzero.loops.mixture import mixed
from nonzero.loops.settling import MOST, defer, settle
from nonzero.rules import adagrad
from nonzero.rules.margins import margin, margin_abreast
from nonzero.rules.rows import Rows

__all__ = ["learn", "learn_eight", "learn_one", "predict", "predict_eight", "predict_one"]

ZERO = np.float32(0.0)


@outlined
def ask_fields(
    rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
    clock, m, p, complement, label, s,
):  # fmt: skip
    """Write down of each field of an example what the live lanes would have made of it."""
    observe_fields(
        evidence, groups, load(shares, 0, 0), rates, table, rows, fields, field_mask,
        r, m, p, complement, label, s, progress.counts[LEARNED], clock,
    )  # fmt: skip


@inlined
def note(
    asked, full, rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
    clock, m, p, complement, label, s,
):  # fmt: skip
    """Write evidence down, before an example's own step: of its fields, of a piece that is full with it."""
    if asked:
        ask_fields(
            rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
            clock, m, p, complement, label, s,
        )  # fmt: skip
    if full:
        put_away(evidence, groups, shares, table, progress)


@inlined
def note_nothing(
    asked, full, rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
    clock, m, p, complement, label, s,
):  # fmt: skip
    """Nothing is held against a single lane, and code for it would only have to be compiled."""


@inlined
def learn(
    reading, margin_of, weight, learn_example, note, rows, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, pending, out,
):  # fmt: skip
    """Predict each example, then learn from it.

    The first four are an update rule: what reading a weight takes beside the table, of the rates and the
    number of examples learned from; how a margin is summed; the weights of a row, or of eight where it is
    summed abreast, of the table, the row and what reading takes; one example's step.
    `note` is :func:`note` where there are several lanes, else :func:`note_nothing`.
    """
    read_clock(evidence, clock)
    learned, first = progress.counts[LEARNED], 0
    for r in range(labels.size):
        label, s = labels[r], weights[r]
        how = reading(rates, learned)
        m = margin_of(weight, rows, table, how, r, asking=False)
        p, complement = chances(m)
        defer(pending, r - first, m, p, complement)
        asked, full = False, False
        if s > ZERO:
            learned += 1
            if count(m) > 1 and evidence.counters[COMPARING]:
                asked, full = drawn(learned, SAMPLE_SHIFT), learned % PIECE == 0
        # Those who ask look at the shares, and at the table before the example's own step.
        if asked or full or r + 1 - first == MOST:
            settle(pending, labels, weights, first, r + 1, shares, progress, out)
            first = r + 1
        note(
            asked, full, rows, fields, field_mask, r, table, rates, shares, groups, progress, evidence,
            clock, m, p, complement, label, s,
        )  # fmt: skip
        if s > ZERO:
            learn_example(rows, table, r, m, p, complement, label, s, rates, how)
    settle(pending, labels, weights, first, labels.size, shares, progress, out)


@inlined
def predict(margin_of, weight, rows, table, shares, how, out):
    """Predict each example."""
    for r in range(out.size):
        p, complement = chances(margin_of(weight, rows, table, how, r, asking=True))
        out[r] = mixed(load(shares, 0, 0), p, complement)[0]


@inlined
def as_rows(indptr, indices, values, value_mask, table):
    """Gather a batch's arrays and the mask of the table's slots."""
    return Rows(indptr, indices, values, value_mask, table.rows.shape[0] - 2)


FLOATS = types.float32[::1]
# What a batch holds may be read-only (bytes of a journal); arrays inside of tuples would have to match
# exactly.
BATCH = (types.int64.readonly, types.uint32.readonly, types.float32.readonly, types.intp)
LEARNING = (*BATCH, types.uint16.readonly, types.intp, types.float32.readonly, types.float32.readonly)
ONE_LANE = types.NamedUniTuple(types.float32[:, ::1], 1, OneLane)
EIGHT_LANES = types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes)
PROGRESS = types.NamedTuple(
    (types.int64[::1], types.float64[::1], types.float64[::1], types.float64[:, ::1], types.float32[:, ::1]),
    Progress,
)


@kernel(types.void(*LEARNING, *[ONE_LANE] * 4, PROGRESS, EVIDENCE, types.int64, ONE_LANE, FLOATS))
def learn_one(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, pending, out,
):  # fmt: skip
    """:func:`learn` with one lane."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        adagrad.reading, margin_abreast, adagrad.eight_weights, adagrad.learn_alone, note_nothing,
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, pending, out,
    )  # fmt: skip


@kernel(types.void(*LEARNING, *[EIGHT_LANES] * 4, PROGRESS, EVIDENCE, types.int64, EIGHT_LANES, FLOATS))
def learn_eight(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, pending, out,
):  # fmt: skip
    """:func:`learn` with eight lanes."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        adagrad.reading, margin, adagrad.weight, adagrad.learn_example, note,
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, pending, out,
    )  # fmt: skip


@kernel(types.void(*BATCH, ONE_LANE, ONE_LANE, FLOATS))
def predict_one(indptr, indices, values, value_mask, table, shares, out):
    """:func:`predict` with one lane."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    predict(margin_abreast, adagrad.eight_weights, rows, table, shares, ZERO, out)


@kernel(types.void(*BATCH, EIGHT_LANES, EIGHT_LANES, FLOATS))
def predict_eight(indptr, indices, values, value_mask, table, shares, out):
    """:func:`predict` with eight lanes."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    predict(margin, adagrad.weight, rows, table, shares, ZERO, out)
