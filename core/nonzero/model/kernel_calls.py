"""A model's kernels, called with its state."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.kernels.entry_points import kernels_for
from nonzero.kernels.newton import NEWTON_PENDING_ROWS
from nonzero.kernels.pending import MAX_PENDING
from nonzero.kernels.rules.optimizers import Rule, hyperparameters_of
from nonzero.kernels.tuples import LearnState, PredictState, as_lanes
from nonzero.model.batch_rows import RowsTuple
from nonzero.model.learned_state import LearnedState
from nonzero.persistence.pages import allocate, in_pages

_own = threading.local()


def _scratch(lanes: int) -> NDArray[np.float32]:
    """Return this thread's scratch memory for learning, 40 KB of eight lanes; no model needs its own.

    They are rows of one lane or of eight, whose halves are as many pending examples.
    """
    try:
        found: NDArray[np.float32] = _own.scratch[lanes]
    except (AttributeError, KeyError):
        found = allocate(NEWTON_PENDING_ROWS, MAX_PENDING * lanes)
        _own.scratch = {**getattr(_own, "scratch", {}), lanes: found}
    return found


@lru_cache(maxsize=16)
def _hyperparameters(lanes: tuple[Rule, ...]) -> NDArray[np.float32]:
    """Return the numbers of some rules, which are the same memory for all models of these."""
    return in_pages(hyperparameters_of(lanes))


class KernelCalls:
    """The kernels for a model's lanes, and the tuples that they are handed of its state.

    Parameters
    ----------
    lanes
        The rules by which the table keeps its numbers.
    state
        What it has learned. Where that moves to other arrays, it needs another object of this class.
    """

    def __init__(self, lanes: Sequence[Rule], state: LearnedState) -> None:
        kernels = kernels_for(lanes)
        self._places = state.table.places
        self._lanes = len(lanes)
        table, shares = as_lanes(state.table.memory), as_lanes(state.shares)
        hyperparameters = as_lanes(_hyperparameters(tuple(lanes)))
        self._scratch = _scratch(self._lanes)
        self._learn, self._predict = kernels.learn, kernels.predict
        self._predict_state = PredictState(table, hyperparameters, shares, state.progress.counts)
        self._learn_state = LearnState(
            table,
            hyperparameters,
            shares,
            as_lanes(state.groups),
            state.progress,
            state.evidence,
            type(table)(self._scratch),
        )

    def learn(self, rows: RowsTuple, batch: Batch, time_ms: int | None, out: NDArray[np.float32]) -> None:
        """Learn from a batch, whose nonzeros are these, and write what was predicted just before.

        One thread at a time.
        """
        scratch = _scratch(self._lanes)
        if scratch is not self._scratch:  # another thread's, which may be learning for another model
            self._scratch = scratch
            pending = type(self._learn_state.pending)(scratch)
            self._learn_state = self._learn_state._replace(pending=pending)
        clock = -1 if time_ms is None else time_ms
        if self._places is not None:
            indptr, indices, values, value_mask, fields, field_mask = rows
            rows = (indptr, self._places.take(indices), values, value_mask, fields, field_mask)
        self._learn(rows, self._learn_state, (batch.labels, batch.weights, clock, out))

    def predict(self, rows: RowsTuple, out: NDArray[np.float32]) -> None:
        """Write the probability of a click for each example."""
        if self._places is not None:
            indptr, indices, values, value_mask, fields, field_mask = rows
            named = indices[: indptr[-1]]  # what a parser has behind them was of other rows
            rows = (indptr, self._places.find(named), values, value_mask, fields, field_mask)
        self._predict(rows, self._predict_state, out)
