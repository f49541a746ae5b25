"""The segments of a store together: impressions by their numbers, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.segment import Segment
from nonzero_service.impressions.states import ImpressionState, is_one_of
from nonzero_service.impressions.times import mend
from nonzero_service.impressions.undo_log import UndoLog


class Segments(list[Segment]):
    """Segments in the order of their numbers. Used under the store's lock."""

    def __init__(self) -> None:
        super().__init__()
        self.next_number = 0
        """The number of the next impression that is kept."""

    def begin(self) -> Segment:
        """Add a segment that takes the next impression, and return it."""
        segment = Segment(self.next_number)
        self.append(segment)
        return segment

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the number of each hash, -1 for an unknown one."""
        numbers = np.full(hashes.size, -1, np.int64)
        for segment in self:
            places = segment.find(hashes)
            numbers = np.where(places >= 0, places + segment.first, numbers)
        return numbers

    def parts(self, numbers: NDArray[np.int64]) -> Iterator[tuple[Segment, NDArray[np.intp]]]:
        """Yield each segment that some numbers are of, and which of them."""
        for segment in self:
            rows = np.flatnonzero((numbers >= segment.first) & (numbers < segment.next))
            if rows.size:
                yield segment, rows

    def states(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8[n]: what has become of each; ``DAMAGED`` where there is none of that number."""
        states = np.full(numbers.size, ImpressionState.DAMAGED, np.uint8)
        return self._gather(numbers, states, lambda one, places: one.states[places])

    def hashes_of(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return uint64[n]: the hash of each id; 0 where there is none of that number."""
        hashes = np.zeros(numbers.size, np.uint64)
        return self._gather(numbers, hashes, lambda one, places: one.hashes[places])

    def times(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return int64[n]: when each was predicted; 0 where there is none of that number."""
        times = np.zeros(numbers.size, np.int64)
        return self._gather(numbers, times, lambda one, places: one.times[one.rows_of(places)])

    def rates(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return float64[n]: the share of negatives that their rows taught; NaN where they taught none."""
        return self._gather(numbers, np.full(numbers.size, np.nan), Segment.rates)

    def answered(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return float32[n]: what was answered of each; NaN where there is none of that number."""
        found = np.full(numbers.size, np.nan, np.float32)
        return self._gather(numbers, found, lambda one, places: one.probabilities[places])

    def positions(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return int64[n]: where the row of each stands; 0 where there is none of that number."""
        found = np.zeros(numbers.size, np.int64)
        return self._gather(numbers, found, lambda one, places: one.positions[one.rows_of(places)])

    def _gather(
        self,
        numbers: NDArray[np.int64],
        out: NDArray[Any],
        read: Callable[[Segment, NDArray[np.int64]], NDArray[Any]],
    ) -> NDArray[Any]:
        for segment, rows in self.parts(numbers):
            out[rows] = read(segment, numbers[rows] - segment.first)
        return out

    def set(
        self, numbers: NDArray[np.int64], states: NDArray[np.uint8], undo_log: UndoLog | None = None
    ) -> None:
        """Note what has become of each; the log takes what undoes that, where there is one."""
        if undo_log is not None:
            before = self.states(numbers)
            undo_log.append(lambda: self.set(numbers, before))
        for segment, rows in self.parts(numbers):
            segment.states[numbers[rows] - segment.first] = states[rows]

    def number_of(self, *states: ImpressionState) -> int:
        """Return how many impressions are of some states."""
        return sum(int(is_one_of(one.states[: one.used], states).sum()) for one in self)

    def clicks(self, size: int, until_ms: int) -> NDArray[np.int64]:
        """Count the clicks of each whole group of `size` impressions that were made until a time."""
        first = self[0].first // size if self else 0
        groups = self[-1].next // size + 1 - first if self else 0
        clicks, many = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
        for one in self:
            due = one.made_until(until_ms)
            group = (one.first + np.arange(due)) // size - first
            many += np.bincount(group, minlength=groups)
            clicks += np.bincount(group[one.states[:due] == ImpressionState.CLICKED], minlength=groups)
        whole: NDArray[np.int64] = clicks[many == size]
        return whole

    def made_until(self, time_ms: int) -> int:
        """Return the number of the first impression that was predicted after a time."""
        stop = self[0].first if self else 0
        for one in self:
            due = one.made_until(time_ms)
            if due:
                stop = one.first + due
        return stop

    def mend_times(self, latest: int, by: int = 0) -> None:
        """Take back the times of impressions that are later than `latest`, or than one that came after."""
        for segment in reversed(self):
            mend(segment.times, latest, by)
            latest, by = int(segment.times[0]) if segment.rows else latest, 0
