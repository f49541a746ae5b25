# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A batch as kernels take it, and the slot and the value at a position."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import prefetch
from nonzero.compiled import inlined

__all__ = ["AHEAD", "Rows", "ahead", "ask", "slot", "value"]

AHEAD = 200
"""How many nonzeros ahead a row is asked for: about the time that memory takes, across examples' borders."""


class Rows(NamedTuple):
    """A batch as kernels take it.

    Parameters
    ----------
    indptr
        int64[n + 1].
    indices
        uint32[nnz].
    values
        float32[nnz], or a single 1 where every value is 1.
    value_mask
        All ones, or 0 where every value is 1: ``values[j & value_mask]``. One kernel serves both, and memory
        is read only where there are values.
    slot_mask
        The number of slots less 1.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    value_mask: int
    slot_mask: int


# Subscripts are unsigned: a signed one would be checked for being negative, each time.


@inlined
def slot(rows, j):
    """The slot of position j."""
    return np.intp(rows.indices[np.uintp(j)] & np.uint32(rows.slot_mask))


@inlined
def value(rows, j):
    """The feature value of position j."""
    return rows.values[np.uintp(j & rows.value_mask)]


@inlined
def ahead(rows, end):
    """How far ahead rows are asked for in the example that ends at `end`: not beyond the last position."""
    return min(rows.indices.size - end, AHEAD)


@inlined
def ask(rows, table, j):
    """Ask for the row of a position, which is :func:`ahead` of the one that is learned from.

    In the loop that divides, where the memory's queue has time to empty: from the margin's, which is four
    times as fast, one lane took 190 instead of 156 ns an example, eight 307 instead of 260 (2^22 slots).
    """
    prefetch(table, slot(rows, j))
