# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Compiled checks of columns: one pass, and one call where numpy needs five."""

from __future__ import annotations

import numpy as np

from nonzero.batches.limits import MAX_WEIGHT
from nonzero.native import kernel, types


@kernel(types.int64(types.float32[::1]))
def read_labels(labels):
    """Turn every -1 into 0; return the first row whose label is then other than 0, 1 and NaN, or -1."""
    for r in range(labels.size):
        label = labels[r]
        if label == np.float32(-1):
            labels[r] = np.float32(0)
        elif label != np.float32(0) and label != np.float32(1) and label == label:
            return r
    return -1


@kernel(types.int64(types.float32.readonly))
def first_unlabelled(labels):
    """Return the first row without a label, or -1."""
    for r in range(labels.size):
        if labels[r] != labels[r]:
            return r
    return -1


@kernel(types.int64(types.float32.readonly))
def read_weights(weights):
    """Return the first row whose importance weight is not from 0 to 1e6, or -1."""
    for r in range(weights.size):
        if not (weights[r] >= np.float32(0) and weights[r] <= np.float32(MAX_WEIGHT)):
            return r
    return -1
