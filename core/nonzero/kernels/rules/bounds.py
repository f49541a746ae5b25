# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The bounds that keep the fold total: whatever is learned, what is stored is finite."""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.intrinsics import maximum, minimum
from nonzero.native import inlined

MAX_ACCUMULATOR = np.float32(1e30)
MAX_MARGIN = np.float32(50.0)
MAX_STEPPED = np.float32(2e22)  # a weight that steps of at most 2e6 make
MAX_SUM = np.float32(1e30)
MAX_WEIGHT = np.float32(1e6)


@inlined
def clamped(x, limit):
    """A number, or lanes, kept within +-limit."""
    return minimum(maximum(x, -limit), limit)


@inlined
def bounded(weights):
    """Weights kept within +-1e6."""
    return clamped(weights, MAX_WEIGHT)
