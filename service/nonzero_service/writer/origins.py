"""Where examples came from that were read of topics: rows of the kind ``source``, and what is noted of them.

A piece of work may have an origin: the messages that it was made of, as runs of offsets. All origins of a
group become one row, the last of the group, in the same transaction. So what was learned and how far it was
read are durable together, and neither without the other.

The fold keeps how far each partition was read among the model's notes. A run begins where the one before it
ended; any other row is refused. So the fold itself finds a message that is missing, or there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from nonzero.model.notes import SOURCES_NOTE as SOURCES_NOTE  # for those who read what is noted
from nonzero_service.errors import OriginError
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.journal.chain import JournalEntry, JournalRow
from nonzero_service.journal.errors import BodyError

VERSION: Final = 1
"""That of the row's body."""

MOST: Final = 10_000
"""So many partitions a model's notes may name: each snapshot holds them, some 40 bytes each."""

Notes = dict[str, Any]
"""What is noted: JSON, and never changed; another one takes its place."""

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


class SourceBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a ``source`` row: where the rows before it in its transaction came from."""

    runs: tuple[Run, ...] = ()
    watermark_ms: int | None = None
    skipped: tuple[Skip, ...] = ()
    waiting: tuple[WaitingLabel, ...] = ()
    """The labels that wait for their impressions from here on."""


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


def source_of(origins: Iterable[Origin]) -> SourceBody:
    """Return what a row says of some pieces of work, in the order in which they are learned."""
    runs: list[Run] = []
    skipped: list[Skip] = []
    watermark: int | None = None
    for origin in origins:
        for run in origin.runs:
            longer = runs[-1].then(run) if runs else None
            if longer is None:
                runs.append(run)
            else:
                runs[-1] = longer
        skipped += origin.skipped
        watermark = _later(watermark, origin.watermark_ms)
    return SourceBody(tuple(runs), watermark, tuple(skipped))


def source_entry(source: SourceBody) -> JournalEntry:
    """Return the entry that says where the rows before it came from."""
    return JournalEntry("source", VERSION, msgspec.json.encode(source))


def source_in(row: JournalRow) -> SourceBody:
    """Read a ``source`` row.

    Raises
    ------
    BodyError
        If it does not say where rows came from.
    """
    try:
        return _DECODER.decode(row.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"position {row.position} does not say where rows came from: {error}") from error


def noted_after(noted: Notes | None, source: SourceBody) -> Notes:
    """Return what is noted after a row, of what was noted before it, which stays as it is.

    Parameters
    ----------
    noted
        What was noted; None where nothing was.
    source
        What the row says.

    Raises
    ------
    OriginError
        Where a run does not begin where the one before it has ended.
    """
    topics: dict[str, Any] = dict(noted["topics"]) if noted else {}
    own: set[str] = set()
    skips = {(skip.topic_id, skip.partition, skip.first): skip for skip in source.skipped}
    for run in source.runs:
        if run.topic_id not in own:
            known = topics.get(run.topic_id, {"partitions": {}})
            topics[run.topic_id] = {"topic": run.topic, "partitions": dict(known["partitions"])}
            own.add(run.topic_id)
        partitions = topics[run.topic_id]["partitions"]
        read = partitions.get(str(run.partition))
        if read is None:
            read = [run.first, -1, 0, 0, 0]
        reached = read[0]
        while reached != run.first and (skip := skips.pop((run.topic_id, run.partition, reached), None)):
            reached = skip.next
        if reached != run.first:
            raise OriginError(_broken(run, reached))
        partitions[str(run.partition)] = [
            run.next,
            read[1] if run.epoch < 0 else run.epoch,
            read[2] + run.messages,
            read[3] + run.refused,
            read[4] + run.examples,
        ]
    for skip in skips.values():  # of which nothing was read since
        topic = topics.get(skip.topic_id, {"topic": "", "partitions": {}})
        read = topic["partitions"].get(str(skip.partition), [None])
        if read[0] != skip.first:
            raise OriginError(
                f"partition {skip.partition} of the topic with the id {skip.topic_id}: the offsets "
                f"{skip.first} to {skip.next} are skipped, and it was read up to {read[0]}"
            )
        partitions = topic["partitions"] | {str(skip.partition): [skip.next, *read[1:]]}
        topics[skip.topic_id] = topic | {"partitions": partitions}
    watermark = _later(noted["watermark_ms"] if noted else None, source.watermark_ms)
    return {"topics": topics, "watermark_ms": watermark}


def check_many(noted: Notes) -> None:
    """Refuse more partitions than a model's notes may name.

    Raises
    ------
    OriginError
        It says how many there would be.
    """
    count = sum(len(topic["partitions"]) for topic in noted["topics"].values())
    if count > MOST:
        raise OriginError(
            f"a model may be fed of {MOST} partitions, and this would be {count}; have several models read "
            "them, or make topics of fewer partitions"
        )


def note_source(notes: dict[str, Any], row: JournalRow) -> None:
    """Let a model's notes say what a ``source`` row says.

    Raises
    ------
    BodyError
        Where the row does not follow what they say; it names topic, partition and offsets.
    """
    source = source_in(row)
    try:
        notes[SOURCES_NOTE] = noted_after(notes.get(SOURCES_NOTE), source)
    except OriginError as error:
        raise BodyError(f"position {row.position} does not follow the rows before it: {error}") from error


def positions_of(notes: Mapping[str, Any]) -> dict[tuple[str, int], Position]:
    """Return how far topics were read, by topic id and partition.

    Parameters
    ----------
    notes
        A model's.

    Examples
    --------
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


def watermark_of(notes: Mapping[str, Any]) -> int | None:
    """Return the event time that was reached, in milliseconds since 1970; None where none is known."""
    noted = notes.get(SOURCES_NOTE)
    watermark: int | None = noted["watermark_ms"] if noted else None
    return watermark


def _later(one: int | None, other: int | None) -> int | None:
    """Return the later of two times, of which neither may be known."""
    return max((time for time in (one, other) if time is not None), default=None)


def _broken(run: Run, reached: int) -> str:
    where = f"topic {run.topic!r} (id {run.topic_id}), partition {run.partition}"
    if run.first > reached:
        return f"{where}: the offsets {reached} to {run.first} are missing, before {run.first} to {run.next}"
    return f"{where}: {run.first} to {run.next} were read, and what is before {reached} was read already"


_DECODER: Final = msgspec.json.Decoder(SourceBody)
