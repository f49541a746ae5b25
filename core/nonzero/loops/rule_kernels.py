# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops for models that use rules other than AdaGrad: one lane of them, or eight of any.

They are kernels of their own, so that the default model's know nothing of these rules, and are compiled when
the first such model is made.
"""

from __future__ import annotations

from nonzero.compiled import kernel, types
from nonzero.kernels.evidence.arrays import EVIDENCE
from nonzero.kernels.progress import LEARNED
from nonzero.loops.kernels import (
    BATCH,
    EIGHT_LANES,
    FLOATS,
    LEARNING,
    ONE_LANE,
    PROGRESS,
    as_rows,
    learn,
    note,
    note_nothing,
    predict,
)
from nonzero.rules import leader
from nonzero.rules.margins import margin, margin_abreast

__all__ = ["learn_eight", "learn_one", "predict_eight", "predict_one"]

COUNTS = types.int64[::1]


@kernel(types.void(*LEARNING, *[ONE_LANE] * 4, PROGRESS, EVIDENCE, types.int64, ONE_LANE, FLOATS))
def learn_one(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, pending, out,
):  # fmt: skip
    """Learn with one lane that follows the regularized leader."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        leader.reading, margin_abreast, leader.eight_weights, leader.learn_alone, note_nothing,
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, pending, out,
    )  # fmt: skip


@kernel(types.void(*LEARNING, *[EIGHT_LANES] * 4, PROGRESS, EVIDENCE, types.int64, EIGHT_LANES, FLOATS))
def learn_eight(
    indptr, indices, values, value_mask, fields, field_mask, labels, weights,
    table, rates, shares, groups, progress, evidence, clock, pending, out,
):  # fmt: skip
    """Learn with eight lanes, each by its own rule."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    learn(
        leader.reading, margin, leader.weight_of_any, leader.learn_mixed, note,
        rows, fields, field_mask, labels, weights,
        table, rates, shares, groups, progress, evidence, clock, pending, out,
    )  # fmt: skip


@kernel(types.void(*BATCH, ONE_LANE, ONE_LANE, ONE_LANE, COUNTS, FLOATS))
def predict_one(indptr, indices, values, value_mask, table, shares, rates, counts, out):
    """Predict with one lane that follows the regularized leader."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    predict(
        margin_abreast, leader.eight_weights, rows, table, shares, leader.reading(rates, counts[LEARNED]), out
    )


@kernel(types.void(*BATCH, EIGHT_LANES, EIGHT_LANES, EIGHT_LANES, COUNTS, FLOATS))
def predict_eight(indptr, indices, values, value_mask, table, shares, rates, counts, out):
    """Predict with eight lanes, each by its own rule."""
    rows = as_rows(indptr, indices, values, value_mask, table)
    predict(margin, leader.weight_of_any, rows, table, shares, leader.reading(rates, counts[LEARNED]), out)
