"""Runs of one label in a stream: what a log has that is sorted by its labels, or lost them for a while.

A model that learns in order believes the latest examples most. Of a log that is sorted by its labels it
learns that nobody clicks, or that everybody does, and its progressive validation is of no use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST: Final = 20
"""So many examples of either label are needed before anything is said."""

FEWER: Final = 10
"""A log is in blocks where it has so many times fewer runs than one of the same labels in any order.

A log of n examples, of which the share p has label 1, has 2 n p (1 - p) runs where labels fall independently:
40 and more at FEWEST. By chance a tenth of that is never seen. In real logs clicks come in bursts: where each
click is followed by three more at once there are still four times as many runs.
"""

EXPECTED: Final = 100
"""A run is long where so many examples of the other label would be expected in it.

Independent labels have such a run once in e^100 places. Where people click a fifth as often for a night it is
once in e^20.
"""

SHORTEST: Final = 1000
"""And where it has so many examples: a shorter one moves a model little, and is one user's session."""


class LongRun(NamedTuple):
    """A run of one label that is too long to be chance."""

    label: int
    first: int
    """The number of its first example, counted from 1 over the stream."""
    length: int
    expected: float
    """How many examples of the other label would have been expected in it."""


class LabelRuns:
    """Counts the runs of labels in a stream, in some ten nanoseconds an example.

    Attributes
    ----------
    examples, runs
        How many there were so far; of examples those that have a label.
    longest
        The run in which most examples of the other label were to be expected, once it is a long one.

    Examples
    --------
    >>> runs = LabelRuns()
    >>> runs.look(np.repeat(np.array([0, 1], np.float32), [3000, 100]))
    >>> runs.runs, runs.in_blocks
    (2, True)
    """

    def __init__(self) -> None:
        self.examples = self.runs = 0
        self.longest: LongRun | None = None
        self._counts = [0, 0]
        self._last = -1
        self._begin = 0  # where the run that goes on begins, counted from 0

    def look(self, labels: NDArray[np.float32]) -> None:
        """Take the next labels of the stream: 0, 1, or NaN for none, which is passed over.

        Parameters
        ----------
        labels
            float32[n].
        """
        known = labels[~np.isnan(labels)] > 0
        if not known.size:
            return
        if self._last < 0:
            self._last, self.runs = int(known[0]), 1
        ends = np.flatnonzero(known[1:] != known[:-1]) + 1
        if bool(known[0]) != bool(self._last):
            ends = np.concatenate(([0], ends))
        positive = int(np.count_nonzero(known))
        self._counts[1] += positive
        self._counts[0] += known.size - positive
        begins = ends + self.examples
        self.examples += known.size
        if begins.size:
            self._end_runs(begins)
        self._judge(self._last, self._begin, self.examples - self._begin)

    def _end_runs(self, begins: NDArray[np.int64]) -> None:
        """Take runs that end where others begin; the longest of each label is judged."""
        starts = np.concatenate(([self._begin], begins[:-1]))
        lengths = begins - starts
        labels = (np.arange(begins.size) + self._last) % 2
        self.runs += begins.size
        self._last = int(labels[-1] + 1) % 2
        self._begin = int(begins[-1])
        for label in (0, 1):
            of_label = np.where(labels == label, lengths, 0)
            at = int(of_label.argmax())
            self._judge(label, int(starts[at]), int(of_label[at]))

    def _judge(self, label: int, begin: int, length: int) -> None:
        """See whether a run is long, by the share of the other label outside of it, as it is known by now."""
        others, outside = self._counts[1 - label], self._counts[0] + self._counts[1] - length
        if length < SHORTEST or others < FEWEST or outside < others:
            return
        expected = length * others / outside
        if expected >= EXPECTED and (self.longest is None or expected > self.longest.expected):
            self.longest = LongRun(label, begin + 1, length, expected)

    def state(self) -> dict[str, Any]:
        """Return what was seen, as JSON holds it.

        Returns
        -------
        dict
            For :meth:`go_on`.
        """
        return {**vars(self), "longest": None if self.longest is None else list(self.longest)}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what was seen before.

        Parameters
        ----------
        state
            What :meth:`state` has returned.

        Examples
        --------
        >>> runs, others = LabelRuns(), LabelRuns()
        >>> runs.look(np.zeros(3, np.float32))
        >>> others.go_on(runs.state())
        >>> others.examples
        3
        """
        longest = state["longest"]
        vars(self).update(state)
        self.longest = None if longest is None else LongRun(*longest)

    @property
    def expected_runs(self) -> float:
        """How many runs labels that fall independently would have."""
        return 1 + 2 * self._counts[0] * self._counts[1] / max(self.examples, 1)

    @property
    def in_blocks(self) -> bool:
        """Whether the labels come in blocks: sorted by label, or by label within days."""
        return min(self._counts) >= FEWEST and FEWER * self.runs <= self.expected_runs
