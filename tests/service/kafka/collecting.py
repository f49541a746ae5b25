"""Readers of topics, and what tests take from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kafka import Broker
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.topic_reader import Chunk, TopicReader
from waiting import SECONDS

__all__ = ["Collected", "reader_of", "records_of"]

Record = tuple[int, int, bytes | None]
"""Partition, offset, value."""


class Collected:
    """What was taken of a reader: its chunks, each of which begins where the one before it ended.

    Parameters
    ----------
    reader
        The reader.
    """

    def __init__(self, reader: TopicReader) -> None:
        self.reader = reader
        self.chunks: list[Chunk] = []
        self.positions: dict[tuple[str, int], tuple[int, int]] = {}

    async def take(self) -> list[Chunk]:
        """Take what comes next."""
        chunks = await asyncio.wait_for(self.reader.next(), SECONDS)
        for chunk in chunks:
            key = (chunk.topic_id, chunk.partition)
            if key in self.positions:
                before = self.positions[key][0]
                assert before == (chunk.first if chunk.lost is None else chunk.lost.first)
            offsets = chunk.offsets.tolist()
            assert len(offsets) == len(chunk.values) == len(chunk.times)
            assert offsets == sorted(set(offsets))
            assert all(chunk.first <= offset < chunk.next for offset in offsets)
            self.positions[key] = (chunk.next, chunk.epoch)
        self.chunks += chunks
        return chunks

    async def until(self, condition: Callable[[Collected], object]) -> None:
        """Take until something is so."""
        while not condition(self):
            await self.take()

    async def records(self, number: int) -> list[Record]:
        """Take until there are so many records; return them by partition, in their order."""
        await self.until(lambda found: len(records_of(found.chunks)) >= number)
        return sorted(records_of(self.chunks), key=lambda record: record[0])

    async def position(self, next: int, partition: int = 0) -> None:
        """Take until a position is reached."""
        await self.until(
            lambda found: any(
                number == partition and offset >= next for (_, number), (offset, _) in found.positions.items()
            )
        )


def records_of(chunks: Sequence[Chunk]) -> list[Record]:
    """Return the records of some chunks."""
    return [
        (chunk.partition, offset, value)
        for chunk in chunks
        for offset, value in zip(chunk.offsets.tolist(), chunk.values, strict=True)
    ]


@asynccontextmanager
async def reader_of(
    broker: Broker, *topics: str, after: Collected | None = None, **options: Any
) -> AsyncIterator[Collected]:
    """Read topics; where `after` another, as whoever remembers what that read."""
    positions = dict(options.pop("positions", {}))
    known = dict(options.pop("known", {}))
    if after is not None:
        positions |= after.positions
        known |= {chunk.topic: chunk.topic_id for chunk in after.chunks}
    config = options.pop("config", None) or KafkaConfig([broker.address])
    reader = TopicReader(config, topics, positions, known=known, **options)
    try:
        yield Collected(reader)
    finally:
        await asyncio.wait_for(reader.close(), SECONDS)
