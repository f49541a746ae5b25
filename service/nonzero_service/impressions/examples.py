"""The examples that are made of impressions: of those that were labelled, and of those that were not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.segments import FoundRecords
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.unpacking import Records


def labelled_batch(
    rules: Rules,
    records: FoundRecords,
    rows: NDArray[np.intp],
    references: References,
    before: NDArray[np.uint8],
) -> Batch:
    """Return the examples of some rows' records that were labelled, and were `before`."""
    batch, probabilities = records.chosen(rows)
    known = references.numbers
    clicks = references.states != ImpressionState.NEGATIVE
    weights = np.where(clicks, batch.weights, rules.weight_of_negatives(known, batch.weights))
    late = references.states == ImpressionState.CORRECTED
    weights[late] = rules.weight_of_corrections(
        known[late], batch.weights[late], probabilities[late], before[late] == ImpressionState.EXPIRED
    )
    return labelled(batch, clicks.astype(np.float32), weights.astype(np.float32))


def negatives(rules: Rules, records: Records, numbers: NDArray[np.int64]) -> Batch:
    """Return the examples of impressions whose window has ended.

    A row whose record is damaged is empty, and weighs nothing.
    """
    weights = rules.weight_of_negatives(numbers, records.batch.weights)
    return labelled(records.batch, np.zeros(numbers.size, np.float32), weights)
