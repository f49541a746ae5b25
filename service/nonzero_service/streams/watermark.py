"""The watermark: the event time until which all records of some topics have been read.

It is the least of what the partitions have reached. One that is read to its end keeps nobody waiting: it has
reached the journal's clock, less an allowance for what is on its way. So the windows of a topic that is idle
end too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

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
        for place, ended in at_end.items():
            times = self.of(place)
            times.at_end = ended
            if ended:
                times.passed(now_ms - ALLOWANCE_MS)

    def advance(self) -> int | None:
        """Go as far as the partitions have come, and never back; return how far that is."""
        reached = [times.reached_ms for times in self._partitions.values()]
        known = [one for one in reached if one is not None]
        if known and len(known) == len(reached):
            self.ms = max(min(known), self.ms or 0)
        return self.ms

    def is_at_end(self, topic: str) -> bool:
        """Whether all partitions of a topic are read to their ends."""
        ended = [times.at_end for (name, _), times in self._partitions.items() if name == topic]
        return bool(ended) and all(ended)

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
