"""Two models compared by the values of a field: in which slices one is better, all of them told at once.

Of twenty intervals that hold with 95 % each, one is wrong by chance. Those here share what may go wrong: that
any of them misses, at any time, has a chance of at most 1 - confidence. For 32 slices that makes each of them
about a fifth wider.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.statistics.comparison import Comparison
from nonzero.statistics.paired_losses import SIZE, Pair, check_state, count

VALUES: Final = 32
"""So many values have slices of their own where nothing else is said; each takes a kilobyte."""


class ComparisonSlices:
    """A comparison of each of a field's first values, and one of the rest.

    Parameters
    ----------
    confidence
        The chance, at least, with which all slices' intervals hold at all times at once.
    values
        How many values have a slice of their own, those that came first; at least 1.

    Examples
    --------
    >>> slices = ComparisonSlices(values=2)
    >>> some = np.full(5, 0.5, np.float32)
    >>> slices.add(np.array([7, 9, 7, -1, 8]), some, some, some, some)
    >>> [(value, found.examples) for value, found in slices.found()]
    [(7, 2), (9, 1), (None, 1)]
    """

    def __init__(self, confidence: float = 0.95, values: int = VALUES) -> None:
        self.confidence = confidence
        self._values = values
        self._places: dict[int, int] = {}
        self._states = np.zeros((values + 1, SIZE))

    def add(
        self,
        values: NDArray[np.int64],
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
    ) -> None:
        """Count examples that follow on those before.

        Parameters
        ----------
        values
            int64[n]: the number of the value that each has, such as its index; a negative one: it has none,
            and is in no slice. An example of several values is handed over as several.
        labels, weights, ours, theirs
            As of :meth:`nonzero.statistics.comparison.Comparison.add`.

        Examples
        --------
        >>> slices, some = ComparisonSlices(), np.full(3, 0.5, np.float32)
        >>> slices.add(np.array([7, 7, -1]), some, some, some, some)
        >>> [(value, one.examples) for value, one in slices.found()]
        [(7, 2)]
        """
        found, first, where = np.unique(values, return_index=True, return_inverse=True)
        groups = np.empty(found.size, np.int64)
        for j in np.argsort(first):
            groups[j] = self._place(int(found[j]))
        count(self._states, groups[where], labels, weights, Pair(ours, theirs))

    def _place(self, value: int) -> int:
        if value < 0:
            return -1
        if len(self._places) < self._values:
            return self._places.setdefault(value, len(self._places))
        return self._places.get(value, self._values)

    def found(self) -> list[tuple[int | None, Comparison]]:
        """Return each value and its slice.

        Returns
        -------
        list of tuple
            Those with the most examples first, and None, all later values, last. A value without examples is
            left out.

        Examples
        --------
        >>> ComparisonSlices().found()
        []
        """
        own = 1 - (1 - self.confidence) / len(self._states)
        values = [*self._places, None]
        states = np.concatenate((self._states[: len(self._places)], self._states[-1:]))
        slices = [
            (value, Comparison.from_state(state, own)) for value, state in zip(values, states, strict=True)
        ]
        told = [(value, one) for value, one in slices if one.examples]
        return sorted(told, key=lambda pair: (pair[0] is None, -pair[1].examples))

    def state(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return all that is kept, for :meth:`from_state`.

        Returns
        -------
        values
            int64[k]: the values that have slices of their own.
        states
            float64[values + 1, 129]: what is counted of each slice, that of all later values last.

        Examples
        --------
        >>> values, states = ComparisonSlices(values=2).state()
        >>> values.size, states.shape
        (0, (3, 129))
        """
        return np.array([*self._places], np.int64), self._states.copy()

    @classmethod
    def from_state(
        cls, values: NDArray[np.int64], states: NDArray[np.float64], confidence: float = 0.95
    ) -> ComparisonSlices:
        """Return slices that go on from a state, to the same bits.

        Parameters
        ----------
        values, states
            What :meth:`state` returned.
        confidence
            As of the constructor.

        Returns
        -------
        ComparisonSlices
            They go on where the state was taken.

        Raises
        ------
        ValueError
            For arrays that no slices returned.

        Examples
        --------
        >>> slices, some = ComparisonSlices(), np.full(2, 0.5, np.float32)
        >>> slices.add(np.array([7, 9]), some, some, some, some)
        >>> len(ComparisonSlices.from_state(*slices.state()).found())
        2
        """
        if not 0 <= values.size < len(states) or np.unique(values).size < values.size or (values < 0).any():
            raise ValueError(f"{values.size} numbers of values do not fit {len(states)} slices' states")
        for state in states:
            check_state(state)
        found = cls(confidence, len(states) - 1)
        found._places = {int(value): place for place, value in enumerate(values)}
        found._states[:] = states
        return found
