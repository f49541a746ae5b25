"""Rebuilding a model from its journal, with a table of another size.

Neither a batch nor the journal depends on the size of the table, so the journal's rows give the model that
there would be if it had been made with other bits.
"""

from __future__ import annotations

from pathlib import Path

from nonzero import LogisticRegression, SnapshotError
from nonzero_service.journal.errors import PrunedError
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.promotions import refolded
from nonzero_service.models.recovery import Replayed, replay
from nonzero_service.writer.entries import start_of


def rebuild(directory: Path, bits: int, replayed: Replayed) -> LogisticRegression:
    """Fold a whole kept journal into a table of ``2**bits`` slots; nothing on disk is changed.

    Parameters
    ----------
    directory
        The model's; a service may be running on it.
    bits
        log2 of the number of slots.
    replayed
        Told how far it is.

    Raises
    ------
    PrunedError
        Where the first rows are no longer held; it names the first position that is.
    SnapshotError
        Where the journal begins after a trained file, whose clicks it does not have.
    BodyError
        Where an example was given by slots that the smaller table does not have; it names the position.
    """
    with JournalReader(directory) as reader:
        held = reader.base.position + 1
        if held > 1:
            raise PrunedError(
                f"{reader.place} holds the rows from position {held} only, and a refolding needs them from "
                "position 1: serve with --journal-retention all to keep them",
                held,
            )
        start = start_of(next(reader.read(1)))
        if start.examples:
            raise SnapshotError(
                f"{reader.place} begins after a trained file of {start.examples} examples, which it does not "
                "hold: fold from the files that it was trained on"
            )
        model = LogisticRegression.from_settings({**start.settings, "bits": bits})
        return replay(model, reader, 2, replayed, (), refolded({"bits": bits}, reader)).model
