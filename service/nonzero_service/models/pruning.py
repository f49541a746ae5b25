"""Pruning: what a new snapshot makes useless is given up, older snapshots and rows of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from nonzero import SnapshotError
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.models.dependents import Dependents
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.settings import Settings

LARGE: Final = 1 << 22
"""Bytes of a journal that may be of rows which nobody needs from one start to the next."""


class Pruning:
    """Gives up what no start of a model needs, nor anybody who follows it. Used by any thread.

    Parameters
    ----------
    name
        The model's, for the log.
    stored
        The model and what is kept of it on disk.
    settings
        They say which rows of the journal stay.
    dependents
        What stays beside that.
    """

    def __init__(self, name: str, stored: StoredModel, settings: Settings, dependents: Dependents) -> None:
        self._name = name
        self._journal = stored.journal
        self._snapshots = stored.snapshots
        self._keeps_rows = settings.journal_retention == "all"
        self._dependents = dependents

    def prune(self, last: bool) -> None:
        """Give up older snapshots and the rows that no start needs; when all ends, only what is much.

        Of a journal that nodes share no rows are given up here: others may need them.
        """
        journal, snapshots = self._journal, self._snapshots
        pruned = snapshots.prune(also=self._dependents.paired_from()) is not None
        if pruned:
            self._dependents.gave_up(snapshots.all())
        if journal.is_shared:
            return
        if not last or journal.prunable_bytes >= LARGE:
            if pruned and not self._keeps_rows:
                self._truncate(snapshots.all())
            journal.expire_keys()

    def _truncate(self, kept: Sequence[SnapshotFile]) -> None:
        """Give up the rows that a start from any of these snapshots does not need, nor anybody else."""
        also = self._dependents.needed_from()
        try:
            first = min([*map(needed_from, kept), *([] if also is None else [also])])
        except SnapshotError as error:
            structlog.get_logger("snapshots").error(
                "a snapshot is damaged; no rows are given up until another has its place",
                model=self._name,
                reason=str(error),
            )
        else:
            self._journal.truncate(first)
