"""Updates whose ids are those of impressions: what is learned from as it came, and what by the impression."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.claims import Claim
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.selecting import ordered
from nonzero_service.impressions.verdicts import Verdict


@dataclass(frozen=True, eq=False)
class MatchedUpdate:
    """Examples of an update, with those that are labels of impressions in the place of their own."""

    batch: Batch
    """What is to be learned from, in order."""
    references: References | None = None
    """Which impressions its rows are; of a row that is none the number is -1. None where no row is one."""
    claim: Claim | None = None
    """The impressions."""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    """How many examples were labels of impressions, by what these met."""


def merge_labels(
    batch: Batch, rows: NDArray[np.intp], claim: Claim, unusable: NDArray[np.bool_]
) -> MatchedUpdate:
    """Put what is learned from impressions in the place of the examples that are their labels.

    Parameters
    ----------
    batch
        The examples.
    rows
        intp[k]: those of them whose labels were claimed.
    claim
        The claim, with a verdict for each of `rows`.
    unusable
        bool[k]: of which the impression cannot be used, so that the example is learned from as it came.
    """
    labels = np.array([verdict != "unknown" for verdict in claim.verdicts], np.bool_) & ~unusable
    verdicts = Counter(v for v, is_label in zip(claim.verdicts, labels.tolist(), strict=True) if is_label)
    plain = np.ones(len(batch), np.bool_)
    plain[rows[labels]] = False
    if plain.all():
        return MatchedUpdate(batch)
    places = np.concatenate([np.flatnonzero(plain), rows[claim.rows]])
    if not claim.rows.size:
        return MatchedUpdate(batch.select(plain), None, None, verdicts)
    order = np.argsort(places, kind="stable")
    count = int(plain.sum())
    learned = ordered(Batch.concatenate([batch.select(plain), claim.batch]), order)
    known = claim.references
    references = References(
        np.concatenate([np.full(count, -1, np.int64), known.numbers])[order],
        np.concatenate([np.zeros(count, np.uint64), known.hashes])[order],
        np.concatenate([np.full(count, ImpressionState.PENDING, np.uint8), known.states])[order],
    )
    return MatchedUpdate(learned, references, claim, verdicts)
