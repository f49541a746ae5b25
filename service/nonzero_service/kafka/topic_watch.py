"""TopicWatch: what brokers say of topics while they are read: their ids, new partitions, where they end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from nonzero_service.kafka.client_log import ClientLog
from nonzero_service.kafka.errors import TopicMissingError, TopicRemadeError
from nonzero_service.kafka.lag import SILENT_SECONDS
from nonzero_service.kafka.plan import PartitionReading
from nonzero_service.kafka.topics import (
    Partition,
    TopicDescription,
    TopicQueries,
    description_of,
    text_of,
    unanswered,
)

WATCH_SECONDS: Final = 2.0
"""So often topics are looked at: their ids, their partitions, their ends."""

MISSES: Final = 3
"""A topic is gone that was not found so often: a broker that has just begun may not know it yet."""


class TopicWatch:
    """Looks at topics now and then, without waiting for an answer.

    Parameters
    ----------
    queries
        Asks the brokers.
    ids
        By a topic's name, the id by which it is read; filled when that is known.
    log
        Is told when brokers do not answer, and when they do.
    brokers
        Who they are.
    """

    def __init__(self, queries: TopicQueries, ids: Mapping[str, str], log: ClientLog, brokers: str) -> None:
        self.answered_at = 0.0
        """When brokers have answered last, by the monotonic clock; 0: they have not yet."""
        self.answering_since = 0.0
        """Since when they have never been silent, by the same clock."""
        self._queries = queries
        self._ids = ids
        self._log = log
        self._brokers = brokers
        self._asked: list[Mapping[Any, Future[Any]]] = []
        self._look_at = 0.0
        self._misses = 0

    def begin(self) -> None:
        """Take note that all was asked and answered: it is looked again after a while."""
        self._answered()
        self._look_at = self.answered_at + WATCH_SECONDS

    def soon(self) -> None:
        """Have it looked at the next turn."""
        self._look_at = 0.0

    def look(self, readings: Mapping[Partition, PartitionReading]) -> list[Partition]:
        """Take what was answered, and ask when it is time; return the partitions that are not read yet.

        Parameters
        ----------
        readings
            Those that are read: they are told where they end.

        Raises
        ------
        TopicMissingError, TopicRemadeError, SourceRefusedError
            Where a topic is not the one that is read, or may not be read.
        """
        if not self._asked:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + WATCH_SECONDS
                keys, queries = list(readings), self._queries
                self._asked = [queries.describe(), queries.ends(keys), queries.stable_ends(keys)]
            return []
        if not all(future.done() for asked in self._asked for future in asked.values()):
            return []
        topics, ends, stable = self._asked
        self._asked = []
        found = self._take_topics(topics)
        if found is None:
            return []
        for key, reading in readings.items():
            if key in ends and not ends[key].exception() and not stable[key].exception():
                reading.told(ends[key].result().offset, stable[key].result().offset)
        return [
            (topic, number)
            for topic, description in found.items()
            for number in description.partitions
            if (topic, number) not in readings
        ]

    def _take_topics(self, topics: Mapping[str, Future[Any]]) -> dict[str, TopicDescription] | None:
        """Return what the brokers say of the topics; None where they say nothing."""
        found: dict[str, TopicDescription] = {}
        for topic, future in topics.items():
            error = future.exception()
            if error is None:
                found[topic] = description_of(topic, future.result())
                continue
            meant = unanswered(topic, error)
            if isinstance(meant, TopicMissingError):
                self._misses += 1
                if self._misses >= MISSES:
                    raise meant
            elif meant is not None:
                raise meant
            else:
                self._log.away(f"{self._brokers}: {text_of(error)}")
            return None
        self._misses = 0
        self._answered()
        self._log.answered()
        for topic, description in found.items():
            if description.topic_id != self._ids[topic]:
                raise TopicRemadeError(topic, self._ids[topic], description.topic_id)
        return found

    def _answered(self) -> None:
        now = time.monotonic()
        if now >= self.answered_at + SILENT_SECONDS:
            self.answering_since = now
        self.answered_at = now
