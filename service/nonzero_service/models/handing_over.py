"""Handing over: a model that changes its role goes on from what it has folded."""

from __future__ import annotations

from pathlib import Path

from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.models.replica import Folded
from nonzero_service.models.served import ServedModel
from nonzero_service.models.snapshot_files import write_snapshot


def folded(served: ServedModel) -> Folded | None:
    """Return what is handed over of a model whose learner is closed; None where it is to be loaded again."""
    learner, applier = served.learner, served.learner.applier
    if not applier.is_whole:
        return None
    return Folded(
        learner.model,
        applier.position,
        applier.digest,
        applier.held_since,
        served.history.history,
        served.slices,
        served.names,
        served.fields,
        served.snapshots.grown_bytes,
        served.snapshots.age_seconds,
    )


def save_in_hand(hand: Folded, directory: Path) -> bool:
    """Take a snapshot of a model that is in no role; return whether there was anything to save.

    Raises
    ------
    StorageError, OSError
        Where it cannot be written; the older ones stay.
    """
    folder = SnapshotFolder(directory / "snapshots")
    kept = folder.all()
    if not hand.is_whole or not hand.model.examples or (kept and kept[0].position >= hand.position):
        return False
    packed = hand.model.packed(copied=False)
    write_snapshot(folder, hand.position, hand.digest, packed, hand.held_since)
    folder.prune()
    return True
