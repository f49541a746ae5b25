"""TopicReader: topics of Kafka as chunks of records, in the order of each partition, each record once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.backlog import Backlog
from nonzero_service.kafka.lag import SILENT_SECONDS, Lag
from nonzero_service.kafka.plan import PartitionReading, Plan
from nonzero_service.kafka.polling import Poller
from nonzero_service.kafka.records import Chunk as Chunk
from nonzero_service.kafka.records import Lost as Lost

if TYPE_CHECKING:
    from nonzero_service.kafka.config import KafkaConfig

MOST_BYTES: Final = 16 << 20
"""So much may wait to be taken. The client holds some more of what it has fetched."""


class TopicReader:
    """Reads topics from some positions on. Used on an event loop; a thread of its own polls the client.

    It goes by assigned partitions, and commits no offsets: who takes the chunks remembers where they end.
    While no broker answers it waits, and says so once.

    Parameters
    ----------
    config
        Where the brokers are.
    topics
        The names of the topics, none twice.
    positions
        By topic id and partition, the offset to go on at, and the leader's epoch there, -1 where it is not
        known.
    known
        By a topic's name, the id that it was last read by.
    start
        Where a partition is begun of which nothing is known: at the first record that is there, or behind
        the last.
    lost
        Whether records that are gone before they were read are an error, or passed over and told of.
    topic_ids
        The ids that may be read though the topic was known by another.
    times
        Whether the times of records are wanted.
    most_bytes
        So much may wait to be taken.

    Raises
    ------
    SourceConfigError
        Where the client is not installed, or does not take its properties.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topics: Sequence[str],
        positions: Mapping[tuple[str, int], tuple[int, int]],
        *,
        known: Mapping[str, str],
        start: Literal["earliest", "latest"] = "earliest",
        lost: Literal["refuse", "skip"] = "refuse",
        topic_ids: Collection[str] = (),
        times: bool = True,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        plan = Plan(
            tuple(topics), positions, known, frozenset(topic_ids), start == "earliest", lost == "skip"
        )
        self._backlog = Backlog(most_bytes)
        self._poller = Poller(config, plan, self._backlog, times=times)
        self._thread = threading.Thread(target=self._poller.run, name="kafka-reader", daemon=True)
        self._thread.start()

    async def next(self) -> list[Chunk]:
        """Return what was read, at least one chunk; wait for it. One caller at a time.

        Raises
        ------
        TopicMissingError, TopicRemadeError, OffsetLostError, LogTruncatedError, RecordsDamagedError
            Where the records are not there that are wanted.
        SourceRefusedError
            Where the brokers do not let us in.
        ClosedError
            When it is closed.
        """
        return await self._backlog.take()

    def pause(self) -> None:
        """Read no more but what the client has fetched already; what was read can still be taken."""
        self._backlog.hold(paused=True)

    def resume(self) -> None:
        """Read again."""
        self._backlog.hold(paused=False)

    @property
    def answered(self) -> Answered | None:
        """When brokers have answered; None: they have not yet."""
        watch = self._poller.watch
        if not watch.answered_at:
            return None
        ahead = time.time() - time.monotonic()
        return Answered(watch.answered_at + ahead, watch.answering_since + ahead)

    @property
    def is_up(self) -> bool:
        """Whether brokers answer, and partitions are read."""
        answered = time.monotonic() < self._poller.watch.answered_at + SILENT_SECONDS
        return answered and bool(self._poller.readings) and self._thread.is_alive()

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        """Return how far each partition is behind, by topic and partition, as it was seconds ago."""
        return {key: _lag_of(reading) for key, reading in self._poller.readings.items()}

    async def close(self) -> None:
        """Read no more; return when the thread has ended. May be called again."""
        self._backlog.close()
        await asyncio.to_thread(self._thread.join)


def _lag_of(reading: PartitionReading) -> Lag:
    """Return how far a partition is behind, which may have been read further than the brokers have told."""
    high, stable = reading.high_watermark, reading.last_stable
    if high is not None and stable is not None:
        stable = max(stable, reading.next)
        high = max(high, stable)
    return Lag(reading.next, reading.start, high, stable, reading.told_at, reading.newest_ms)
