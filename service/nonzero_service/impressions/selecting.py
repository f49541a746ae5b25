"""Rows of a batch in another order, and with other labels and weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch


def ordered(batch: Batch, order: NDArray[np.int64]) -> Batch:
    """Return the rows of a batch that `order` names, in that order, without ids."""
    if order.size == len(batch) and (order == np.arange(order.size)).all():
        return batch
    lengths = np.diff(batch.indptr)[order]
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    places = np.arange(int(indptr[-1])) + np.repeat(batch.indptr[order] - indptr[:-1], lengths)
    return batch.part(indptr, places, order, None)


def labelled(batch: Batch, labels: NDArray[np.float32], weights: NDArray[np.float32]) -> Batch:
    """Return a batch with these labels and weights."""
    return Batch.trusted(
        batch.indptr, batch.indices, batch.values, labels, weights, batch.fields, None, batch.times
    )
