"""The watermark: the event time until which all records of some topics have been read.

It is the least of what the partitions have reached. One whose next records are known has reached these: it
had nothing until then. One that is read to its end keeps nobody waiting: it has reached the journal's clock,
less an allowance for what is on its way. So the windows of a topic that is idle end too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero_service.streams.record_times import RecordTimes, WrongTime

ALLOWANCE_MS: Final = 60_000
"""So long after it was stamped a record may come at the end of its partition: producers gather records, and
transactions take their time."""

Place = tuple[str, int]
"""A topic's name or id, and the number of a partition."""


class Watermark:
    """How far event time has come in all partitions together.

    Parameters
    ----------
    reached_ms
        Where it was, as the journal has it; None where it was nowhere.
    wrong
        Counts the records whose times are not believed.
    """

    def __init__(self, reached_ms: int | None = None, wrong: Counter[WrongTime] | None = None) -> None:
        self._wrong = wrong
        self.ms = reached_ms
        """In milliseconds since 1970; None where it is not known yet."""
        self._partitions: dict[Place, RecordTimes] = {}
        self._ahead: dict[Place, int] = {}

    def of(self, place: Place) -> RecordTimes:
        """Return the times of a partition; one that was not known has reached nothing yet."""
        return self._partitions.setdefault(place, RecordTimes(wrong=self._wrong))

    def look(self, at_end: Mapping[Place, bool], now_ms: int) -> None:
        """Take note which partitions are read to their ends; these are all that there are.

        Parameters
        ----------
        at_end
            Of each partition whether it is.
        now_ms
            The journal's clock.
        """
        for gone in self._partitions.keys() - at_end.keys():
            del self._partitions[gone]
            self._ahead.pop(gone, None)
        for place, ended in at_end.items():
            times = self.of(place)
            times.at_end = ended
            if ended:
                times.passed(now_ms - ALLOWANCE_MS)

    def expect(
        self, coming: Mapping[Place, NDArray[np.int64]], now_ms: int, limits: Mapping[str, int]
    ) -> None:
        """Take note which records come next, in the place of what was noted before.

        Parameters
        ----------
        coming
            Of each partition, int64[n]: the times of the first records that are known and were not read.
        now_ms
            The journal's clock.
        limits
            By topic, how far another one has come.
        """
        self._ahead = {}
        for place, times in coming.items():
            if place in self._partitions:  # which there are, :meth:`look` is told
                ahead = self._partitions[place].ahead(times, now_ms, limits.get(place[0]))
                if ahead is not None:
                    self._ahead[place] = ahead

    def advance(self) -> int | None:
        """Go as far as the partitions have come, and never back; return how far that is."""
        known = [
            max(self._ahead.get(place, 0), times.reached_ms or 0)
            for place, times in self._partitions.items()
            if place in self._ahead or times.reached_ms is not None
        ]
        if known and len(known) == len(self._partitions):
            self.ms = max(min(known), self.ms or 0)
        return self.ms

    def is_at_end(self, topic: str) -> bool:
        """Whether all partitions of a topic are read to their ends."""
        ended = [times.at_end for (name, _), times in self._partitions.items() if name == topic]
        return bool(ended) and all(ended)

    def unread(self, topic: str) -> Mapping[int, int | None]:
        """Return how far each partition of a topic has come that is not read to its end.

        None where it has reached nothing yet.
        """
        return {
            number: times.reached_ms
            for (name, number), times in self._partitions.items()
            if name == topic and not times.at_end
        }

    def slowest(self, topic: str, heads: Mapping[int, int]) -> int | None:
        """Return how far the slowest partition of a topic has come; None where that is not known.

        Parameters
        ----------
        topic
            Which topic.
        heads
            By partition, the time of the record that comes next, where one waits: so far it has come.
        """
        reached = [
            heads.get(number, times.reached_ms)
            for (name, number), times in self._partitions.items()
            if name == topic
        ]
        known = [one for one in reached if one is not None]
        return min(known) if known and len(known) == len(reached) else None
