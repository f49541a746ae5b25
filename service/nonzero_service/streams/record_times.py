"""The times of the records of one partition, as far as they can be right.

Whoever produces a record stamps it, or the broker does. So times go back a little where producers differ, and
one may have a clock that is wrong, or none. A record far ahead of the others must not end all windows:

- A time that is still to come is none, and -1 is none. Such a record has the time that its partition has
  reached.
- A time far ahead of what the partition has reached is believed where other topics have come that far, or the
  records behind it agree. So a night without traffic is a night, and one wrong clock among others is passed
  over.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

SLACK_MS: Final = 60_000
"""So far ahead of the journal's clock another machine's may be."""

LEAP_MS: Final = 3_600_000
"""So far ahead a record is believed by itself."""

AGREE: Final = 16
"""So many records in a row say that time has leapt."""

WrongTime = Literal["untimed", "future", "leapt"]
"""What is wrong with a time: there is none, it is still to come, or the records behind it do not agree."""

WRONG_TIMES: Final = get_args(WrongTime)


class RecordTimes:
    """How far event time has come in one partition.

    Parameters
    ----------
    reached_ms
        The newest time of its records that is believed, in milliseconds since 1970; None where none is known.
    wrong
        Counts the records whose times are not believed; None: a count of its own does.
    """

    def __init__(self, reached_ms: int | None = None, wrong: Counter[WrongTime] | None = None) -> None:
        self.reached_ms = reached_ms
        self.at_end = False
        """Whether it is read to its end: nothing more has been recorded."""
        self._ahead = np.empty(0, np.int64)  # of the last ones, those that leap, and are not judged yet
        self.wrong: Counter[WrongTime] = Counter() if wrong is None else wrong
        """The records whose times were not believed, by what was wrong."""

    def read(self, times: NDArray[np.int64], now_ms: int, others_ms: int | None = None) -> NDArray[np.int64]:
        """Take note of the next records.

        Parameters
        ----------
        times
            int64[n]: theirs, in milliseconds since 1970; -1 for none.
        now_ms
            The journal's clock.
        others_ms
            How far other topics have come, where that is known: no time before it is a leap.

        Returns
        -------
        int64[n]
            The times that are believed; none is after the journal's clock.
        """
        untimed, future = times < 0, times > now_ms + SLACK_MS
        lacks = untimed | future
        believed = np.minimum(times, now_ms)
        if lacks.any():
            self.wrong.update({"untimed": int(untimed.sum()), "future": int(future.sum())})
            if lacks.all():
                return np.full(times.size, now_ms if self.reached_ms is None else self.reached_ms, np.int64)
            believed[~lacks] = self._believed(believed[~lacks], others_ms)
            # Those without one have that of the newest before them; before the first, of the first.
            before = np.maximum.accumulate(np.where(lacks, -1, believed))
            first = believed[~lacks][0]
            believed[lacks] = np.where(before < 0, first, before)[lacks]
            return believed
        return self._believed(believed, others_ms) if times.size else believed

    def ahead(self, coming: NDArray[np.int64], now_ms: int, others_ms: int | None = None) -> int | None:
        """Return how far it has come, given the records that come next: none of these is older than that.

        So a gap is passed before what is behind it is read. A leap is believed where :meth:`read` would.

        Parameters
        ----------
        coming
            int64[n]: the times of the first of them.
        now_ms, others_ms
            As of :meth:`read`.
        """
        coming = coming[(coming >= 0) & (coming <= now_ms + SLACK_MS)]
        if not coming.size:
            return self.reached_ms
        first = np.concatenate([self._ahead, np.minimum(coming, now_ms)])[:AGREE]
        before = int(first.min()) - 1  # another of the same time may come before it
        if self.reached_ms is None:
            return before
        leaps = before >= max(self.reached_ms + LEAP_MS, others_ms or 0)
        return self.reached_ms if leaps and first.size < AGREE else max(self.reached_ms, before)

    def passed(self, until_ms: int) -> None:
        """Take note that there was nothing until a time: it is read to its end."""
        self.reached_ms = until_ms if self.reached_ms is None else max(self.reached_ms, until_ms)
        self._ahead = self._ahead[:0]

    def _believed(self, times: NDArray[np.int64], others_ms: int | None) -> NDArray[np.int64]:
        """Return times of which none leaps ahead by itself, and take note how far they come."""
        before = self._ahead.size
        times = np.concatenate([self._ahead, times])
        self._ahead = times[:0]
        reached = self.reached_ms
        if reached is None:
            reached = int(times[:AGREE].min())
        start = 0
        while True:
            newest = np.maximum.accumulate(np.concatenate([np.array([reached], np.int64), times[start:]]))
            leaps = np.flatnonzero(times[start:] > np.maximum(newest[:-1] + LEAP_MS, others_ms or 0))
            if not leaps.size:
                self.reached_ms = int(newest[-1])
                return times[before:]
            place = start + int(leaps[0])
            reached = int(newest[leaps[0]])
            following = times[place : place + AGREE]
            if (following > max(reached + LEAP_MS, others_ms or 0)).all():
                if following.size < AGREE:  # the next ones will tell; until then they go by their own
                    self.reached_ms, self._ahead = reached, following.copy()
                    return times[before:]
                reached, start = int(following.min()), place
            else:
                self.wrong["leapt"] += 1
                times[place], start = reached, place + 1
