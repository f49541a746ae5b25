"""What a model's directory holds, at a glance: nothing is changed, a service may be running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nonzero import LogisticRegression, SnapshotError
from nonzero_service.impressions.segment import pending_in
from nonzero_service.journal.reader import JournalReader
from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.learning import fold
from nonzero_service.learning.holding import held_batches, reason_of

__all__ = ["Held", "Pause", "held_in"]


@dataclass(frozen=True)
class Pause:
    """A pause of the circuit breaker that nobody has ended."""

    since: datetime
    """The journal's clock when it began."""
    reason: dict[str, Any]
    """Why: the figure that jumped, and what it was compared with."""
    examples: int
    """How many are held."""


@dataclass(frozen=True)
class Held:
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
    paused: Pause | None
    """None while learning goes on."""
    pending: int
    """How many predictions with an id wait for their label."""
    model: LogisticRegression | None
    """The newest snapshot that can be read; None before the first."""


def held_in(directory: Path) -> Held:
    """Look at a model's directory.

    Raises
    ------
    JournalError
        Where there is no journal, or it cannot be read.
    """
    snapshots = snapshots_in(directory / "snapshots")
    model = None
    for snapshot in snapshots:
        try:
            model = LogisticRegression.load(snapshot.path)
            break
        except (SnapshotError, FileNotFoundError):  # damaged, which verify names; or just now pruned
            continue
    with JournalReader(directory) as reader:
        base, tip = reader.base, reader.tip
        opening = next(reader.read(1), None) if base.position == 0 else None
        paused = _pause(reader)
    return Held(
        base.position + 1,
        tip.position,
        tip.sequence,
        _moment(tip.time_ms),
        [snapshot.position for snapshot in snapshots],
        sorted(path.name for path in (directory / "snapshots").glob("*.damaged")),
        None if opening is None else fold.start_of(opening).settings,
        paused,
        pending_in(directory / "impressions"),
        model,
    )


def _pause(reader: JournalReader) -> Pause | None:
    last = reader.last_of("trip", "resume")
    if last is None or last.kind == "resume":
        return None
    held = sum(map(len, held_batches(reader.read, last.position)))
    return Pause(_moment(last.time_ms), reason_of(reader.read, last.position), held)


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
