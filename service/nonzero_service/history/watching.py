"""Sudden changes for the worse: which examples of a model are looked at, and when."""

from __future__ import annotations

from nonzero import LogisticRegression
from nonzero.statistics.shifts import LARGEST, Shift, ShiftDetector


class ShiftWatch:
    """Looks at what a model has learned from, block by block, on the thread that learns.

    What comes all at once is looked at in its last examples: one block, however much there was.

    Parameters
    ----------
    model
        The model. What it has learned from last is what comes is compared with.
    """

    def __init__(self, model: LogisticRegression) -> None:
        self._detector = ShiftDetector()
        self.edge = 0
        """There is something to look at when the model has learned from so many examples."""
        rows = model.last(2 * LARGEST)
        start = model.examples - len(rows)
        size = self._next(model, start)
        for first in range(0, len(rows) - size + 1, size):
            self._detector.add(rows[first : first + size], start + first)
        self._next(model, model.examples)

    def look(self, model: LogisticRegression) -> Shift | None:
        """Look at the next block, where it is whole; return a change that it makes known."""
        if model.examples < self.edge:
            return None
        size = self._size
        found = self._detector.add(model.last(size), model.examples - size)
        self._next(model, model.examples)
        return found

    def skip(self, model: LogisticRegression) -> None:
        """Leave out what came until now: it says nothing of how good predictions are."""
        self._next(model, model.examples)

    def _next(self, model: LogisticRegression, start: int) -> int:
        self._size = ShiftDetector.size_of(model.clicks / model.weight if model.weight else 0.5)
        self.edge = start + self._size
        return self._size
