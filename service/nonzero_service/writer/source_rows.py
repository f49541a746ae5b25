"""Rows of the kind ``source``: where the rows before them came from, and what follows for a model's notes.

All origins of a group become one row, the last of the group, in the same transaction. So what was learned and
how far it was read are durable together, and neither without the other.

The fold keeps how far each partition was read among the model's notes. A run begins where the one before it
ended; any other row is refused. So the fold itself finds a message that is missing, or there twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.errors import OriginError
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.journal.chain import JournalEntry, JournalRow
from nonzero_service.journal.errors import BodyError
from nonzero_service.writer.origins import Origin, Run, Skip

VERSION: Final = 1
"""That of the row's body."""

MOST: Final = 10_000
"""So many partitions a model's notes may name: each snapshot holds them, some 40 bytes each."""

Notes = dict[str, Any]
"""What is noted: JSON, and never changed; another one takes its place."""


class SourceBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a ``source`` row: where the rows before it in its transaction came from."""

    runs: tuple[Run, ...] = ()
    watermark_ms: int | None = None
    skipped: tuple[Skip, ...] = ()
    waiting: tuple[WaitingLabel, ...] = ()
    """The labels that wait for their impressions from here on."""


_DECODER: Final = msgspec.json.Decoder(SourceBody)


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
    newest: dict[str, str] = dict(noted["newest"]) if noted else {}
    own: set[str] = set()
    skips = {(skip.topic_id, skip.partition, skip.first): skip for skip in source.skipped}
    for run in source.runs:
        if run.topic_id not in own:
            known = topics.get(run.topic_id, {"partitions": {}})
            topics[run.topic_id] = {"topic": run.topic, "partitions": dict(known["partitions"])}
            newest[run.topic] = run.topic_id
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
    return {"topics": topics, "newest": newest, "watermark_ms": watermark}


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


def _later(one: int | None, other: int | None) -> int | None:
    """Return the later of two times, of which neither may be known."""
    return max((time for time in (one, other) if time is not None), default=None)


def _broken(run: Run, reached: int) -> str:
    where = f"topic {run.topic!r} (id {run.topic_id}), partition {run.partition}"
    if run.first > reached:
        return f"{where}: the offsets {reached} to {run.first} are missing, before {run.first} to {run.next}"
    return f"{where}: {run.first} to {run.next} were read, and what is before {reached} was read already"
