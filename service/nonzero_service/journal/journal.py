"""The journal: the source of truth, of which a model is a fold.

``append(entries) -> position``, ``read(start)`` and ``truncate(before)`` are the heart of the seam at which
one log stands or another: a file of SQLite (:mod:`~nonzero_service.journal.sqlite`), or a database of
PostgreSQL that several nodes share (:mod:`~nonzero_service.journal.postgres`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol, Self

from nonzero_service.journal.chain import JournalEntry, JournalRow, Tip
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.errors import JournalError
from nonzero_service.journal.keys import KeyIndex, KeyRecord
from nonzero_service.journal.reader import JournalRows

KEY_LIFETIME_MS: Final = 24 * 60 * 60 * 1000
"""How long an idempotency key is known, by the journal's clock: a day."""


class Journal(JournalRows):
    """The journal of one model, as whoever opens the model has it.

    What :meth:`append` returned from is durable. All methods may be called from any thread; what they do is
    done one after another.
    """

    clock: Clock
    """What rows are stamped with."""
    is_shared: ClassVar[bool] = False
    """Whether several nodes read it: what they all need stays, and not what one of them does."""
    _index: KeyIndex
    _tip: Tip  # as it was known last: nothing is asked

    @abstractmethod
    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Write rows, and what is known of their keys, in one transaction; return the last row's position.

        Parameters
        ----------
        entries
            At least one. They get the next positions and sequences, in order.

        Returns
        -------
        int
            The position of the last; the first has ``position - len(entries) + 1``.

        Raises
        ------
        DiskFullError, JournalBusyError, JournalUnreachableError
            Nothing was written; the journal goes on when there is space, when it is let go, or when it is
            reached again.
        OutcomeUnknownError
            The commit failed half-way. The journal takes no more rows: what is there after another start
            decides.
        FencedError, JournalDivergedError
            Somebody else writes, or has written; nothing of this was written, and nothing more will be.
        JournalReadOnlyError
            It was opened to be read; nothing was written.
        JournalFailedError
            An earlier write failed; nothing of this was written.
        """

    def confirm(self) -> None:
        """Return where nobody else has written: what is known here is all that there is.

        Before anybody is told that something is not there. What is appended need not be confirmed.

        Raises
        ------
        JournalError
            As for :meth:`append`: somebody else has written, or may have.
        """

    def advance(self, row: JournalRow) -> None:
        """Go on behind a row that another process has written and that was read here: it is the last one now.

        Raises
        ------
        JournalError
            Where rows are written here.
        """
        raise JournalError(
            f"{self.place} is written here: position {row.position} cannot come from elsewhere"
        )

    @abstractmethod
    def truncate(self, before: int) -> int:
        """Drop the rows before a position, in small steps between which appends go on; return how many.

        The last row always stays.

        Parameters
        ----------
        before
            The first position to keep.
        """

    def lookup(self, key: str) -> KeyRecord | None:
        """Return what is known of an idempotency key; None where it is unknown or expired.

        Keys expire by the journal's clock, the time of its last row, so that a replica or a restart decides
        alike.
        """
        self._index_on()
        for position in self._index.positions(key):
            found = self.find_key(key, position)
            if found is not None:
                time_ms, record = found
                time_ms = self._index.time_of(position, time_ms)
                return record if time_ms > self.time_ms - KEY_LIFETIME_MS else None
        return None

    @abstractmethod
    def expire_keys(self) -> int:
        """Drop the records of expired keys, in small steps; return how many rows' records were dropped."""

    @property
    def position(self) -> int:
        """The last position; 0 before the first."""
        return self._tip.position

    @property
    def next_sequence(self) -> int:
        """The examples up to and with the last row: the next row's ``first_sequence``."""
        return self._tip.sequence

    @property
    def time_ms(self) -> int:
        """The time of the last row, in milliseconds since 1970; :attr:`clock` has gone on since."""
        return self._tip.time_ms

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The bytes that it takes, of which nobody is asked."""

    @property
    def prunable_bytes(self) -> int:
        """The bytes that may be of rows which nobody needs any more, at most."""
        return self.nbytes

    @property
    def first_position(self) -> int:
        """The first position that is held (or the next one to be written, where there are no rows)."""
        return self.base.position + 1

    def sync(self) -> None:
        """Make all rows durable, whatever the durability: before a snapshot that builds on them is made."""

    def checkpoint(self) -> None:
        """Tidy up now what is otherwise tidied by itself."""

    def hold(self) -> None:
        """Keep open what is open until it is closed: its directory is to get another name."""

    def release(self) -> None:
        """Keep it open no longer: the directory has its name still."""

    def rest(self) -> None:
        """Close what nobody needs until something comes."""

    @abstractmethod
    def close(self) -> None:
        """Close the journal; a second call does nothing."""

    def _index_on(self) -> None:
        """Index the keys that have come since, where others write.

        Raises
        ------
        JournalClosedError
            Where the journal is closed.
        """

    def _note(self, entries: Sequence[JournalEntry], before: Tip, tip: Tip) -> None:
        """Take note of rows that are durable now: of their keys, and of the time that they set."""
        if any(entry.time_ms is not None for entry in entries):
            self._set_clock(before, tip)
        for position, entry in enumerate(entries, before.position + 1):
            for record in entry.keys:
                self._index.add(record.key, position)

    def _set_clock(self, before: Tip, tip: Tip) -> None:
        """Go on from the time that the last row sets."""
        self.clock.set(tip.time_ms)
        if tip.time_ms < before.time_ms:
            self._index.set_back = (before.position, tip.time_ms)

    def _expired(self) -> tuple[int, int]:
        """Return the time up to which keys have expired, and a position up to which all have."""
        horizon = self.time_ms - KEY_LIFETIME_MS
        position, latest = self._index.set_back
        return horizon, position if latest <= horizon else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OpenJournal(Protocol):
    """What opens the journal of a model."""

    def __call__(self, directory: Path, *, reached: int = 0) -> Journal:
        """Open the journal of a model.

        Parameters
        ----------
        directory
            The model's.
        reached
            A position that the journal must hold: that of the newest snapshot there.

        Raises
        ------
        StorageError
            Where it ends too early, is damaged, or cannot be had. Nothing is changed.
        """


class JournalStore(Protocol):
    """Where the journals of a process's models are kept; it opens each. Used by any thread."""

    def open(self, directory: Path, *, reached: int = 0) -> Journal:
        """Open the journal of a model, as an :class:`OpenJournal` does."""

    @property
    def is_crowded(self) -> bool:
        """Whether so many are open that those that are idle are to be closed."""

    def close_idle(self) -> None:
        """Close what was not used for some time; it is opened again when it is needed."""

    def close(self) -> None:
        """End what works for them all; the journals are closed by whoever has them."""
