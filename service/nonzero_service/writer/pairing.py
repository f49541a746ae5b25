"""Pairs: what a champion and its challenger predicted for the same example, just before each learned from it.

It is counted for all examples and by the values of some fields. All of it can be written down and read back
to the bit, for it goes into the challenger's snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, SnapshotError
from nonzero.fields.hashing import field_of
from nonzero.statistics.comparison import Comparison

CONFIDENCE: Final = 0.95

VALUES: Final = 32
"""So many values of a field are compared by themselves: those that are seen first."""


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
    fields: dict[str, list[tuple[int, str]]]
    """By field the index of each value's feature, -1 for all others, and its comparison."""


class Pair(NamedTuple):
    """The comparison of the examples of one value of a field."""

    feature: int | None
    """The index of the value's feature; None for all values that are not compared by themselves."""
    comparison: Comparison


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
        self._fields: dict[str, dict[int, Comparison]] = {field: {} for field in fields}
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
        self.whole.add(batch.labels, batch.weights, ours, theirs)
        if batch.fields is None:
            return
        for field, known in self._fields.items():
            for index, rows in _values(batch, self._numbers[field]):
                if index not in known and sum(one >= 0 for one in known) >= VALUES:
                    index = -1
                comparison = known.setdefault(index, Comparison(CONFIDENCE))
                comparison.add(batch.labels[rows], batch.weights[rows], ours[rows], theirs[rows])

    def slices(self) -> dict[str, list[Pair]]:
        """Return the comparisons by field: that of the most examples first, that of all others last."""
        return {
            field: [
                Pair(None if index < 0 else index, found)
                for index, found in sorted(
                    known.items(), key=lambda one: (one[0] < 0, -one[1].examples, one[0])
                )
            ]
            for field, known in self._fields.items()
        }

    def kept(self) -> dict[str, Any]:
        """Return all of it, as JSON holds it."""
        fields = {
            field: [(index, _hex(one)) for index, one in known.items()]
            for field, known in self._fields.items()
        }
        found: dict[str, Any] = msgspec.to_builtins(_WrittenPairing(self.since, _hex(self.whole), fields))
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
            made.whole = _comparison(read.whole)
            for field in fields:
                made._fields[field] = {i: _comparison(text) for i, text in read.fields.get(field, [])}
        except (ValueError, msgspec.ValidationError) as error:
            raise SnapshotError(f"it does not hold the comparison of a challenger: {error}") from error
        return made


def _values(batch: Batch, number: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each value of a field, by its feature's index, and the rows that have it; as they come."""
    assert batch.fields is not None  # noqa: S101 - who calls has looked
    places = np.flatnonzero(batch.fields == number)
    if not places.size:
        return
    rows = np.searchsorted(batch.indptr, places, side="right") - 1
    found, first, which = np.unique(batch.indices[places], return_index=True, return_inverse=True)
    if found.size == 1:
        yield int(found[0]), rows
        return
    by_value = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which))
    for one in np.argsort(first, kind="stable").tolist():
        begin = int(ends[one - 1]) if one else 0
        yield int(found[one]), rows[by_value[begin : int(ends[one])]]


def _hex(comparison: Comparison) -> str:
    return comparison.state().astype("<f8").tobytes().hex()


def _comparison(text: str) -> Comparison:
    return Comparison.from_state(np.frombuffer(bytes.fromhex(text), "<f8").astype(np.float64), CONFIDENCE)
