"""Where examples came from that were read of topics, and how far the topics were read.

A piece of work may have an origin: the messages that it was made of, as runs of offsets. How far each
partition was read stands among a model's notes; :mod:`~nonzero_service.writer.source_rows` writes it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from nonzero.model.notes import SOURCES_NOTE

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive messages of one partition.

    Parameters
    ----------
    topic
        The topic's name, for people.
    topic_id
        What the broker calls it: a topic that is made anew has another.
    partition
        Which part of it.
    first
        The offset that was read from: where the run before it ended.
    next
        The consumer's position behind it. Gaps, markers and what was aborted are passed over.
    epoch
        The leader's epoch of the last record; -1 where it is not known.
    messages
        The records that were seen.
    refused
        Those of them of which something could not be learned.
    examples
        The examples that they came to: learned, held, labels or impressions.
    """

    topic: str
    topic_id: str
    partition: _Count
    first: _Count
    next: _Count
    epoch: int
    messages: _Count
    refused: _Count
    examples: _Count

    def __post_init__(self) -> None:
        """Refuse what no partition can hold."""
        if not self.refused <= self.messages <= self.next - self.first:
            raise ValueError(
                f"topic {self.topic!r}, partition {self.partition}: {self.messages} messages, of which "
                f"{self.refused} were refused, are not those of the offsets {self.first} to {self.next}"
            )

    def then(self, other: Run) -> Run | None:
        """Return this run and the one that comes next as one; None where they are two."""
        ours = (self.topic_id, self.partition, self.next)
        if ours != (other.topic_id, other.partition, other.first):
            return None
        return Run(
            other.topic,
            self.topic_id,
            self.partition,
            self.first,
            other.next,
            self.epoch if other.epoch < 0 else other.epoch,
            self.messages + other.messages,
            self.refused + other.refused,
            self.examples + other.examples,
        )


class Skip(msgspec.Struct, frozen=True, array_like=True):
    """Offsets of one partition that will never be read.

    Parameters
    ----------
    topic_id, partition
        Of which one.
    first, next
        The first that is skipped, and the one behind the last.
    why
        What people are told.
    """

    topic_id: str
    partition: _Count
    first: _Count
    next: _Count
    why: str

    def __post_init__(self) -> None:
        """Refuse what skips nothing."""
        if self.next <= self.first:
            raise ValueError(f"partition {self.partition}: nothing is from {self.first} to {self.next}")


class Origin(NamedTuple):
    """Where one piece of work came from."""

    runs: tuple[Run, ...]
    """Its messages, in the order in which they are learned. There may be none of them left to learn."""
    watermark_ms: int | None = None
    """The event time that was reached with it, in milliseconds since 1970; None where that is not known."""
    skipped: tuple[Skip, ...] = ()
    """What lies before one of the runs and will never be read."""


class Position(NamedTuple):
    """How far a partition was read."""

    next: int
    """The offset to read from."""
    epoch: int
    """The leader's epoch there; -1 where it is not known."""


class PartitionRead(NamedTuple):
    """What was read of one partition in all."""

    topic: str
    topic_id: str
    partition: int
    next: int
    epoch: int
    messages: int
    refused: int
    examples: int


def positions_of(notes: Mapping[str, Any]) -> dict[tuple[str, int], Position]:
    """Return how far topics were read, by topic id and partition.

    Parameters
    ----------
    notes
        A model's.

    Examples
    --------
    >>> from nonzero_service.writer.source_rows import noted_after, source_of
    >>> origin = Origin((Run("clicks", "4wbVvdzYRQqL1Hl4pBfmcA", 0, 0, 7, 2, 6, 0, 6),))
    >>> positions_of({SOURCES_NOTE: noted_after(None, source_of([origin]))})
    {('4wbVvdzYRQqL1Hl4pBfmcA', 0): Position(next=7, epoch=2)}
    """
    return {(one.topic_id, one.partition): Position(one.next, one.epoch) for one in partitions_of(notes)}


def partitions_of(notes: Mapping[str, Any]) -> Sequence[PartitionRead]:
    """Return what was read of each partition, in the order of topics, then of numbers."""
    noted = notes.get(SOURCES_NOTE)
    return [
        PartitionRead(topic["topic"], topic_id, partition, *topic["partitions"][str(partition)])
        for topic_id, topic in (noted["topics"].items() if noted else ())
        for partition in sorted(map(int, topic["partitions"]))
    ]


def newest_partitions_of(notes: Mapping[str, Any]) -> Sequence[PartitionRead]:
    """Return the same of topics as they are now: of one that was made anew, nothing of the one before it.

    Which one was read last is noted by name: ids have no order, and topics are stored by theirs.
    """
    noted = notes.get(SOURCES_NOTE)
    newest = noted["newest"] if noted else {}
    return [one for one in partitions_of(notes) if newest[one.topic] == one.topic_id]


def watermark_of(notes: Mapping[str, Any]) -> int | None:
    """Return the event time that was reached, in milliseconds since 1970; None where none is known."""
    noted = notes.get(SOURCES_NOTE)
    watermark: int | None = noted["watermark_ms"] if noted else None
    return watermark
