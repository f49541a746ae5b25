"""What is read of topics, and how far it is: a plan, and the state of each partition."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from nonzero_service.kafka.errors import TopicRemadeError


@dataclass(slots=True)
class PartitionReading:
    """One partition that is read."""

    topic: str
    topic_id: str
    number: int
    next: int
    """The client's position, as it was handed out."""
    epoch: int
    begun: bool
    """Whether the journal says where to go on, or will: records before that are not to be missed."""
    newest_ms: int = -1
    """The time of the newest record that was handed out."""
    high_watermark: int | None = None
    last_stable: int | None = None
    told_at: float = field(default_factory=time.monotonic)
    """When the brokers told where it ends, by the monotonic clock; where they never have, since when they are
    asked. A partition that is new is not one that is empty."""
    start: int = field(init=False)
    """The position that it had at first."""

    def __post_init__(self) -> None:
        """Note where it starts."""
        self.start = self.next

    def told(self, high_watermark: int, last_stable: int) -> None:
        """Take note where it ends."""
        self.high_watermark, self.last_stable = high_watermark, last_stable
        self.told_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read, and from where.

    Parameters
    ----------
    topics
        Their names.
    positions
        By topic id and partition, the offset to go on at, and the leader's epoch there.
    known
        By a topic's name, the id that it was read by.
    topic_ids
        The ids that may be read though a topic of that name was known by another.
    from_start
        Whether a partition of which nothing is known is read from its start; else from its end.
    skip
        Whether to go on without records that are lost.
    """

    topics: tuple[str, ...]
    positions: Mapping[tuple[str, int], tuple[int, int]]
    known: Mapping[str, str]
    topic_ids: frozenset[str]
    from_start: bool
    skip: bool

    def check_id(self, topic: str, topic_id: str) -> None:
        """Refuse a topic that is not the one which was read.

        Raises
        ------
        TopicRemadeError
            If it is another.
        """
        was = self.known.get(topic)
        if was not in (None, topic_id) and topic_id not in self.topic_ids and not self.has_read(topic_id):
            raise TopicRemadeError(topic, was, topic_id)

    def has_read(self, topic_id: str) -> bool:
        """Whether anything of a topic was read before."""
        return any(read == topic_id for read, _ in self.positions)
