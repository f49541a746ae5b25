"""The journals of a process, each a file in its model's directory."""

from __future__ import annotations

from pathlib import Path

from nonzero_service.journal.sqlite.journal import Durability, SqliteJournal
from nonzero_service.journal.sqlite.open_journals import FEWEST, OpenJournals


class SqliteJournals:
    """Opens the journals of models; a :class:`~nonzero_service.journal.journal.JournalStore`.

    Parameters
    ----------
    durability
        As for :class:`~nonzero_service.journal.sqlite.journal.SqliteJournal`.
    """

    def __init__(self, durability: Durability = "full") -> None:
        self.opened = OpenJournals()
        """Those that are open."""
        self._durability = durability

    def open(self, directory: Path, *, reached: int = 0) -> SqliteJournal:
        """Open the journal of a model; an empty directory gets a new one."""
        return SqliteJournal(directory, durability=self._durability, reached=reached, among=self.opened)

    @property
    def is_crowded(self) -> bool:
        """Whether so many are open that those that are idle are to be closed."""
        return len(self.opened) > FEWEST

    def close_idle(self) -> None:
        """Close what was not used for some seconds, but for a few."""
        self.opened.close_idle()

    def close(self) -> None:
        """End the threads that work for them all."""
        self.opened.close()
