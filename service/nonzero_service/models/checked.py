"""What a verification found of one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from nonzero import LogisticRegression, SnapshotError
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFile, snapshots_in
from nonzero_service.journal.verification import Verified
from nonzero_service.models.snapshot_files import check_snapshot
from nonzero_service.writer.origins import PartitionRead, partitions_of

Told = Callable[[str, int, int], object]
"""Told what is going on, how far it is, and where it ends."""


class ExpectedFold(NamedTuple):
    """What a fold must be at the position of a snapshot."""

    path: Path
    """The snapshot's."""
    digest: str
    sources: dict[str, Any] | None
    """What it notes of how far topics were read."""

    @classmethod
    def of(cls, snapshot: SnapshotFile, model: LogisticRegression) -> Self:
        """Return what a snapshot's model demands."""
        return cls(snapshot.path, model.digest(), model.notes.get(SOURCES_NOTE))


@dataclass
class Checked:
    """What was found of one model."""

    directory: Path
    journal: Verified | None = None
    """The journal, where its chain holds."""
    snapshots: list[int] = field(default_factory=list)
    """The positions of the snapshots that are whole, the oldest first."""
    folded_from: int | None = None
    """The position from which the rows were folded: 0 for nothing; None where they were not."""
    identical: list[int] = field(default_factory=list)
    """The positions at which the fold was the snapshot, to the bit."""
    digest: str | None = None
    """The model's digest after the last row."""
    sources: Sequence[PartitionRead] = ()
    """How far topics were read there; each run of messages began where the one before it ended."""
    faults: list[str] = field(default_factory=list)
    """What is wrong: a sentence each."""
    refused: str | None = None
    """Why a start would be refused; None where it would come up."""

    def hold_against(
        self, folded: LogisticRegression, position: int, expected: ExpectedFold, rows: str
    ) -> None:
        """Note whether a fold is the snapshot that was taken at its position.

        Parameters
        ----------
        folded, position
            The model, and the last row that was folded into it.
        expected
            What the snapshot is.
        rows
            Whose rows they are, for the fault.
        """
        path, digest, sources = expected
        if folded.digest() != digest:
            self.faults.append(f"{path} is not the fold of {rows}: {_difference(folded, path)}")
        elif folded.notes.get(SOURCES_NOTE) != sources:
            self.faults.append(
                f"{path} is not the fold of {rows}: {_other_sources(partitions_of(folded.notes), sources)}"
            )
        else:
            self.identical.append(position)


def whole_snapshots(
    reader: JournalRows, checked: Checked, told: Told
) -> Iterator[tuple[SnapshotFile, LogisticRegression]]:
    """Yield each snapshot that is whole and of the journal's history, the oldest first; note the others.

    Parameters
    ----------
    reader
        The journal.
    checked
        Takes what is found.
    told
        Told how far it is.
    """
    for snapshot in reversed(snapshots_in(checked.directory / "snapshots")):
        told("reading the snapshots", len(checked.snapshots), len(checked.snapshots) + 1)
        try:
            model = LogisticRegression.load(snapshot.path)
            check_snapshot(reader, snapshot, model)
        except SnapshotError as error:
            checked.faults.append(str(error))
            continue
        checked.snapshots.append(snapshot.position)
        yield snapshot, model


def _other_sources(folded: Sequence[PartitionRead], noted: dict[str, Any] | None) -> str:
    """Say in what a snapshot's note of sources differs from the fold's."""
    stored = partitions_of({SOURCES_NOTE: noted})
    for one in (*folded, *stored):
        if one not in stored or one not in folded:
            said, place = ("the rows", "it does not") if one in folded else ("it", "the rows do not")
            return (
                f"{said} say that partition {one.partition} of the topic {one.topic!r} (id {one.topic_id}) "
                f"was read up to {one.next}, of {one.messages} messages, and {place}"
            )
    return "the event time that it says was reached is another"


def _difference(folded: LogisticRegression, path: Path) -> str:
    """Say in what a snapshot differs from the fold."""
    stored = LogisticRegression.load(path)
    if stored.settings != folded.settings:
        return f"its settings are {stored.settings}, not {folded.settings}"
    if stored.examples != folded.examples:
        return f"it has learned from {stored.examples} examples, not {folded.examples}"
    rows = np.flatnonzero((stored.table.rows != folded.table.rows).any(axis=1))
    if rows.size:
        return f"{rows.size} of {len(stored.table.rows)} rows of its table differ, slot {rows[0]} first"
    return "its table is the same, its mixture, scales or progressive figures are not"
