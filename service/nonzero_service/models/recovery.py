"""Recovery: a snapshot that is whole, and the journal's rows after it, give the model that there was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from nonzero import LogisticRegression
from nonzero.errors import NonzeroError, SnapshotError
from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.learning import fold
from nonzero_service.learning.holding import held_batches, reason_of
from nonzero_service.storage.journal import Durability, Journal
from nonzero_service.storage.reader import JournalReader
from nonzero_service.storage.snapshots import Snapshot, Snapshots

__all__ = ["Kept", "Replayed", "check_snapshot", "found", "recover", "replay", "write_snapshot"]

Replayed = Callable[[int, int], object]
"""Told how far a replay is: the last position applied, and the position where it ends."""

Joined = Callable[[References], object]
"""Told of impressions that a row has learned from."""

EVERY = 64
"""How often a replay tells how far it is, in rows."""


@dataclass(frozen=True)
class Kept:
    """A model with what is kept of it on disk."""

    model: LogisticRegression
    journal: Journal
    snapshots: Snapshots
    held_since: int | None = None
    """The position since which examples are held; None where they are learned from."""
    held: int = 0
    """How many are held."""
    held_reason: dict[str, Any] | None = None
    """Why."""


def write_snapshot(
    snapshots: Snapshots,
    position: int,
    digest: bytes,
    model: LogisticRegression,
    held_since: int | None = None,
) -> Snapshot:
    """Write a snapshot of a model after `position`, where the journal's chain has `digest`.

    `held_since` is the position of the trip after which examples are held there, if any.
    """
    model.notes |= {"position": position, "journal_digest": digest.hex(), "held_since": held_since}
    return snapshots.write(position, model.save)


def recover(
    directory: Path, durability: Durability, replayed: Replayed, joined: Joined = lambda _: None
) -> Kept:
    """Open what is kept of a model and bring it to where it was.

    Parameters
    ----------
    directory
        The model's.
    durability
        As for the journal.
    replayed
        Told how far the replay is.
    joined
        Told of the impressions that each replayed row has learned from.

    Raises
    ------
    SnapshotError
        Where no snapshot can be read and the journal no longer holds the rows to do without.
    StorageError
        Where the journal ends too early or is damaged; nothing on disk is changed.
    """
    snapshots = Snapshots(directory / "snapshots")
    newest = snapshots.all()
    journal = Journal(directory, durability=durability, reached=newest[0].position if newest else 0)
    try:
        snapshots.tidy()
        held = snapshots.newest(LogisticRegression.load, _say_damaged)
        with JournalReader(directory) as reader:
            model, start = found(reader, held)
            since = replay(model, reader, start, replayed, joined)
            count = 0 if since is None else sum(map(len, held_batches(reader.read, since)))
            reason = None if since is None else reason_of(reader.read, since)
    except BaseException:
        journal.close()
        raise
    return Kept(model, journal, snapshots, since, count, reason)


def found(
    reader: JournalReader, held: tuple[Snapshot, LogisticRegression] | None
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
    start = fold.start_of(opening)
    if start.examples:
        raise SnapshotError(
            f"no snapshot can be read, and {reader.path} starts from a trained file; restore its snapshot "
            "from a backup"
        )
    return LogisticRegression.from_settings(start.settings), 1


def check_snapshot(reader: JournalReader, snapshot: Snapshot, model: LogisticRegression) -> None:
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


def replay(
    model: LogisticRegression,
    reader: JournalReader,
    start: int,
    replayed: Replayed,
    joined: Joined = lambda _: None,
) -> int | None:
    """Apply the rows from `start` to the journal's end; return since when examples are held, if they are."""
    end = reader.tip.position
    since: int | None = model.notes.get("held_since")
    for row in reader.read(start):
        fold.apply(model, row, reader.read)
        if row.kind in ("joined", "held"):
            joined(decode_joined(row.body)[1])
        elif row.kind in ("trip", "resume"):
            since = row.position if row.kind == "trip" else None
        if row.position % EVERY == 0 or row.position == end:
            replayed(row.position, end)
    return since


def _say_damaged(snapshot: Snapshot, error: NonzeroError) -> None:
    structlog.get_logger("recovery").error(
        "a snapshot is damaged; the one before it takes over", path=str(snapshot.path), reason=str(error)
    )
