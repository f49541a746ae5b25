"""Pairs: what a champion and its challenger predicted for the same example, just before each learned from it.

It is counted for all examples and by the values of some fields. All of it can be written down and read back
to the bit, for it goes into the challenger's snapshots.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, SnapshotError
from nonzero.fields.hashing import field_of
from nonzero.statistics.comparison import Comparison
from nonzero.statistics.comparison_slices import ComparisonSlices

CONFIDENCE: Final = 0.95

PAIRING_NOTE: Final = "comparison"
"""Where a challenger's snapshot has what was compared, among its notes."""


class ComparedSince(msgspec.Struct, frozen=True):
    """Where a comparison began."""

    position: int
    """The last position of the journal that is not compared."""
    sequence: int
    """The examples up to there."""
    time_ms: int
    """When that was, by the journal's clock."""


class _WrittenPairing(msgspec.Struct):
    """A pairing as it is written down: numbers are hex digits of their bytes."""

    since: ComparedSince
    whole: str
    fields: dict[str, tuple[list[int], str]]
    """By field the values that have slices of their own, by their features' indices, and all slices."""


class Pairing:
    """The comparison of a challenger with its champion from a position of the journal on.

    Parameters
    ----------
    since
        Where it begins.
    fields
        The fields by whose values it is made too.
    """

    def __init__(self, since: ComparedSince, fields: Sequence[str] = ()) -> None:
        self.since = since
        self.whole = Comparison(CONFIDENCE)
        self._counting = threading.Lock()
        self._fields = {field: ComparisonSlices(CONFIDENCE) for field in fields}
        self._numbers = {field: field_of(field) for field in fields}

    def add(self, batch: Batch, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        """Count a batch that both have learned from.

        Parameters
        ----------
        batch
            The examples.
        ours, theirs
            What the champion, and what the challenger predicted just before.
        """
        if not len(batch):
            return
        with self._counting:
            self.whole.add(batch.labels, batch.weights, ours, theirs)
        if batch.fields is None:
            return
        for field, slices in self._fields.items():
            places = np.flatnonzero(batch.fields == self._numbers[field])
            rows = np.searchsorted(batch.indptr, places, side="right") - 1
            values = batch.indices[places].astype(np.int64)
            slices.add(values, batch.labels[rows], batch.weights[rows], ours[rows], theirs[rows])

    def copied(self) -> Comparison:
        """Return a copy of the comparison over all examples, between two batches. From any thread."""
        with self._counting:
            state = self.whole.state()
        return Comparison.from_state(state, CONFIDENCE)

    def slices(self) -> dict[str, list[tuple[int | None, Comparison]]]:
        """Return the comparisons by field and value: that of the most examples first, that of others last.

        A value is told by its feature's index, None for all that have no slice of their own.
        """
        return {field: slices.found() for field, slices in self._fields.items()}

    def kept(self) -> dict[str, Any]:
        """Return all of it, as JSON holds it."""
        fields = {}
        for field, slices in self._fields.items():
            values, states = slices.state()
            fields[field] = values.tolist(), _hex(states)
        written = _WrittenPairing(self.since, _hex(self.whole.state()), fields)
        found: dict[str, Any] = msgspec.to_builtins(written)
        return found

    @classmethod
    def of(cls, kept: object, fields: Sequence[str]) -> Pairing:
        """Return what :meth:`kept` returned; what is compared by another field since begins anew.

        Raises
        ------
        SnapshotError
            Where it is something else.
        """
        try:
            read = msgspec.convert(kept, _WrittenPairing)
            made = cls(read.since, fields)
            made.whole = Comparison.from_state(_numbers(read.whole), CONFIDENCE)
            for field in read.fields.keys() & made._fields.keys():
                values, text = read.fields[field]
                states = _numbers(text).reshape(-1, made.whole.state().size)
                made._fields[field] = ComparisonSlices.from_state(
                    np.array(values, np.int64), states, CONFIDENCE
                )
        except (ValueError, msgspec.ValidationError) as error:
            raise SnapshotError(f"it does not hold the comparison of a challenger: {error}") from error
        return made


def _hex(numbers: NDArray[np.float64]) -> str:
    return numbers.astype("<f8").tobytes().hex()


def _numbers(text: str) -> NDArray[np.float64]:
    return np.frombuffer(bytes.fromhex(text), "<f8").astype(np.float64)
