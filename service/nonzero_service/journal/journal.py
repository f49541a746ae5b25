"""The journal: the source of truth, of which a model is a fold.

``append(entries) -> position``, ``read(start)`` and ``truncate(before)`` are the whole of the seam at which
another log can stand in. Everything else is about what a disk can do to it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, Self

import apsw

from nonzero_service.journal.chain import JournalEntry, JournalRow, Tip, chain_entries
from nonzero_service.journal.checkpoint import Checkpointer
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.database import connect, translated
from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalClosedError,
    JournalError,
    JournalFailedError,
    OutcomeUnknownError,
    StorageError,
)
from nonzero_service.journal.keys import KeyIndex, KeyRecord
from nonzero_service.journal.lock import DirectoryLock
from nonzero_service.journal.mark import MarkFile
from nonzero_service.journal.opening import check_journal, make_journal
from nonzero_service.journal.pruning import drop_keys, drop_rows, shrink
from nonzero_service.journal.reader import JournalReader

Durability = Literal["full", "normal"]

KEY_LIFETIME_MS: Final = 24 * 60 * 60 * 1000
"""How long an idempotency key is known, by the journal's clock: a day."""

WAL_LIMIT: Final = 128 * 2**20
"""Bytes of WAL past which the writer waits for it to be moved into the file."""

_BREATH: Final = 0.001
"""Seconds between two steps of pruning, in which a committer that waits gets its turn."""

_log = logging.getLogger(__name__)


class Journal:
    """The journal of one model, opened for writing: one process at a time has it.

    What :meth:`append` returned from is durable. ``durability="full"``: it survives ``kill -9`` and a
    power cut (where the disk honours a flush). ``durability="normal"``: it survives ``kill -9``; a power
    cut can take the newest rows, but never leaves a hole, and takes nothing from before the last
    :meth:`sync`.

    All methods may be called from any thread; appends are done one after another.

    Parameters
    ----------
    directory
        The model's directory; it must exist. An empty one gets a new journal.
    durability
        ``"full"`` or ``"normal"``, as above.
    reached
        A position that the journal must hold: that of the newest snapshot.
    sequence
        For a new journal: the examples that the model has seen before its first row.
    wal_limit
        Bytes of WAL past which the writer waits for it to be moved into the file.
    vfs
        The name of a SQLite VFS to use instead of the operating system's.

    Raises
    ------
    LockedError
        Where another process has the directory.
    JournalTooShortError
        Where the journal ends before its mark or before `reached`; it names both positions and the way out.
        Nothing on disk is changed.
    JournalDamagedError
        Where its last row, its keys or its mark are not what was written. Nothing on disk is changed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability = "full",
        reached: int = 0,
        sequence: int = 0,
        wal_limit: int = WAL_LIMIT,
        vfs: str | None = None,
    ) -> None:
        self.directory = directory
        self.path = directory / "journal.sqlite"
        self._synced = durability == "full"
        self._writing = threading.Lock()
        self._failure: StorageError | None = None
        self._closed = False
        self._index = KeyIndex()
        with ExitStack() as opened:
            self._lock = opened.enter_context(DirectoryLock(directory))
            make_journal(self.path, reached, sequence)
            self._reader = opened.enter_context(JournalReader(directory, vfs=vfs))
            self._tip = check_journal(self._reader, directory / "mark", reached, self._index)
            # A killed process may have left rows that no sync has reached: from here on they are promised.
            self._sync_wal()
            tip = self._tip
            self.clock = Clock(tip.time_ms)
            self._mark = opened.enter_context(
                MarkFile(directory / "mark", tip.position, tip.digest, self._synced)
            )
            self._checkpointer = Checkpointer(self.path, synced=self._synced, limit=wal_limit, vfs=vfs)
            opened.callback(self._checkpointer.close)
            self._connection = connect(self.path, synced=self._synced, vfs=vfs)
            self._connection.set_wal_hook(self._committed)
            opened.pop_all()

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
        DiskFullError, JournalBusyError
            Nothing was written; the journal goes on when there is space, or when it is let go.
        OutcomeUnknownError
            The commit failed half-way. The journal takes no more rows: stop the process; what is on disk
            decides.
        JournalFailedError
            An earlier write failed; nothing of this was written.
        """
        with self._writing:
            self._check_usable()
            tip, rows, keys = chain_entries(entries, self._tip, self.clock.now_ms())
            with self._transaction() as connection:
                connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                if keys:
                    connection.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", keys)
            before, self._tip = self._tip, tip
            self._remember(tip)
            if any(entry.time_ms is not None for entry in entries):
                self._set_clock(before, tip)
            for offset, entry in enumerate(entries, tip.position - len(entries) + 1):
                for record in entry.keys:
                    self._index.add(record.key, offset)
            return tip.position

    def read(self, start: int | None = None) -> Iterator[JournalRow]:
        """Yield rows in order, as :meth:`JournalReader.read` does, beside the writer."""
        return self._reader.read(start)

    def read_part(self, position: int, offset: int, size: int) -> bytes:
        """Return a part of a row's body, as :meth:`JournalReader.read_part` does, beside the writer."""
        return self._reader.read_part(position, offset, size)

    def truncate(self, before: int) -> int:
        """Drop the rows before a position, in small steps between which appends go on; return how many.

        The last row always stays. Space is used again by later rows; where there is more of it than half the
        file (and 64 MB), it is given back to the disk, in steps as small.

        Parameters
        ----------
        before
            The first position to keep.
        """
        dropped = self._in_steps(lambda connection: drop_rows(connection, min(before, self._tip.position)))
        self._in_steps(shrink)
        return dropped

    def lookup(self, key: str) -> KeyRecord | None:
        """Return what is known of an idempotency key; None where it is unknown or expired.

        Keys expire by the journal's clock, the time of its last row, so that a replica or a restart decides
        alike.
        """
        if self._closed:
            raise JournalClosedError(f"{self.path} has been closed")
        for position in self._index.positions(key):
            found = self._reader.find_key(key, position)
            if found is not None:
                time_ms, record = found
                time_ms = self._index.time_of(position, time_ms)
                return record if time_ms > self._tip.time_ms - KEY_LIFETIME_MS else None
        return None

    def expire_keys(self) -> int:
        """Drop the records of expired keys, in small steps; return how many rows' records were dropped."""
        last = 0

        def step(connection: apsw.Connection) -> int:
            nonlocal last
            horizon = self._tip.time_ms - KEY_LIFETIME_MS
            position, latest = self._index.set_back
            dropped, last = drop_keys(connection, horizon, position if latest <= horizon else 0)
            return dropped

        total = self._in_steps(step)
        with self._writing:
            self._index.forget(last)  # only what has been committed
        return total

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
    def first_position(self) -> int:
        """The first position that is held (or the next one to be written, where there are no rows)."""
        return self._reader.base.position + 1

    def digest_at(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes: a snapshot notes it, to be held against it.

        Raises
        ------
        PrunedError, JournalTooShortError
            Where the position is no longer, or not yet, held.
        """
        return self._reader.digest_at(position)

    def sync(self) -> None:
        """Make all rows durable, whatever the durability: before a snapshot that builds on them is made."""
        with self._writing:
            self._check_usable()
            self._sync_wal()

    def checkpoint(self) -> None:
        """Move the WAL into the file as far as can be, now; it otherwise happens by itself."""
        with self._writing:
            self._check_usable()
        self._checkpointer.checkpoint()

    def close(self) -> None:
        """Close the journal, and give the directory back; a second call does nothing.

        After a failure the WAL is left as it is, for the next start to decide.
        """
        with self._writing:
            if self._closed:
                return
            self._closed = True
            with ExitStack() as closing:  # the last one first, and each whatever becomes of the others
                closing.callback(self._lock.release)
                closing.callback(self._mark.close)
                closing.callback(self._connection.close)
                closing.callback(self._reader.close)
                closing.callback(self._checkpointer.close)
                if self._failure is not None or self._checkpointer.failure is not None:
                    self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise JournalClosedError(f"{self.path} has been closed")
        failure = self._failure or self._checkpointer.failure
        if failure is not None and not isinstance(failure, DiskFullError):
            raise JournalFailedError(
                f"{self.path} takes no more rows, because an earlier write failed ({failure}); start the "
                "process anew"
            ) from failure

    def _set_clock(self, before: Tip, tip: Tip) -> None:
        """Go on from the time that the last row sets."""
        self.clock.set(tip.time_ms)
        if tip.time_ms < before.time_ms:
            self._index.set_back = (before.position, tip.time_ms)

    def _committed(self, _: apsw.Connection, __: str, frames: int) -> int:
        self._checkpointer.committed(frames)
        return apsw.SQLITE_OK

    def _sync_wal(self) -> None:
        # Only the WAL: closing a second descriptor of the database itself would drop SQLite's locks on it.
        try:
            descriptor = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # all of it has been moved into the file
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._failure = OutcomeUnknownError(
                f"{self.path}-wal could not be synced: {error}; start the process anew"
            )
            raise self._failure from error
        finally:
            os.close(descriptor)

    def _in_steps(self, step: Callable[[apsw.Connection], int]) -> int:
        """Repeat a step, each in a transaction of its own, until it finds nothing to do; return the sum."""
        total = 0
        while True:
            with self._writing:
                self._check_usable()
                with self._transaction() as connection:
                    done = step(connection)
            if not done:
                return total
            total += done
            time.sleep(_BREATH)

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        """One write transaction: all of it, or none, or a journal that takes no more."""
        connection = self._connection
        try:
            self._checkpointer.wait_for_room()
            with translated(self.path, connection, committing=True):
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except (DiskFullError, JournalBusyError):
            self._roll_back()
            raise
        except BaseException as error:
            self._failure = error if isinstance(error, StorageError) else JournalError(repr(error))
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._failure = JournalError(f"{self.path}: rolling back failed: {error}")

    def _remember(self, tip: Tip) -> None:
        """Write the mark. The rows are durable already, so a mark that cannot be written only lags."""
        try:
            self._mark.write(tip.position, tip.digest, self._synced)
        except OSError as error:
            _log.warning("the mark of %s could not be written, and lags: %s", self.path, error)
