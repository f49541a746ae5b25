"""What a model had learned at one moment, ready to be saved while the model learns on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.persistence import snapshot
from nonzero.persistence.rows import Touched, WrittenRows


class PackedRows:
    """Copies of the touched rows of an array, to be saved.

    Parameters
    ----------
    rows
        The array.
    """

    def __init__(self, rows: WrittenRows) -> None:
        self.dtype = rows.dtype
        self.shape = rows.shape
        self.width = rows.width
        self._touched = rows.touched()
        self._kept = self._touched.copied_from(rows)
        self._numbers = np.concatenate([np.empty(0, np.int64), *self._touched.numbers()])

    def touched(self) -> Touched:
        """Return which rows were touched."""
        return self._touched

    def at(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of touched rows, by their numbers."""
        kept: NDArray[Any] = self._kept[np.searchsorted(self._numbers, numbers)]
        return kept


class Packed:
    """What a model had learned at one moment.

    Parameters
    ----------
    settings, notes, examples
        The model's.
    arrays
        All that it had learned.
    """

    def __init__(
        self, settings: dict[str, Any], notes: dict[str, Any], examples: int, arrays: snapshot.WrittenArrays
    ) -> None:
        self.notes = notes
        self.examples = examples
        self._settings = settings
        self._arrays = arrays

    def write(self, path: Path) -> None:
        """Write a file that :meth:`LogisticRegression.load` reads; it is for the caller to sync it."""
        snapshot.write_plainly(path, self._arrays, {"settings": self._settings, "notes": self.notes})
