"""A batch as kernels take it: the products of its features made, its values in units of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.features.interactions import Interactions
from nonzero.features.scales import AT_ONCE, VALUES, count_ones, scale
from nonzero.state.learned import State

__all__ = ["NO_VALUES", "Inputs", "fields_of"]

NO_VALUES: Final = np.ones(1, np.float32)
NO_FIELDS: Final = np.zeros(1, np.uint16)

Arrays = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], int]


def arrays_of(batch: Batch) -> Arrays:
    """Return a batch as kernels take it, with a mask for values' positions: 0 where every value is 1."""
    if batch.values is None:
        return batch.indptr, batch.indices, NO_VALUES, 0
    return batch.indptr, batch.indices, batch.values, -1


def fields_of(batch: Batch) -> tuple[NDArray[np.uint16], int]:
    """Return a batch's fields as kernels take them, with a mask for their positions."""
    return (NO_FIELDS, 0) if batch.fields is None else (batch.fields, -1)


class Inputs:
    """What a model makes of batches before its kernels see them.

    Parameters
    ----------
    state
        The model's: it has the scales of values.
    interactions
        The pairs of fields whose features are multiplied, such as ``site*hour``.
    """

    def __init__(self, state: State, interactions: Sequence[str]) -> None:
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

    def expanded(self, batch: Batch) -> Iterable[Batch]:
        """Yield a batch with its products, some rows at a time."""
        return (piece for piece, _ in self.pieces(batch, np.empty(len(batch), np.float32)))

    def scaled(self, batch: Batch, learning: bool = False) -> Arrays:
        """Return a piece as kernels take it: its values scaled where the model learns their scale."""
        arrays, scales = arrays_of(batch), self._state.scales
        if scales is None:
            return arrays
        if batch.values is None and not scales.learned[VALUES]:
            if learning:
                count_ones(*arrays, *fields_of(batch), batch.weights, scales)
            return arrays
        out = np.empty(batch.nnz, np.float32)
        known = np.empty((2, AT_ONCE))  # the call's own: several threads may predict
        scale(*arrays, *fields_of(batch), batch.weights, learning, scales, known, out)
        return batch.indptr, batch.indices, out, -1

    def values(self, batch: Batch) -> NDArray[np.float32]:
        """Return float32[nnz]: the values that weights multiply."""
        _, _, values, mask = self.scaled(batch)
        return values if mask else np.ones(batch.nnz, np.float32)
