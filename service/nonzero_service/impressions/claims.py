"""Claims: impressions on their way to the journal, and the examples that are made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.segments import Found
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.unpacking import Records
from nonzero_service.impressions.verdicts import Verdict

__all__ = ["Claim", "labelled_batch", "negatives"]


@dataclass(frozen=True, eq=False)
class Claim:
    """Impressions that are being resolved; nobody else gets them until they are settled or given back."""

    verdicts: list[Verdict]
    """Of each label that was given; none for an expiry."""
    batch: Batch
    """What is to be learned."""
    references: References
    """Which impressions that is."""
    before: NDArray[np.uint8]
    """uint8[n]: what they were."""
    delays: NDArray[np.int64]
    """int64[n]: milliseconds from prediction to label; none for an expiry."""
    rows: NDArray[np.intp]
    """intp[n]: which of the labels each is of; none for an expiry."""


def labelled_batch(
    rules: Rules,
    records: Found,
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
