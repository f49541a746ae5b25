"""The segments of a store together: impressions by their numbers, wherever they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.segment import ImpressionState, Segment, firsts_in
from nonzero_service.impressions.selecting import ordered
from nonzero_service.impressions.times import mend
from nonzero_service.impressions.unpacking import Records


class Segments(list[Segment]):
    """Segments in the order of their numbers. Used under the store's lock, but for :meth:`records`."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        super().__init__(segments)
        self._unwritten: list[References] = []  # what has become of impressions, and the disk did not take
        self._unread: set[int] = set()  # the numbers of records that the disk has once refused to read

    @classmethod
    def stored(cls, directory: Path) -> Self:
        """Open the segments of a directory; one that a crash left empty is removed.

        Raises
        ------
        OSError
            Where the disk refuses; none stays open then.
        """
        with ExitStack() as opened:
            found = []
            for first in firsts_in(directory):
                found.append(Segment(directory, first, new=False))
                opened.callback(found[-1].close)
            opened.pop_all()
        for empty in [one for one in found if not one.used]:
            empty.remove()
        return cls(one for one in found if one.used)

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
        return self._gather(numbers, "states", states)

    def times(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return int64[n]: when each was predicted; 0 where there is none of that number."""
        return self._gather(numbers, "times", np.zeros(numbers.size, np.int64))

    def hashes_of(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return uint64[n]: the hash of each id; 0 where there is none of that number."""
        return self._gather(numbers, "hashes", np.zeros(numbers.size, np.uint64))

    def _gather(self, numbers: NDArray[np.int64], column: str, out: NDArray[Any]) -> NDArray[Any]:
        for segment, rows in self.parts(numbers):
            out[rows] = getattr(segment, column)[numbers[rows] - segment.first]
        return out

    def set(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        """Note in memory what has become of each."""
        for segment, rows in self.parts(numbers):
            segment.states[numbers[rows] - segment.first] = states[rows]

    def number_of(self, state: ImpressionState) -> int:
        """Return how many impressions are of a state."""
        return sum(int((one.states[: one.used] == state).sum()) for one in self)

    def clicks(self, size: int, until_ms: int) -> NDArray[np.int64]:
        """Count the clicks of each whole group of `size` impressions that were made until a time."""
        first = self[0].first // size if self else 0
        groups = self[-1].next // size + 1 - first if self else 0
        clicks, many = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
        for one in self:
            due = int(np.searchsorted(one.times[: one.used], until_ms, "right"))
            group = (one.first + np.arange(due)) // size - first
            many += np.bincount(group, minlength=groups)
            clicks += np.bincount(group[one.states[:due] == ImpressionState.CLICKED], minlength=groups)
        whole: NDArray[np.int64] = clicks[many == size]
        return whole

    def mend_times(self, latest: int, by: int = 0) -> None:
        """Take back the times of impressions that are later than `latest`, or than one that came after."""
        for segment in reversed(self):
            mend(segment.times[: segment.used], latest, by)
            latest, by = int(segment.times[0]) if segment.used else latest, 0

    def resolve(self, references: References) -> None:
        """Note what has become of impressions: on disk too, at once or by :meth:`write_rest`."""
        self.set(references.numbers, references.states)
        try:
            self.persist(references.numbers, references.states)
        except OSError:
            self._unwritten.append(references)

    def write_rest(self) -> None:
        """Write what the disk has refused to take.

        Raises
        ------
        OSError
            Where it still does.
        """
        while self._unwritten:
            told = self._unwritten[0]
            now = self.states(told.numbers)
            self.persist(told.numbers, np.where(now == ImpressionState.CLAIMED, told.states, now))
            del self._unwritten[0]

    def records(self, segment: Segment, places: NDArray[np.int64]) -> Records:
        """Read records; one that the disk refuses for the second time is taken for damaged.

        Raises
        ------
        OSError
            Where it refuses one for the first time.
        """
        try:
            return segment.read(places)
        except OSError:
            records = segment.read(places, anyway=True)
            refused = set((places[~records.whole] + segment.first).tolist())
            if refused <= self._unread:
                return records
            self._unread |= refused
            raise

    def persist(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        """Write to the files what has become of each."""
        for segment, rows in self.parts(numbers):
            segment.settle_on_disk(numbers[rows] - segment.first, states[rows])


class FoundRecords:
    """Records that were read, by the row that asked for them."""

    def __init__(self, parts: list[tuple[NDArray[np.intp], Records]]) -> None:
        self._rows = np.concatenate([rows for rows, _ in parts] or [np.empty(0, np.intp)])
        self._batch = Batch.concatenate([records.batch for _, records in parts])
        self._probabilities = np.concatenate(
            [records.probabilities for _, records in parts] or [np.empty(0, np.float32)]
        )
        names = [name for _, records in parts for name in records.ids]
        self.names: dict[int, bytes] = dict(zip(self._rows.tolist(), names, strict=True))
        """The id of each; empty where the record is damaged."""

    def chosen(self, rows: NDArray[np.intp]) -> tuple[Batch, NDArray[np.float32]]:
        """Return the examples of some rows, in their order, and what was answered."""
        place = {row: j for j, row in enumerate(self._rows.tolist())}
        order = np.array([place[row] for row in rows.tolist()], np.int64)
        return ordered(self._batch, order), self._probabilities[order]
