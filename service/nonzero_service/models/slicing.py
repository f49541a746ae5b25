# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Calibration by slice: predicted against observed clicks, for each value of the fields that were named.

A model may be calibrated as a whole and wrong everywhere: 10 % too high on one site, too low on another. What
is counted is progressive: each prediction is that just before its example was learned from. It is beside the
fold, and begins anew when the process starts.

A batch knows a value by its feature's index only. The first 32 values of a field that are seen have a slice
each, all others share one; what they are called, requests show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.fields.hashing import field_of, index_of
from nonzero.native import kernel, types

VALUES: Final = 32
"""So many values of a field have a slice of their own."""

MAX_NAMES: Final = 4096
"""So many names are kept: most are of values that may yet have a slice, for requests come before learning."""

PLACES: Final = 128
"""Of a field's index of values: a power of two, of which a quarter is taken at most."""

EXAMPLES, WEIGHT, CLICKS, PREDICTED = range(4)


class ValueCounts(NamedTuple):
    """What was counted of one value of a field."""

    value: str | None
    """Its name, ``#`` and its feature's index where no request has shown it; None for all other values."""
    examples: int
    weight: float
    """Their summed importance weight."""
    clicks: float
    """That of the clicks among them."""
    predicted: float
    """The clicks that were predicted, weighted too."""

    def described(self) -> dict[str, Any]:
        """Return it as JSON holds it, with ``calibration``: predicted over observed clicks; None for none."""
        return self._asdict() | {"calibration": self.predicted / self.clicks if self.clicks else None}


@kernel(
    types.void(
        types.int64.readonly,
        types.uint32.readonly,
        types.uint16.readonly,
        types.float32.readonly,
        types.float32.readonly,
        types.float32.readonly,
        types.uint8[::1],
        types.int64[:, ::1],
        types.int64[::1],
        types.float64[:, :, ::1],
    )
)
def count(indptr, indices, fields, labels, weights, probabilities, places, keys, used, sums):
    """Count each nonzero of the named fields.

    `places` says of each field its number plus 1, 0 for one that is not named. `keys` are open-addressed: a
    feature's index plus 1, or 0; its sums stand at the same place, those of all other values behind the last.
    """
    for r in range(labels.size):
        for j in range(indptr[r], indptr[r + 1]):
            f = np.intp(places[fields[j]])
            if f:
                f -= 1
                key = np.int64(indices[j]) + 1
                at = np.intp(indices[j] % np.uint32(PLACES))
                while keys[f, at] != key and keys[f, at] != 0:
                    at = (at + 1) % PLACES
                if keys[f, at] == 0:
                    if used[f] < VALUES:
                        keys[f, at] = key
                        used[f] += 1
                    else:
                        at = np.intp(PLACES)
                weight = np.float64(weights[r])
                sums[f, at, EXAMPLES] += 1.0
                sums[f, at, WEIGHT] += weight
                sums[f, at, CLICKS] += weight * np.float64(labels[r])
                sums[f, at, PREDICTED] += weight * np.float64(probabilities[r])


class Slices:
    """Counts of one model, written on the applier's thread.

    Parameters
    ----------
    fields
        The fields' names.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self._places = np.zeros(1 << 16 if fields else 0, np.uint8)
        for number, field in enumerate(fields, 1):
            self._places[field_of(field)] = number
        self._keys = np.zeros((len(fields), PLACES), np.int64)
        self._used = np.zeros(len(fields), np.int64)
        self._sums = np.zeros((len(fields), PLACES + 1, 4))
        self._names: dict[int, str] = {}

    def learned(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Count a batch that was learned from, and what was predicted just before."""
        if batch.fields is not None:
            count(
                batch.indptr, batch.indices, batch.fields, batch.labels, batch.weights, probabilities,
                self._places, self._keys, self._used, self._sums,
            )  # fmt: skip

    def name(self, features: Iterable[tuple[str, str, str]]) -> None:
        """Take the names of values out of features that requests have shown: (field, value, feature)."""
        found = {index_of(feature): value for field, value, feature in features if field in self.fields}
        if len(self._names) + len(found) > MAX_NAMES:  # those of slices stay
            self._names = {i: name for i, name in self._names.items() if (self._keys == i + 1).any()}
        if len(self._names) + len(found) <= MAX_NAMES:
            self._names.update(found)

    def all(self) -> dict[str, list[ValueCounts]]:
        """Return the slices of each field, that of the most examples first; all other values last."""
        return {field: self._of(number) for number, field in enumerate(self.fields)}

    def _of(self, number: int) -> list[ValueCounts]:
        sums, keys = self._sums[number], self._keys[number]
        found = [
            self._slice(self._names.get(int(keys[at]) - 1, f"#{int(keys[at]) - 1}"), sums[at])
            for at in np.flatnonzero(keys)
        ]
        found.sort(key=lambda one: -one.examples)
        return found + ([self._slice(None, sums[PLACES])] if sums[PLACES, EXAMPLES] else [])

    @staticmethod
    def _slice(value: str | None, sums: NDArray[np.float64]) -> ValueCounts:
        examples, weight, clicks, predicted = sums.tolist()
        return ValueCounts(value, int(examples), weight, clicks, predicted)
