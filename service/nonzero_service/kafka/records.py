"""Records as they are handed out: a chunk of one partition at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.kafka.values import Values

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
    """Of each record, in milliseconds since 1970; -1 where it has none. Where they are not wanted, the last
    one's stands for all: each is a call."""
    values: Values
    """Of each record; None is a tombstone."""
    lost: Lost | None = None
    """What lay before it and is gone, where that is to be passed over; such a chunk has no records."""


RECORD_BYTES: Final = 40
"""What a record takes beside what it holds, which may be nothing."""

_TIME = itemgetter(1)
_NO_NUMBERS = np.empty(0, np.int64)
_NO_VALUES = Values([])


class Gathered:
    """Records of one partition that follow each other, taken out of their messages."""

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.last: Message
        """The last of the messages; the others need not be kept, and cost as long as they are."""
        self._offsets: list[NDArray[np.int64]] = []
        self._times: list[NDArray[np.int64]] = []
        self._sizes: list[NDArray[np.int64]] = []

    def add(self, messages: Sequence[Message], splitter: RecordSplitter) -> int:
        """Add the messages that come next, at least one; return how many bytes they hold."""
        self.last = messages[-1]
        sizes = np.fromiter(map(len, messages), np.int64, len(messages))
        self._sizes.append(sizes)
        self.values += map(splitter.message.value, messages)
        self._offsets.append(splitter.offsets(messages))
        if splitter.times:
            self._times.append(splitter.times_of(messages))
        return int(sizes.sum())

    def chunk(self, topic: str, topic_id: str, partition: int, first: int, next: int) -> Chunk:
        """Return them as a chunk.

        Parameters
        ----------
        topic, topic_id, partition
            Of which they are.
        first, next
            Where the chunk before it ended, and where it ends.
        """
        times = self._times or [np.full(len(self.values), self.last.timestamp()[1], np.int64)]
        epoch = self.last.leader_epoch()
        return Chunk(
            topic,
            topic_id,
            partition,
            first,
            next,
            -1 if epoch is None else epoch,
            np.concatenate(self._offsets),
            np.concatenate(times),
            Values(self.values, np.concatenate(self._sizes)),
        )


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

        self.message = Message
        self.times = times
        self._topics = topics
        self._found: dict[tuple[str, int], Gathered] = {}

    def errors(self, messages: Sequence[Message]) -> bool:
        """Whether any of some messages is none, but says what is wrong."""
        return any(map(self.message.error, messages))

    def gather(self, messages: Sequence[Message]) -> int:
        """Take what is wanted out of messages; return about how many bytes that is."""
        nbytes = RECORD_BYTES * len(messages)
        for key, own in self._by_partition(messages):
            if key not in self._found:
                self._found[key] = Gathered()
            nbytes += self._found[key].add(own, self)
        return nbytes

    def take(self) -> dict[tuple[str, int], Gathered]:
        """Return what was gathered, by topic and partition; it begins anew."""
        found, self._found = self._found, {}
        return found

    def offsets(self, messages: Sequence[Message]) -> NDArray[np.int64]:
        """Return the offsets of messages of one partition, which grow: they are rarely asked one by one."""
        first, last, number = messages[0].offset() or 0, messages[-1].offset() or 0, len(messages)
        if last - first == number - 1:
            return np.arange(first, last + 1)
        return np.fromiter(map(self.message.offset, messages), np.int64, number)

    def times_of(self, messages: Sequence[Message]) -> NDArray[np.int64]:
        """Return the times of messages."""
        return np.fromiter(map(_TIME, map(self.message.timestamp, messages)), np.int64, len(messages))

    def _by_partition(
        self, messages: Sequence[Message]
    ) -> Iterator[tuple[tuple[str, int], Sequence[Message]]]:
        """Yield messages by topic and partition; one may come several times."""
        partitions = list(map(self.message.partition, messages))
        if messages and self._topics == 1 and partitions.count(partitions[0]) == len(partitions):
            yield (messages[0].topic() or "", partitions[0] or 0), messages  # as it mostly is
            return
        for partition, run in groupby(messages, self.message.partition):
            for topic, own in groupby(run, self.message.topic):
                yield (topic or "", partition or 0), list(own)

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
        return Chunk(
            topic, topic_id, partition, first, next, epoch, _NO_NUMBERS, _NO_NUMBERS, _NO_VALUES, lost
        )
