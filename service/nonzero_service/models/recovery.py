"""Recovery: a snapshot that is whole, and the journal's rows after it, give the model that there was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from nonzero import LogisticRegression
from nonzero.errors import NonzeroError, SnapshotError
from nonzero.model.packed import Packed
from nonzero.persistence.snapshot import read_metadata
from nonzero_service.history.history import History
from nonzero_service.journal.journal import Durability, Journal
from nonzero_service.journal.open_journals import OpenJournals
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder
from nonzero_service.writer import fold
from nonzero_service.writer.entries import Pause, pause_since, start_of

Replayed = Callable[[int, int], object]
"""Told how far a replay is: the last position applied, and the position where it ends."""

IMPRESSIONS: Final = frozenset({"joined", "impression"})
"""The rows whose examples may be impressions."""

CHANGES: Final = frozenset({"trip", "resume", "remedy", "recalibration"})
"""The rows that a history tells of as events."""

EVERY = 64
"""How often a replay tells how far it is, in rows."""


@dataclass(frozen=True)
class StoredModel:
    """A model with what is kept of it on disk."""

    model: LogisticRegression
    journal: Journal
    snapshots: SnapshotFolder
    pause: Pause | None = None
    """None where examples are learned from."""
    tail_bytes: int = 0
    """The bytes of the bodies of all rows after the newest snapshot."""
    tail_seconds: float = 0.0
    """How old the newest snapshot is, or the first row, where there is none."""


def write_snapshot(
    snapshots: SnapshotFolder,
    position: int,
    digest: bytes,
    model: Packed,
    held_since: int | None = None,
) -> SnapshotFile:
    """Write a snapshot of a model after `position`, where the journal's chain has `digest`.

    `held_since` is the position of the trip after which examples are held there, if any.
    """
    model.notes |= {"position": position, "journal_digest": digest.hex(), "held_since": held_since}
    return snapshots.write(position, model.write)


def needed_from(snapshot: SnapshotFile) -> int:
    """Return the first position that a start from a snapshot needs: what was held there is read again.

    Raises
    ------
    SnapshotError
        Where the snapshot does not say since when examples are held.
    """
    try:
        since = read_metadata(snapshot.path)["notes"]["held_since"]
        return snapshot.position + 1 if since is None else int(since)
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(
            f"{snapshot.path} is no snapshot of a journal, or is damaged: {error!r}"
        ) from error


def recover(
    directory: Path,
    durability: Durability,
    replayed: Replayed,
    among: OpenJournals | None = None,
    history: History | None = None,
) -> StoredModel:
    """Open what is kept of a model and bring it to where it was.

    Parameters
    ----------
    directory
        The model's.
    durability
        As for the journal.
    replayed
        Told how far the replay is.
    among
        The journals that are open in this process.
    history
        Is told of what is read again.

    Raises
    ------
    SnapshotError
        Where no snapshot can be read and the journal no longer holds the rows to do without.
    StorageError
        Where the journal ends too early or is damaged; nothing on disk is changed.
    """
    snapshots = SnapshotFolder(directory / "snapshots")
    newest = snapshots.all()
    reached = newest[0].position if newest else 0
    journal = Journal(directory, durability=durability, reached=reached, among=among)
    try:
        snapshots.tidy()
        held = snapshots.newest(LogisticRegression.load, _say_damaged)
        model, start = found(journal, held)
        tail = replay(model, journal, start, replayed, history)
        pause = None if tail.held_since is None else pause_since(journal.read, tail.held_since)
    except BaseException:
        journal.close()
        raise
    begun = tail.first_ms / 1000 if held is None else held[0].path.stat().st_mtime
    seconds = max(time.time() - begun, 0.0)
    return StoredModel(model, journal, snapshots, pause, tail.nbytes, seconds)


def found(
    reader: JournalRows, held: tuple[SnapshotFile, LogisticRegression] | None
) -> tuple[LogisticRegression, int]:
    """Return the model that a replay starts from, and the first position to apply.

    Raises
    ------
    SnapshotError
        Where the snapshot is of another history; where there is none and the journal does not hold its first
        row, or the model came as a file.
    """
    if held is not None:
        snapshot, model = held
        check_snapshot(reader, snapshot, model)
        return model, snapshot.position + 1
    first = reader.base.position + 1
    if first > 1:
        raise SnapshotError(
            f"no snapshot can be read, and {reader.path} holds the rows from position {first} only; restore "
            "a snapshot from a backup (journal_retention=all keeps every row)"
        )
    opening = next(reader.read(1), None)
    if opening is None:
        raise SnapshotError(
            f"{reader.path} has no rows, and there is no snapshot; restore both from a backup"
        )
    start = start_of(opening)
    if start.examples:
        raise SnapshotError(
            f"no snapshot can be read, and {reader.path} starts from a trained file; restore its snapshot "
            "from a backup"
        )
    return LogisticRegression.from_settings(start.settings), 1


def newest_readable(
    snapshots: Iterable[SnapshotFile], *passing: type[Exception]
) -> tuple[SnapshotFile, LogisticRegression] | None:
    """Return the first of some snapshots that is not damaged, and its model; None where all are.

    Parameters
    ----------
    snapshots
        The newest first.
    *passing
        Other errors that have the next one looked at.
    """
    for snapshot in snapshots:
        with suppress(SnapshotError, *passing):
            return snapshot, LogisticRegression.load(snapshot.path)
    return None


def check_snapshot(reader: JournalRows, snapshot: SnapshotFile, model: LogisticRegression) -> None:
    """Refuse a snapshot that is not of the journal's history.

    Raises
    ------
    SnapshotError
        It names the position and both digests.
    PrunedError
        Where the journal no longer holds the rows after it.
    """
    noted = (model.notes.get("position"), model.notes.get("journal_digest"))
    found = (snapshot.position, reader.digest_at(snapshot.position).hex())
    if noted != found:
        raise SnapshotError(
            f"{snapshot.path} is of another history than {reader.path}: it was taken at position {noted[0]} "
            f"with the digest {noted[1]}, and the journal has {found[1]} at position {found[0]}; restore the "
            "directory from a backup"
        )


class Tail(NamedTuple):
    """What a replay met."""

    held_since: int | None
    """Since when examples are held at its end, if they are."""
    nbytes: int
    """The bytes of the rows' bodies."""
    first_ms: int
    """The time of the first row, in milliseconds since 1970; 0 where there was none."""


def replay(
    model: LogisticRegression,
    reader: JournalRows,
    start: int,
    replayed: Replayed,
    history: History | None = None,
) -> Tail:
    """Apply the rows from `start` to the journal's end; a history is told of them."""
    end = reader.tip.position
    since: int | None = model.notes.get("held_since")
    nbytes = first_ms = 0
    for row in reader.read(start):
        if history is not None and row.count:
            history.learning(
                model, row.position - 1, row.time_ms, partial(IMPRESSIONS.__contains__, row.kind)
            )
        fold.apply(model, row, reader.read)
        if history is not None and row.kind in CHANGES:
            history.changed(model, row)
        nbytes += len(row.body)
        first_ms = first_ms or row.time_ms
        if row.kind == "trip":
            since = row.position
        elif row.kind == "resume":
            since = None
        if row.position % EVERY == 0 or row.position == end:
            replayed(row.position, end)
    if history is not None:
        history.replayed(model, end)
    return Tail(since, nbytes, first_ms)


def _say_damaged(snapshot: SnapshotFile, error: NonzeroError) -> None:
    structlog.get_logger("recovery").error(
        "a snapshot is damaged; the one before it takes over", path=str(snapshot.path), reason=str(error)
    )
