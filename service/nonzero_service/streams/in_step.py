"""Topics of impressions and of their clicks, read in step: neither gets far ahead of the other by event time.

A click that is read long before its impression waits in memory and in the journal, and of those that wait
there are only so many. An impression that is read long before its click takes memory too, and is learned from
late. So of the topic that is ahead what was read is kept back, and its reader, whose room is bounded, waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import numpy as np

from nonzero_service.kafka.records import Chunk, Lag
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.flow import ReadsTopics
from nonzero_service.streams.pieces import parted
from nonzero_service.streams.record_times import SLACK_MS

MOST_BYTES: Final = 16 << 20
"""So much of a topic is kept back at most. Its partitions may be far apart: the others are to come too."""

LOOK_SECONDS: Final = 0.2
"""So often it is looked how far the topics are."""

UP_SECONDS: Final = 10.0
"""So long after the brokers were away it is not known yet where the topics end."""


class _Topic:
    """What was read of a topic and is not given yet."""

    def __init__(self, name: str, reader: ReadsTopics) -> None:
        self.name = name
        self.reader = reader
        self.chunks: list[Chunk] = []
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
            self.chunks += reading.result()
            self._measure()

    def until(self, limit_ms: int, latest_ms: int) -> list[Chunk]:
        """Take out what was recorded until a time, in the order of each partition.

        What is recorded after `latest_ms` cannot be right, and is passed over.
        """
        given: list[Chunk] = []
        kept: list[Chunk] = []
        shut: set[int] = set()
        for chunk in self.chunks:
            before: Chunk | None = chunk
            after: Chunk | None = None
            if chunk.partition in shut:
                before, after = None, chunk
            else:
                before, after = _cut(chunk, limit_ms, latest_ms)
            if before is not None:
                given.append(before)
            if after is not None:
                kept.append(after)
                shut.add(chunk.partition)
        self.chunks = kept
        self._measure()
        return given

    def heads(self, latest_ms: int) -> Mapping[int, int]:
        """Return the least time of the first records that wait, by partition."""
        heads: dict[int, int] = {}
        for chunk in self.chunks:
            times = chunk.times[(chunk.times >= 0) & (chunk.times <= latest_ms)]
            if times.size:
                heads.setdefault(chunk.partition, int(times.min()))
        return heads

    def _measure(self) -> None:
        self._size = sum(len(value or b"") + 100 for chunk in self.chunks for value in chunk.values)

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
        if impressions.chunks:
            given += self._until(impressions, clicks, self._wait_ms)
        if clicks.chunks:
            given += self._until(clicks, impressions, self._wait_ms // 2)
        if not given and impressions.chunks and (impressions.is_full or clicks.is_full):
            # Partitions of one topic are far apart: an impression that comes early costs less than a click.
            given += self._first_of(impressions, self._wait_ms)
        return given

    def _until(self, topic: _Topic, other: _Topic, ahead_ms: int) -> list[Chunk]:
        """Take out of a topic what is so far ahead of another one at most."""
        watermark = self._event_time.watermark
        if watermark.is_at_end(other.name):
            return self._first_of(topic, ahead_ms)
        reached = watermark.slowest(other.name, other.heads(self._latest_ms))
        if reached is None:
            return []
        self._event_time.limits[topic.name] = reached + ahead_ms
        return topic.until(reached + ahead_ms, self._latest_ms)

    def _first_of(self, topic: _Topic, span_ms: int) -> list[Chunk]:
        """Take out of a topic what was recorded first, for so long: its windows end on the way."""
        self._event_time.limits.pop(topic.name, None)
        first = min(topic.heads(self._latest_ms).values(), default=0)
        return topic.until(first + span_ms, self._latest_ms)

    @property
    def _latest_ms(self) -> int:
        return self._event_time.now_ms + SLACK_MS


def _cut(chunk: Chunk, limit_ms: int, latest_ms: int) -> tuple[Chunk | None, Chunk | None]:
    """Cut a chunk behind its last record of a time; one that is not to be believed is of any time."""
    if not chunk.values:
        return chunk, None
    within = np.flatnonzero((chunk.times <= limit_ms) | (chunk.times > latest_ms))
    place = int(within[-1]) + 1 if within.size else 0
    if place == len(chunk.values):
        return chunk, None
    return (None, chunk) if not place else parted(chunk, place)
