"""Records as they are handed out: a chunk of one partition at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from confluent_kafka import Message


class Lost(NamedTuple):
    """Offsets that were passed over, since their records are gone."""

    first: int
    """The first of them."""
    next: int
    """The one behind the last."""
    why: str
    """What people are told."""


class Chunk(NamedTuple):
    """Records of one partition that follow each other; there may be none, where only the position moved."""

    topic: str
    topic_id: str
    """What the brokers call it: base64 text that goes into an address."""
    partition: int
    first: int
    """The offset that was read from: where the chunk before it ended, or what was lost."""
    next: int
    """The consumer's position behind it: offsets without a record, whatever the reason, are passed over."""
    epoch: int
    """The leader's epoch of the last record; -1 where it is not known."""
    offsets: NDArray[np.int64]
    times: NDArray[np.int64]
    """Of each record, in milliseconds since 1970; -1 where it has none."""
    values: list[bytes | None]
    """Of each record; None is a tombstone."""
    lost: Lost | None = None
    """What lay before it and is gone, where that is to be passed over; such a chunk has no records."""


class Lag(NamedTuple):
    """How far a partition is behind."""

    position: int
    """The offset that is read next."""
    high_watermark: int
    """Where the partition ends."""
    last_stable: int
    """Where it ends for who reads no open transactions."""
    behind_records: int
    """The offsets up to there; what was aborted or compacted counts too."""
    behind_ms: float | None
    """The age of the newest record that was read, where others wait; None where none was read yet."""

    @property
    def unstable_records(self) -> int:
        """The offsets that a transaction holds back which is not committed."""
        return self.high_watermark - self.last_stable


_TIME = itemgetter(1)
_NO_NUMBERS = np.empty(0, np.int64)


class RecordSplitter:
    """Takes the parts that are wanted out of many messages at once: the price of a message is paid here.

    Parameters
    ----------
    topics
        How many topics the messages are of.
    times
        Whether the times of records are wanted.
    """

    def __init__(self, topics: int, *, times: bool) -> None:
        from confluent_kafka import Message

        self._message = Message
        self._topics = topics
        self._times = times

    def errors(self, messages: Sequence[Message]) -> bool:
        """Whether any of some messages is none, but says what is wrong."""
        return any(map(self._message.error, messages))

    def of_partitions(self, messages: Iterable[Message]) -> dict[tuple[str, int], list[Message]]:
        """Return messages by topic and partition, in their order."""
        found: dict[tuple[str, int], list[Message]] = {}
        for partition, run in groupby(messages, self._message.partition):
            for topic, own in self._by_topic(list(run)):
                key = (topic, partition or 0)
                found[key] = found[key] + own if key in found else own
        return found

    def _by_topic(self, run: list[Message]) -> Iterator[tuple[str, list[Message]]]:
        if self._topics == 1:
            yield run[0].topic() or "", run
            return
        for topic, own in groupby(run, self._message.topic):
            yield topic or "", list(own)

    def chunk(
        self, topic: str, topic_id: str, partition: int, first: int, next: int, messages: list[Message]
    ) -> Chunk:
        """Return the messages of one partition as a chunk.

        Parameters
        ----------
        topic, topic_id, partition
            Of which they are.
        first, next
            Where the chunk before it ended, and where it ends.
        messages
            At least one.
        """
        number = len(messages)
        if self._times:
            times = np.fromiter(map(_TIME, map(self._message.timestamp, messages)), np.int64, number)
        else:
            times = np.full(number, -1, np.int64)
        epoch = messages[-1].leader_epoch()
        return Chunk(
            topic,
            topic_id,
            partition,
            first,
            next,
            -1 if epoch is None else epoch,
            self._offsets(messages),
            times,
            list(map(self._message.value, messages)),
        )

    def _offsets(self, messages: list[Message]) -> NDArray[np.int64]:
        """Return the offsets of the messages of one partition, which grow from one to the next."""
        begin, last = messages[0].offset() or 0, messages[-1].offset() or 0
        if last - begin == len(messages) - 1:
            return np.arange(begin, last + 1, dtype=np.int64)
        return np.fromiter(map(self._message.offset, messages), np.int64, len(messages))

    @staticmethod
    def moved(
        topic: str,
        topic_id: str,
        partition: int,
        first: int,
        next: int,
        epoch: int,
        lost: Lost | None = None,
    ) -> Chunk:
        """Return a chunk without records: the position has moved all the same."""
        return Chunk(topic, topic_id, partition, first, next, epoch, _NO_NUMBERS, _NO_NUMBERS, [], lost)
