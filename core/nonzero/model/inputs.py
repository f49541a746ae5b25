"""What a model makes of a batch before kernels see it: products of features, values in their field's unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.kernels.scales import AT_ONCE, VALUES, count_ones, scale
from nonzero.model.batch_rows import RowsTuple, rows_of
from nonzero.model.interactions import Interactions
from nonzero.model.learned_state import LearnedState


class Inputs:
    """The way of a model's batches to its kernels.

    Parameters
    ----------
    state
        The model's: it has the scales of values.
    interactions
        The pairs of fields whose features are multiplied, such as ``site*hour``.
    """

    def __init__(self, state: LearnedState, interactions: Sequence[str]) -> None:
        self._state = state
        self._interactions = Interactions(interactions) if len(interactions) else None

    @property
    def interactions(self) -> tuple[str, ...]:
        """The pairs of fields."""
        return () if self._interactions is None else self._interactions.names

    @property
    def are_as_given(self) -> bool:
        """Whether a batch of ones is taken as it is: nothing is multiplied, and nothing scaled yet."""
        scales = self._state.scales
        return self._interactions is None and (scales is None or not scales.learned[VALUES])

    def pieces(self, batch: Batch, out: NDArray[np.float32]) -> Iterable[tuple[Batch, NDArray[np.float32]]]:
        """Return a batch with its products, some rows at a time, and of `out` the part of each."""
        return ((batch, out),) if self._interactions is None else self._interactions.pieces(batch, out)

    def nonzeros(self, batch: Batch) -> int:
        """Return how many nonzeros a batch has with its products."""
        return batch.nnz if self._interactions is None else self._interactions.nonzeros(batch)

    def expanded(self, batch: Batch) -> Iterable[Batch]:
        """Yield a batch with its products, some rows at a time."""
        return (piece for piece, _ in self.pieces(batch, np.empty(len(batch), np.float32)))

    def scaled(self, batch: Batch, learning: bool = False) -> RowsTuple:
        """Return a piece as kernels take it: its values scaled where the model learns their scale."""
        rows, scales = rows_of(batch), self._state.scales
        if scales is None:
            return rows
        if batch.values is None and not scales.learned[VALUES]:
            if learning:
                count_ones(rows, batch.weights, scales)
            return rows
        out = np.empty(batch.nnz, np.float32)
        known = np.empty((2, AT_ONCE))  # the call's own: several threads may predict
        scale(rows, batch.weights, learning, scales, known, out)
        indptr, indices, _, _, fields, field_mask = rows
        return indptr, indices, out, -1, fields, field_mask

    def values(self, batch: Batch) -> NDArray[np.float32]:
        """Return float32[nnz]: the values that weights multiply."""
        _, _, values, value_mask, _, _ = self.scaled(batch)
        return values if value_mask else np.ones(batch.nnz, np.float32)
