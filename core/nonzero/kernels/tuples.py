"""What kernels are handed: the rows of a batch, the state of a model, and what is the call's own.

Kernels look at nothing else. The types are Numba's view of the same tuples: a kernel is compiled for one lane
or for eight, so each state has two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.evidence.arrays import EVIDENCE, Evidence
from nonzero.kernels.progress import Progress, new_progress
from nonzero.native import types
from nonzero.native.lanes import EightLanes, OneLane

Lanes = OneLane | EightLanes


def as_lanes(rows: NDArray[np.float32]) -> Lanes:
    """Wrap float32[n, 2] or float32[n, 16] as kernels take them."""
    return OneLane(rows) if rows.shape[1] == 2 else EightLanes(rows)


class BatchRows(NamedTuple):
    """The nonzeros of a batch. Its arrays may be read-only, such as bytes of a journal.

    Parameters
    ----------
    indptr
        int64[n + 1]: row r has the positions ``indptr[r]`` to ``indptr[r + 1] - 1``.
    indices
        uint32[nnz]: hashed indices; the slot is the part of one that the table has room for.
    values
        float32[nnz], or a single 1 where every value is 1.
    value_mask
        -1, or 0 where every value is 1: a value stands at ``j & value_mask``. One kernel serves both, and
        memory is read only where there are values.
    fields
        uint16[nnz]: hashed names of fields, or a single 0 where there are none.
    field_mask
        The same for the fields.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    value_mask: int
    fields: NDArray[np.uint16]
    field_mask: int


class PredictState(NamedTuple):
    """What of a model predicting reads.

    Parameters
    ----------
    table
        float32[slots + 1, 2 * lanes]: the two numbers of each lane and slot; the last row is the intercept's.
    hyperparameters
        float32[8, 2 * lanes]: see :mod:`nonzero.kernels.rules.optimizers`.
    shares
        float32[1, 2 * lanes]: how much each lane counts in the mixture; the second half is not used.
        float32[19, 16] where the lanes are combined by :mod:`nonzero.kernels.newton`.
    counts
        int64[2]: as in :class:`~nonzero.kernels.progress.Progress`.
    """

    table: Lanes
    hyperparameters: Lanes
    shares: Lanes
    counts: NDArray[np.int64]


class LearnState(NamedTuple):
    """What of a model learning reads and writes.

    Parameters
    ----------
    table, hyperparameters, shares
        As of :class:`PredictState`.
    groups
        float32[2, 2 * lanes]: which lanes the diagnosis compares with which.
    progress, evidence
        What is counted of the examples, and written down for the diagnosis.
    pending
        float32[20, 64 * lanes]: scratch memory, see :mod:`nonzero.kernels.pending` and
        :mod:`nonzero.kernels.newton`. Nothing in it outlives a call.
    """

    table: Lanes
    hyperparameters: Lanes
    shares: Lanes
    groups: Lanes
    progress: Progress
    evidence: Evidence
    pending: Lanes


class LearnCall(NamedTuple):
    """What one call of a kernel that learns is about, beside the rows.

    Parameters
    ----------
    labels, weights
        float32[n]: 0 or 1; the importance weights, 0 or more. Both may be read-only.
    clock
        When, in milliseconds since 1970; -1 where that is not known.
    out
        float32[n], written: the probability of each example just before it was learned from.
    """

    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    clock: int
    out: NDArray[np.float32]


FLOATS: Final = types.float32[::1]
LANES: Final[Mapping[int, types.Type]] = {
    1: types.NamedUniTuple(types.float32[:, ::1], 1, OneLane),
    8: types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes),
}
"""Rows of a table, by the number of lanes."""

_COUNTS = types.int64[::1]
_PROGRESS = types.like(new_progress(8))

BATCH_ROWS: Final = types.NamedTuple(
    (
        types.int64.readonly,
        types.uint32.readonly,
        types.float32.readonly,
        types.intp,
        types.uint16.readonly,
        types.intp,
    ),
    BatchRows,
)
PREDICT_STATE: Final = {
    n: types.NamedTuple((lanes, lanes, lanes, _COUNTS), PredictState) for n, lanes in LANES.items()
}
LEARN_STATE: Final = {
    n: types.NamedTuple((*[lanes] * 4, _PROGRESS, EVIDENCE, lanes), LearnState) for n, lanes in LANES.items()
}
LEARN_CALL: Final = types.NamedTuple(
    (types.float32.readonly, types.float32.readonly, types.int64, FLOATS), LearnCall
)
