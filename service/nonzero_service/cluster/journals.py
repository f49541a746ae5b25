"""The journals of a node's models, each in the database that all nodes share."""

from __future__ import annotations

from pathlib import Path

from nonzero import SnapshotError
from nonzero_service.cluster.caching import CachedIdentity
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.journal import PostgresJournal


class ClusterJournals:
    """Opens journals; a :class:`~nonzero_service.journal.journal.JournalStore`.

    Parameters
    ----------
    database
        Where they are.
    """

    is_crowded = False
    """Whether so many are open that some are to be closed: one that is not used holds nothing open."""

    def __init__(self, database: Database) -> None:
        self.term: int | None = None
        """Under which those write that are opened from now on; None: they only read."""
        self._database = database

    def open(self, directory: Path, *, reached: int = 0) -> PostgresJournal:
        """Open the journal of a model.

        Raises
        ------
        SnapshotError
            Where the directory is none of a cluster's model.
        StorageError
            Where it ends too early, is damaged, or cannot be reached.
        """
        known = CachedIdentity.of(directory)
        if known is None:
            raise SnapshotError(f"{directory} does not say of which model of the cluster it is; move it away")
        return PostgresJournal(self._database, known.id, directory, term=self.term, reached=reached)

    def close_idle(self) -> None:
        """Close nothing."""

    def close(self) -> None:
        """Close nothing: who has made the database closes it."""
