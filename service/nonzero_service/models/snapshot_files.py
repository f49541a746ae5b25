"""Snapshots of a journal's models: written with their place in it, checked against it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import structlog

from nonzero import LogisticRegression
from nonzero.errors import NonzeroError, SnapshotError
from nonzero.model.packed import Packed
from nonzero.persistence.snapshot import read_metadata
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder
from nonzero_service.writer.kept_joining import JOINING_NOTE


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

    So are the impressions of a challenger with a late-label policy of its own.

    Raises
    ------
    SnapshotError
        Where the snapshot does not say since when examples are held.
    """
    try:
        notes = read_metadata(snapshot.path)["notes"]
        since, joining = notes["held_since"], notes.get(JOINING_NOTE)
        first = snapshot.position + 1 if since is None else int(since)
        return first if joining is None else min(first, int(joining["position"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(
            f"{snapshot.path} is no snapshot of a journal, or is damaged: {error!r}"
        ) from error


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
            f"{snapshot.path} is of another history than {reader.place}: it was taken at position {noted[0]} "
            f"with the digest {noted[1]}, and the journal has {found[1]} at position {found[0]}; restore the "
            "directory from a backup"
        )


def say_damaged(snapshot: SnapshotFile, error: NonzeroError) -> None:
    """Log that a snapshot could not be read."""
    structlog.get_logger("recovery").error(
        "a snapshot is damaged; the one before it takes over", path=str(snapshot.path), reason=str(error)
    )
