"""What a model's directory holds, at a glance: nothing is changed, a service may be running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nonzero import LogisticRegression
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import JournalDamagedError
from nonzero_service.journal.snapshots import SnapshotFile, snapshots_in
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.impression_opening import own_rules, pending_in
from nonzero_service.models.model_config import config_of
from nonzero_service.models.snapshot_files import newest_readable
from nonzero_service.writer.entries import Pause, pause_since, start_of
from nonzero_service.writer.origins import PartitionRead, partitions_of
from nonzero_service.writer.source_rows import note_source


@dataclass(frozen=True)
class Inspected:
    """What is kept of one model."""

    first: int
    """The first position held; one past `last` where no row is."""
    last: int
    """The last position."""
    sequence: int
    """The examples up to the last position."""
    newest: datetime
    """The journal's clock: the time of the last row."""
    snapshots: list[int]
    """The positions of the snapshots, the newest first."""
    put_aside: list[str]
    """The names of the snapshots that a start found damaged."""
    settings: dict[str, Any] | None
    """What the model was made with, where the journal holds its first row."""
    labelling: dict[str, Any]
    """The settings that say what becomes of impressions, as far as they are the model's own."""
    paused: Pause | None
    """None while learning goes on."""
    sources: Sequence[PartitionRead]
    """How far topics were read, at the last position."""
    pending: int
    """How many predictions with an id wait for their label."""
    model: LogisticRegression | None
    """The newest snapshot that can be read; None before the first."""


def inspect_model(directory: Path) -> Inspected:
    """Look at a model's directory.

    Raises
    ------
    StorageError
        Where there is no journal, or it cannot be read.
    """
    config = config_of(directory)
    snapshots = snapshots_in(directory / "snapshots")
    newest = newest_readable(snapshots, FileNotFoundError)  # a service may just now have removed it
    origin = config.origin
    with JournalReader(directory if origin is None else directory.parent / origin.champion) as reader:
        base, tip = reader.base, reader.tip
        opening = next(reader.read(1), None) if base.position == 0 else None
        paused = _pause(reader)
        sources = _sources(reader, newest) if origin is None else ()
        pending = 0 if origin is not None else pending_in(reader, own_rules(config))
    return Inspected(
        base.position + 1,
        tip.position,
        tip.sequence,
        datetime.fromtimestamp(tip.time_ms / 1000, UTC),
        [snapshot.position for snapshot in snapshots],
        sorted(path.name for path in (directory / "snapshots").glob("*.damaged")),
        _settings_of(opening) if origin is None else origin.settings,
        config.labelling,
        paused,
        sources,
        pending,
        None if newest is None else newest[1],
    )


def _settings_of(opening: JournalRow | None) -> dict[str, Any] | None:
    return None if opening is None else start_of(opening).settings


def _sources(
    reader: JournalReader, newest: tuple[SnapshotFile, LogisticRegression] | None
) -> Sequence[PartitionRead]:
    """Return how far topics were read at the journal's end: what a snapshot says, and the rows after it."""
    notes: dict[str, Any] = {}
    if newest is not None and SOURCES_NOTE in newest[1].notes:
        notes[SOURCES_NOTE] = newest[1].notes[SOURCES_NOTE]
    for row in reader.read_of(("source",), _fail, 0 if newest is None else newest[0].position):
        note_source(notes, row)
    return partitions_of(notes)


def _fail(error: JournalDamagedError) -> None:
    raise error


def _pause(reader: JournalReader) -> Pause | None:
    last = reader.last_of("trip", "resume")
    return None if last is None or last.kind == "resume" else pause_since(reader.read, last.position)
