"""Topics of impressions and of their clicks, read in step: neither gets far ahead of the other by event time.

A click that is read long before its impression waits in memory and in the journal, and of those that wait
there are only so many. An impression that is read long before its click takes memory too, and is learned from
late. So of the topic that is ahead what was read is kept back, and its reader, whose room is bounded, waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.lag import Lag
from nonzero_service.kafka.records import Chunk
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.flow import ReadsTopics
from nonzero_service.streams.pieces import parted
from nonzero_service.streams.record_times import AGREE, SLACK_MS
from nonzero_service.streams.watermark import Place

MOST_BYTES: Final = 16 << 20
"""So much of a topic is kept back at most. Its partitions may be far apart: the others are to come too."""

LOOK_SECONDS: Final = 0.2
"""So often it is looked how far the topics are."""

LAST_MS: Final = 1 << 62
"""No time is later."""

UP_SECONDS: Final = 10.0
"""So long after the brokers were away it is not known yet where the topics end."""


RECORD_BYTES: Final = 100
"""What a record takes beside what it holds."""


class _KeptChunk(NamedTuple):
    """A chunk that is kept back, and what is asked of it each time: to look at its records costs more."""

    chunk: Chunk
    size: int
    least_ms: int
    """The least time of its records, -1 where one has none."""
    most_ms: int
    """The greatest of them."""

    @classmethod
    def of(cls, chunk: Chunk) -> _KeptChunk:
        """Look at a chunk."""
        size = chunk.values.nbytes + RECORD_BYTES * len(chunk.values)
        if not chunk.times.size:
            return cls(chunk, size, -1, -1)
        return cls(chunk, size, int(chunk.times.min()), int(chunk.times.max()))

    def head(self, latest_ms: int) -> int | None:
        """Return the least time of its records that can be right; None where none can."""
        if 0 <= self.least_ms <= latest_ms:
            return self.least_ms
        times = self.chunk.times[(self.chunk.times >= 0) & (self.chunk.times <= latest_ms)]
        return int(times.min()) if times.size else None

    def cut(self, limit_ms: int, latest_ms: int) -> tuple[Chunk | None, _KeptChunk | None]:
        """Cut it behind its last record of a time; one that is not to be believed is of any time."""
        chunk = self.chunk
        if not chunk.values or self.most_ms <= limit_ms:
            return chunk, None
        if limit_ms < self.least_ms and self.most_ms <= latest_ms:
            return None, self
        within = np.flatnonzero((chunk.times <= limit_ms) | (chunk.times > latest_ms))
        place = int(within[-1]) + 1 if within.size else 0
        if place == len(chunk.values):
            return chunk, None
        if not place:
            return None, self
        before, after = parted(chunk, place)
        return before, _KeptChunk.of(after)


class _Topic:
    """What was read of a topic and is not given yet."""

    def __init__(self, name: str, reader: ReadsTopics) -> None:
        self.name = name
        self.reader = reader
        self.kept: list[_KeptChunk] = []
        self._reading: asyncio.Task[list[Chunk]] | None = None
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more is read."""
        return self._size >= MOST_BYTES

    def read_on(self) -> asyncio.Task[list[Chunk]] | None:
        """Return what reads on, where there is room."""
        if self.is_full:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.reader.next())
        return self._reading

    def take_in(self) -> None:
        """Take what was read."""
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            came = [_KeptChunk.of(chunk) for chunk in reading.result()]
            self.kept += came
            self._size += sum(one.size for one in came)

    def until(self, limit_ms: int, latest_ms: int) -> list[Chunk]:
        """Take out what was recorded until a time, in the order of each partition.

        What is recorded after `latest_ms` cannot be right, and is passed over.
        """
        given: list[Chunk] = []
        kept: list[_KeptChunk] = []
        shut: set[int] = set()
        for one in self.kept:
            partition = one.chunk.partition
            before, after = (None, one) if partition in shut else one.cut(limit_ms, latest_ms)
            if before is not None:
                given.append(before)
            if after is not None:
                kept.append(after)
                shut.add(partition)
        self.kept = kept
        self._size = sum(one.size for one in kept)
        return given

    def heads(self, latest_ms: int) -> Mapping[int, int]:
        """Return the least time of the first records that wait, by partition."""
        heads: dict[int, int] = {}
        for one in self.kept:
            if one.chunk.partition not in heads and (head := one.head(latest_ms)) is not None:
                heads[one.chunk.partition] = head
        return heads

    def coming(self) -> Iterator[tuple[Place, NDArray[np.int64]]]:
        """Yield the partitions of which records wait, with the times of the first of these."""
        first: dict[int, NDArray[np.int64]] = {}
        for one in self.kept:
            times = first.get(one.chunk.partition, one.chunk.times[:0])
            if times.size < AGREE:
                first[one.chunk.partition] = np.concatenate([times, one.chunk.times[: AGREE - times.size]])
        for number, times in first.items():
            yield (self.name, number), times

    @property
    def partitions(self) -> set[int]:
        """The partitions of which records wait."""
        return {one.chunk.partition for one in self.kept if one.chunk.values}

    async def close(self) -> None:
        """End what reads."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.reader.close()


class TopicsInStep:
    """Reads a topic of impressions and one of clicks, or one of clicks alone. Used on the event loop.

    Parameters
    ----------
    readers
        By topic, what reads it: that of the impressions first, where there is one.
    event_time
        What they have reached.
    wait_ms
        How long a click may wait for its impression, by event time.
    """

    def __init__(self, readers: Mapping[str, ReadsTopics], event_time: EventTime, wait_ms: int) -> None:
        self._topics = [_Topic(name, reader) for name, reader in readers.items()]
        self._event_time = event_time
        self._wait_ms = wait_ms
        self._moved: list[Chunk] = []
        self._away_at = -UP_SECONDS
        self._was_up = False

    async def next(self) -> list[Chunk]:
        """Return what comes next, at least one chunk; wait for it. What came before is with the learner."""
        for chunk in self._moved:
            self._event_time.moved(chunk)
        self._moved = []
        while True:
            self._look()
            for topic in self._topics:
                topic.take_in()
            self._event_time.expect(
                {place: times for topic in self._topics for place, times in topic.coming()}
            )
            given = self._given()
            if given:
                self._moved = [chunk for chunk in given if not chunk.values]
                return given
            self._event_time.beat()
            reading = [task for task in (topic.read_on() for topic in self._topics) if task is not None]
            if reading:
                await asyncio.wait(reading, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    def pause(self) -> None:
        """Fetch nothing more."""
        for topic in self._topics:
            topic.reader.pause()

    def resume(self) -> None:
        """Fetch again."""
        for topic in self._topics:
            topic.reader.resume()

    @property
    def answered(self) -> Answered | None:
        """When brokers have answered of each topic; None: they have not yet."""
        return Answered.by_all(topic.reader.answered for topic in self._topics)

    @property
    def is_up(self) -> bool:
        """Whether brokers answer."""
        return all(topic.reader.is_up for topic in self._topics)

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        """Return how far each partition is behind."""
        return {place: lag for topic in self._topics for place, lag in topic.reader.lags().items()}

    async def close(self) -> None:
        """End all that reads."""
        await asyncio.gather(*(topic.close() for topic in self._topics))

    def _look(self) -> None:
        """See which partitions are read to their ends, where the brokers have told for long enough."""
        if not self.is_up:
            if self._was_up:
                self._away_at = time.monotonic()
            return
        self._was_up = True
        if time.monotonic() >= self._away_at + UP_SECONDS:
            self._event_time.look(self.lags())

    def _given(self) -> list[Chunk]:
        """Take out what may be learned from now."""
        if len(self._topics) == 1:
            return self._first_of(self._topics[0], self._wait_ms // 2)
        impressions, clicks = self._topics
        given: list[Chunk] = []
        if impressions.kept:
            # Not far ahead of the slowest partition of their own either: times never go back where they are
            # kept, so those that come behind would be later than they were.
            given += self._until(impressions, clicks, self._wait_ms, self._slowest(impressions))
        if clicks.kept:
            given += self._until(clicks, impressions, self._wait_ms // 2)
        if not given and impressions.kept and (impressions.is_full or clicks.is_full):
            # Partitions of one topic are far apart: an impression that comes early costs less than a click.
            given += self._first_of(impressions, self._wait_ms)
        return given

    def _until(
        self, topic: _Topic, other: _Topic, ahead_ms: int, own_ms: int | None = LAST_MS
    ) -> list[Chunk]:
        """Take out of a topic what is so far ahead of another, and of its own slowest partition, at most."""
        watermark = self._event_time.watermark
        if own_ms is None:
            return []
        if watermark.is_at_end(other.name):
            return self._first_of(topic, ahead_ms, own_ms)
        reached = watermark.slowest(other.name, other.heads(self._latest_ms))
        if reached is None:
            return []
        self._event_time.limits[topic.name] = reached + ahead_ms
        return topic.until(min(reached, own_ms) + ahead_ms, self._latest_ms)

    def _slowest(self, topic: _Topic) -> int | None:
        """Return how far the slowest partition of a topic has come of which more is to come.

        None where one has yet to come at all. One whose records have no times keeps nobody waiting.
        """
        come: dict[int, int | None] = dict(self._event_time.watermark.unread(topic.name))
        come |= dict.fromkeys(topic.partitions, LAST_MS)
        come |= topic.heads(self._latest_ms)
        known = [one for one in come.values() if one is not None]
        return min(known, default=LAST_MS) if len(known) == len(come) else None

    def _first_of(self, topic: _Topic, span_ms: int, own_ms: int = LAST_MS) -> list[Chunk]:
        """Take out of a topic what was recorded first, for so long: its windows end on the way."""
        self._event_time.limits.pop(topic.name, None)
        first = min([own_ms, *topic.heads(self._latest_ms).values()])
        return topic.until(first + span_ms, self._latest_ms)

    @property
    def _latest_ms(self) -> int:
        return self._event_time.now_ms + SLACK_MS
