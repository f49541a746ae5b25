"""Recovery: a snapshot that is whole, and the journal's rows after it, give the model that there was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.errors import SnapshotError
from nonzero_service.history.history import History
from nonzero_service.history.retelling import retold
from nonzero_service.journal.errors import JournalDivergedError
from nonzero_service.journal.journal import Journal, OpenJournal
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder
from nonzero_service.models.challenger_files import ChallengerPlace, StoredChallenger, load_challenger
from nonzero_service.models.promotions import promoted_from, promotions_in
from nonzero_service.models.replica import Folded
from nonzero_service.models.snapshot_files import check_snapshot, say_damaged
from nonzero_service.writer import fold
from nonzero_service.writer.entries import Pause, pause_since, start_of

Replayed = Callable[[int, int], object]
"""Told how far a replay is: the last position applied, and the position where it ends."""

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
    challengers: Sequence[StoredChallenger] = ()
    """Those who follow it, as far as they were brought with it."""


def recover(
    directory: Path,
    open_journal: OpenJournal,
    replayed: Replayed,
    challengers: Sequence[ChallengerPlace] = (),
    fields: Sequence[str] = (),
    history: History | None = None,
    *,
    recalibrating: bool = False,
) -> StoredModel:
    """Open what is kept of a model and bring it to where it was.

    Parameters
    ----------
    directory
        The model's.
    open_journal
        Opens its journal, wherever that is kept.
    replayed
        Told how far the replay is.
    challengers
        Those who follow it. What is compared of them is brought with it; others read the journal later.
    fields
        By which they are compared too.
    history
        Is told of what is read again.
    recalibrating
        Whether models answer by their maps.

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
    journal = open_journal(directory, reached=reached)
    try:
        snapshots.tidy()
        brought = [
            load_challenger(one, journal, fields, recalibrating=recalibrating)
            for one in _unpromoted(challengers, journal)
        ]
        held = _newest(snapshots, journal, brought)
        model, start = found(journal, held)
        promoted = promoted_from(directory, journal, retire=True)
        tail = replay(model, journal, start, replayed, brought, promoted, history)
        pause = _pause_of(tail, journal)
    except BaseException:
        journal.close()
        raise
    begun = tail.first_ms / 1000
    seconds = max(time.time() - begun, 0.0) if held is None else held[0].age_seconds
    return StoredModel(tail.model, journal, snapshots, pause, tail.nbytes, seconds, brought)


def bring_on(folded: Folded, directory: Path, open_journal: OpenJournal, replayed: Replayed) -> StoredModel:
    """Bring a model on that is in memory already, by the rows that have come since.

    Parameters
    ----------
    folded
        The model as it was in its last role.
    directory, open_journal, replayed
        As for :func:`recover`.

    Raises
    ------
    JournalDivergedError
        Where the journal is not that of what was folded: the model is to be loaded again.
    StorageError
        As for :func:`recover`; the model may have been changed by then, and is to be loaded again too.
    """
    journal = open_journal(directory, reached=folded.position)
    try:
        found = journal.digest_at(folded.position)
        if found != folded.digest:
            raise JournalDivergedError(
                f"{journal.place} has the digest {found.hex()} at position {folded.position}, and what was "
                f"folded here had {folded.digest.hex()}: the model is loaded again"
            )
        model, position = folded.model, folded.position + 1
        folded.is_whole = False
        model.notes["held_since"] = folded.held_since  # what it was loaded with is of another position
        tail = replay(model, journal, position, replayed, history=folded.history)
        pause = _pause_of(tail, journal)
    except BaseException:
        journal.close()
        raise
    snapshots = SnapshotFolder(directory / "snapshots")
    nbytes = folded.tail_bytes + tail.nbytes
    return StoredModel(tail.model, journal, snapshots, pause, nbytes, folded.tail_seconds)


def _pause_of(tail: ReplayEnd, journal: Journal) -> Pause | None:
    """Return the pause at a replay's end; None where there is none."""
    if tail.held_since is None:
        return None
    return pause_since(journal.read, tail.held_since, journal.position + 1)


def _unpromoted(challengers: Sequence[ChallengerPlace], reader: JournalRows) -> list[ChallengerPlace]:
    """Return those that were not promoted: a kill may have left the others beside their champion."""
    gone = promotions_in(reader) if challengers else {}
    return [one for one in challengers if one.origin.id not in gone]


def _newest(
    snapshots: SnapshotFolder, reader: JournalRows, challengers: Sequence[StoredChallenger]
) -> tuple[SnapshotFile, LogisticRegression] | None:
    """Return the newest snapshot from which what challengers are compared with is predicted again.

    Where there is none, it is the newest of all: the comparisons begin anew.
    """
    needed = [one.paired_from for one in challengers if one.paired_from is not None]
    if needed:
        held = snapshots.newest(LogisticRegression.load, say_damaged, until=min(needed))
        whole = reader.base.position == 0 and not start_of(next(reader.read(1))).examples
        if held is not None or whole:
            return held
    return snapshots.newest(LogisticRegression.load, say_damaged)


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
            f"no snapshot can be read, and {reader.place} holds the rows from position {first} only; restore "
            "a snapshot from a backup (journal_retention=all keeps every row)"
        )
    opening = next(reader.read(1), None)
    if opening is None:
        raise SnapshotError(
            f"{reader.place} has no rows, and there is no snapshot; restore both from a backup"
        )
    start = start_of(opening)
    if start.examples:
        raise SnapshotError(
            f"no snapshot can be read, and {reader.place} starts from a trained file; restore its snapshot "
            "from a backup"
        )
    return LogisticRegression.from_settings(start.settings), 1


class ReplayEnd(NamedTuple):
    """What a replay met."""

    held_since: int | None
    """Since when examples are held at its end, if they are."""
    nbytes: int
    """The bytes of the rows' bodies."""
    first_ms: int
    """The time of the first row, in milliseconds since 1970; 0 where there was none."""
    model: LogisticRegression
    """The model at its end: another one after a promotion."""


def replay(
    model: LogisticRegression,
    reader: JournalRows,
    start: int,
    replayed: Replayed,
    challengers: Sequence[StoredChallenger] = (),
    promoted: fold.FindPromoted | None = None,
    history: History | None = None,
) -> ReplayEnd:
    """Apply the rows from `start` to the journal's end, as it is when this begins.

    Parameters
    ----------
    model, reader, start
        The model as the rows before `start` made it, and its journal.
    replayed
        Told how far it is.
    challengers
        Challengers, of which those that are compared are brought to the end with it.
    promoted
        Finds what challengers have become that were promoted.
    history
        Is told of what is read again.
    """
    end = reader.tip.position
    since: int | None = model.notes.get("held_since")
    nbytes = first_ms = 0
    beside = [one for one in challengers if one.paired_from is not None]
    for row in reader.read(min([start, *(one.position + 1 for one in beside)])):
        if row.position > end:  # another process writes
            break
        known: list[tuple[Batch, NDArray[np.float32]]] | None = None
        if row.position >= start:
            known = []
            learned = _add_to(known) if beside else fold.tell_nobody
            apply = partial(fold.apply, model, row, reader.read, learned, promoted)
            model = retold(history, model, row, apply, learns=row.count > 0)
        for one in beside:
            one.follow(row, reader, known)
        if known is None:
            continue
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
    return ReplayEnd(since, nbytes, first_ms, model)


def _add_to(known: list[tuple[Batch, NDArray[np.float32]]]) -> fold.Learned:
    return lambda batch, predicted: known.append((batch, predicted))
