"""The event time of one source: what its topics have reached, told with each piece for the learner."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.errors import ClosedError, NotWritingError, QueueFullError
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.incidental import incidentally
from nonzero_service.kafka.lag import Lag
from nonzero_service.kafka.records import Chunk
from nonzero_service.streams.pieces import Lines
from nonzero_service.streams.record_times import WRONG_TIMES, WrongTime
from nonzero_service.streams.watermark import Watermark
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.preparing import AT_ONCE
from nonzero_service.writer.work import Applied, retrieved

BEAT_MS: Final = 10_000
"""By so much event time goes on at once where nothing is read: each time is a row of the journal."""

SAY_SECONDS: Final = 3600.0
"""How often it is said that times are not believed."""

STEPS: Final = 64
"""So often in a window it is looked for windows that end while a backlog is read."""


class EventTime:
    """What the topics of one source have reached. Used on the event loop.

    Parameters
    ----------
    learner
        The model's.
    impressions
        Those of the model.
    """

    def __init__(self, learner: ModelLearner, impressions: ImpressionStore) -> None:
        self._learner = learner
        self._impressions = impressions
        self.wrong: Counter[WrongTime] = Counter()
        """The records whose times were not believed, by what was wrong with them, in this process."""
        self._said_at = -SAY_SECONDS
        self._said = 0
        self._log = structlog.get_logger("source")
        self.begin()

    def begin(self) -> None:
        """Begin from what the journal says: so it is after each failure."""
        self.watermark = Watermark(self._impressions.watermark_ms or None, self.wrong)
        self.limits: dict[str, int] = {}
        """By topic, how far another one has come, so that this may be read until then."""
        self._next: dict[tuple[str, int], int] = {}
        self._in_flight: set[asyncio.Future[Applied]] = set()
        self._failed = False
        self._told_ms = self.watermark.ms or 0
        # What has ended before a start no row says where they were learned from at once: it ends again before
        # anything is read, and not when event time passes, which a partition may keep from it.
        self._ended_ms = 0
        self._entered = self._impressions.pending + AT_ONCE * len(self._impressions.segments)  # a turn each

    @property
    def now_ms(self) -> int:
        """The journal's clock."""
        return self._learner.journal.clock.now_ms()

    def times_of(self, chunk: Chunk) -> NDArray[np.int64]:
        """Take note of the records of a chunk, which the learner is given next; return their times.

        Of those that have a value: in milliseconds since 1970, as far as they can be right.
        """
        place = chunk.topic, chunk.partition
        self._next[place] = chunk.next
        others_ms = self.limits.get(chunk.topic)
        times = self.watermark.of(place).read(chunk.times, self.now_ms, others_ms)
        return times if chunk.values.gone is None else times[~chunk.values.gone]

    def times_of_lines(
        self, piece: Sequence[Lines], sizes: Sequence[Sequence[int]], lines: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Take note of the records of a piece, which the learner is given next; return the times of lines.

        Parameters
        ----------
        piece
            Its chunks.
        sizes
            Of each chunk, how many lines each of its messages has.
        lines
            int64[n]: counted from 1 over all chunks.
        """
        return times_by_line([self.times_of(one.chunk) for one in piece], sizes, lines)

    def give(
        self, give: Callable[[Origin], asyncio.Future[Applied]], origin: Origin, impressions: int = 0
    ) -> asyncio.Future[Applied]:
        """Give the learner a piece with what is reached by it, and have windows end that are due then.

        Parameters
        ----------
        give
            Gives it.
        origin
            Where it came from.
        impressions
            How many it has.
        """
        if not self._ended_ms and self.watermark.ms:
            self._end_windows(self.watermark.ms)
        reached = self.watermark.advance()
        future = give(origin._replace(watermark_ms=reached))
        self._in_flight.add(future)
        future.add_done_callback(self._given_back)
        self._entered += impressions
        if reached is not None:
            self._told_ms = reached
            self._end_windows(reached)
        return future

    def moved(self, chunk: Chunk) -> None:
        """Take note that a position has moved without records."""
        self._next[chunk.topic, chunk.partition] = chunk.next

    def look(self, lags: Mapping[tuple[str, int], Lag]) -> None:
        """Take note which partitions are read to their ends, when the learner has all that was read."""
        at_end = {place: lag.is_read_to(self._next.get(place, lag.begun)) for place, lag in lags.items()}
        self.watermark.look(at_end, self.now_ms)
        self._say_wrong()

    def expect(self, coming: Mapping[tuple[str, int], NDArray[np.int64]]) -> None:
        """Take note of the records that come next, when the learner has all that was handed on.

        Parameters
        ----------
        coming
            Of each partition, int64[n]: the times of the first of them.
        """
        self.watermark.expect(coming, self.now_ms, self.limits)

    def told(self) -> dict[str, Any]:
        """Return what is told of it to who asks."""
        store = self._impressions
        reached = store.watermark_ms or None
        return {
            "reached": reached,
            "behind_seconds": None if reached is None else max(self.now_ms - reached, 0) / 1000,
            "waiting_labels": len(store.waiting_labels),
            "joined_after_waiting": store.counts["joined_after_waiting"],
            "waited_in_vain": store.counts["waited_in_vain"],
            "wrong_times": {reason: self.wrong[reason] for reason in WRONG_TIMES},
        }

    def _say_wrong(self) -> None:
        """Say it where times of records are not believed, once an hour."""
        total = self.wrong.total()
        if total == self._said or time.monotonic() - self._said_at < SAY_SECONDS:
            return
        self._said, self._said_at = total, time.monotonic()
        incidentally(
            self._log.warning,
            "times of records are not believed",
            model=self._learner.journal.directory.name,
            **{reason: self.wrong[reason] for reason in WRONG_TIMES},
            way_out="set the clocks right of those who produce them; or this machine's, for what is future",
        )

    def beat(self) -> None:
        """Have the journal say what is reached, where nothing has come for a while that says it."""
        if self._in_flight or self._failed:
            return
        reached = self.watermark.advance()
        if reached is None or reached - self._told_ms < BEAT_MS or not self._is_awaited:
            return
        try:
            done = self._learner.submit(Batch.empty(), origin=Origin((), reached))
        except (ClosedError, NotWritingError, QueueFullError):
            return
        self._told_ms = reached
        self._in_flight.add(done)
        done.add_done_callback(self._told)

    @property
    def _is_awaited(self) -> bool:
        """Whether anything waits for time to pass."""
        return bool(self._impressions.segments) or bool(len(self._impressions.waiting_labels))

    def _end_windows(self, reached: int) -> None:
        """Have windows end behind what was given, so that what comes then finds them ended."""
        if reached - self._ended_ms < self._impressions.rules.attribution_ms // STEPS:
            return
        self._ended_ms, turns = reached, 1 + self._entered // AT_ONCE
        if self._impressions.rules.negatives == "at_once":
            turns *= 2  # in one those have their turn that have waited for a click; in the next windows end
        self._entered %= AT_ONCE
        for _ in range(turns):
            try:
                self._learner.end_windows().add_done_callback(retrieved)
            except (ClosedError, NotWritingError):
                return

    def _told(self, future: asyncio.Future[Applied]) -> None:
        """Take note that the journal says what is reached; where it does not, a later one will."""
        self._in_flight.discard(future)
        retrieved(future)

    def _given_back(self, future: asyncio.Future[Applied]) -> None:
        self._in_flight.discard(future)
        self._failed |= future.cancelled() or retrieved(future) is not None


def times_by_line(
    times: Sequence[NDArray[np.int64]], sizes: Sequence[Sequence[int]], lines: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return int64[n]: the time of the message that each line is of.

    Parameters
    ----------
    times
        Of each chunk, those of its messages.
    sizes
        Of each chunk, how many lines each of its messages has.
    lines
        int64[n]: counted from 1 over all chunks.
    """
    if not lines.size:
        return lines
    ends = np.cumsum(np.concatenate([np.asarray(of_chunk, np.int64) for of_chunk in sizes]))
    by_line: NDArray[np.int64] = np.concatenate(times)[np.searchsorted(ends, lines)]
    return by_line
