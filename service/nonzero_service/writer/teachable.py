"""Which examples may be learned from, now or by a label that comes later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero.formats import Parsed
from nonzero.sources.examples import usable


def teachable(parsed: Parsed, bits: int, max_weight: float, *, labelled: bool) -> Parsed:
    """Make errors of the rows that a model cannot use, or that weigh more than may be learned from.

    Parameters
    ----------
    parsed
        What a reader found.
    bits
        log2 of the number of slots of the model's table.
    max_weight
        The setting: the largest importance weight.
    labelled
        Whether they are to be learned from at once, so that each needs a label. Else they are predictions:
        only those with an id are ever learned from.
    """
    parsed = usable(parsed, bits, labelled=labelled)
    if not heavy(parsed.batch, max_weight):
        return parsed
    weights = parsed.batch.weights
    refused = weights > np.float32(max_weight)
    if not labelled:
        refused &= named(parsed.batch)
    return parsed.without(refused, lambda row: _too_heavy(weights[row], max_weight))


def heavy(batch: Batch, max_weight: float) -> bool:
    """Whether any example weighs more than `max_weight`."""
    weights = batch.weights
    # Half a microsecond; weights.max() takes two, of the ninety of a whole request.
    return bool(weights.size and weights[weights.argmax()] > np.float32(max_weight))


def named(batch: Batch) -> NDArray[np.bool_]:
    """Return bool[n]: which examples have an id by which a label could find them."""
    ids = Ids.of(batch.ids or [None] * len(batch))
    return ids.ends[1:] > ids.ends[:-1]


def _too_heavy(weight: np.float32, most: float) -> str:
    return (
        f"the importance weight {weight!s} is above {most:.9g}, the setting max_weight; "
        "give a smaller one, or the service a larger --max-weight"
    )
