"""A model's compiled loops, called with its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.features.inputs import Arrays, fields_of
from nonzero.loops import kernels
from nonzero.loops.settling import new_pending
from nonzero.rules.optimizers import AdaGrad, Rule, rates_of
from nonzero.state.learned import State
from nonzero.state.pages import allocate
from nonzero.state.table import as_lanes

__all__ = ["Loops"]


class Loops:
    """The kernels for a model's lanes: those of AdaGrad alone, or of every rule, compiled when first needed.

    Parameters
    ----------
    lanes
        The model's rules.
    state
        What it has learned. Where that moves to other arrays, it needs other loops.
    """

    def __init__(self, lanes: Sequence[Rule], state: State) -> None:
        hyperparameters = rates_of(lanes)
        rates = allocate(*hyperparameters.shape)
        rates[:] = hyperparameters
        self._state = state
        self._rates = as_lanes(rates)
        self._pending = new_pending(len(lanes))  # of examples that are learned from now
        self._read: tuple[Any, ...] = (state.rows, state.shares)
        loops: Any = kernels
        if not all(isinstance(lane, AdaGrad) for lane in lanes):
            from nonzero.loops import rule_kernels as loops

            self._read += (self._rates, state.progress.counts)
        one = len(lanes) == 1
        self._learn = loops.learn_one if one else loops.learn_eight
        self._predict = loops.predict_one if one else loops.predict_eight

    def learn(self, arrays: Arrays, batch: Batch, time_ms: int | None, out: NDArray[np.float32]) -> None:
        """Learn from a batch, whose nonzeros are these arrays, and write what was predicted just before."""
        state = self._state
        self._learn(
            *arrays,
            *fields_of(batch),
            batch.labels,
            batch.weights,
            state.rows,
            self._rates,
            state.shares,
            state.groups,
            state.progress,
            state.evidence,
            -1 if time_ms is None else time_ms,
            self._pending,
            out,
        )

    def predict(self, arrays: Arrays, out: NDArray[np.float32]) -> None:
        """Write the probability of a click for each example."""
        self._predict(*arrays, *self._read, out)
