"""The journal in a file of SQLite. All that is more than the seam is about what a disk can do to it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, cast

import apsw

from nonzero_service.journal.chain import JournalEntry, Tip, chain_entries
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.descriptors import SHORTAGE, shortage_message
from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalClosedError,
    JournalError,
    JournalFailedError,
    LockedError,
    NoDescriptorsError,
    OutcomeUnknownError,
    StorageError,
)
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.lock import DirectoryLock
from nonzero_service.journal.sqlite.checkpoint import Checkpointer
from nonzero_service.journal.sqlite.database import at_rest, connect, connect_at_rest, translated
from nonzero_service.journal.sqlite.mark import MarkFile
from nonzero_service.journal.sqlite.moment import RESTORE, SqliteMoment, one_moment
from nonzero_service.journal.sqlite.open_journals import OpenJournals
from nonzero_service.journal.sqlite.opening import check_journal, make_journal
from nonzero_service.journal.sqlite.pruning import drop_keys, drop_rows, shrink
from nonzero_service.turns import Turns

Durability = Literal["full", "normal"]

WAL_LIMIT: Final = 128 * 2**20
"""Bytes of WAL past which the writer waits for it to be moved into the file."""

_BREATH: Final = 0.001
"""Seconds between two steps of pruning, in which a committer that waits gets its turn."""

_log = logging.getLogger(__name__)


class SqliteJournal(Journal):
    """The journal of one model, opened for writing: one process at a time has it.

    What :meth:`append` returned from is durable. ``durability="full"``: it survives ``kill -9`` and a
    power cut (where the disk honours a flush). ``durability="normal"``: it survives ``kill -9``; a power
    cut can take the newest rows, but never leaves a hole, and takes nothing from before the last
    :meth:`sync`.

    All methods may be called from any thread; what they do is done one after another. Its files, and the
    right to the directory with them, are taken when they are needed, and let go when they are idle and others
    need them (:mod:`nonzero_service.journal.sqlite.open_journals`).

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
    among
        The journals that are open in this process, to be one of them; None: it is alone, and stays open.
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
        among: OpenJournals | None = None,
        vfs: str | None = None,
    ) -> None:
        self.directory = directory
        self.path = directory / "journal.sqlite"
        """The journal's file."""
        self.place, self.restore = str(self.path), RESTORE
        self._synced = durability == "full"
        self._vfs = vfs
        self._among = among
        self._turns = Turns("journal-checkpoints", 1) if among is None else among.checkpoints
        self._writing = threading.Lock()
        self._failure: StorageError | None = None
        self._closed = False
        self._checked = False  # whether what is there is what was written
        self._held = True  # until it is open
        self._index = KeyIndex()
        self._lock: DirectoryLock | None = None
        self._connection: apsw.Connection | None = None
        self._resting: apsw.Connection | None = None  # reads a file that nobody has written to since a stop
        self._mark: MarkFile | None = None
        self._checkpointer = Checkpointer(
            self.path, self._turns, synced=self._synced, limit=wal_limit, vfs=vfs
        )
        try:
            self._turns.start()
            if among is not None:
                among.make_room(self)
            self._lock = DirectoryLock(directory)
            make_journal(self.path, reached, sequence)
            if among is not None and at_rest(self.path):
                self._resting = connect_at_rest(self.path, vfs)
            else:
                self._connect()
            self._tip = tip = check_journal(self, directory / "mark", reached, self._index)
            self.clock = Clock(tip.time_ms)
            if self._connection is not None:
                # A killed process may have left rows that no sync has reached: now they are promised.
                self._sync_wal()
                self._mark = MarkFile(directory / "mark", tip.position, tip.digest, self._synced)
            self._checkpointer.measure()
            self._checked, self._held = True, False
        except BaseException:
            self.close()
            raise

    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Write rows, and what is known of their keys, in one transaction; return the last row's position."""
        with self._using() as connection:
            self._check_usable()
            tip, rows, keys = chain_entries(entries, self._tip, self.clock.now_ms())
            with self._transaction(connection):
                connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                if keys:
                    connection.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", keys)
            before, self._tip = self._tip, tip
            self._remember(tip)
            self._note(entries, before, tip)
            return tip.position

    def truncate(self, before: int) -> int:
        """Drop the rows before a position, in small steps between which appends go on; return how many.

        The last row always stays. Space is used again by later rows; where there is more of it than half the
        file (and 64 MB), it is given back to the disk, in steps as small.
        """
        dropped = self._in_steps(lambda connection: drop_rows(connection, min(before, self._tip.position)))
        self._in_steps(shrink)
        return dropped

    def expire_keys(self) -> int:
        """Drop the records of expired keys, in small steps; return how many rows' records were dropped."""
        if not len(self._index):
            return 0
        last = 0

        def step(connection: apsw.Connection) -> int:
            nonlocal last
            dropped, last = drop_keys(connection, *self._expired())
            return dropped

        total = self._in_steps(step)
        with self._writing:
            self._index.forget(last)  # only what has been committed
        return total

    @property
    def nbytes(self) -> int:
        """The bytes of its file and its WAL; the disk is not asked for them."""
        return self._checkpointer.nbytes

    @property
    def prunable_bytes(self) -> int:
        """The bytes of its file."""
        return self.path.stat().st_size

    @property
    def tip(self) -> Tip:
        """Where the journal ends."""
        return self._tip if self._checked and self._failure is None else super().tip

    def digest_at(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes; that of the end without a look into the file.

        Raises
        ------
        PrunedError, JournalTooShortError
            Where the journal no longer, or not yet, holds it.
        """
        if self._checked and self._failure is None and self._tip.position == position:
            return self._tip.digest
        return super().digest_at(position)

    def sync(self) -> None:
        """Make all rows durable, whatever the durability: before a snapshot that builds on them is made."""
        with self._writing:
            self._check_usable()
            if not self._synced:  # else every commit was synced
                self._sync_wal()

    def checkpoint(self) -> None:
        """Move the WAL into the file as far as can be, now; it otherwise happens by itself."""
        with self._using() as connection:
            self._check_usable()
            self._checkpointer.checkpoint(connection)

    def hold(self) -> None:
        """Keep the files open until it is closed: its directory is to get another name."""
        with self._using():
            self._held = True

    def release(self) -> None:
        """Keep them open no longer: the directory has its name still."""
        self._held = False

    def rest(self) -> None:
        """Close the files where nothing was written since a stop: nobody needs them until something comes."""
        with self._writing:
            if self._among is not None and self._resting is not None:
                self._among.forget(self)
                self._let_go()

    def let_go(self) -> bool:
        """Close the files, unless they are in use just now; return whether they are closed.

        They are opened again when they are needed. The WAL is moved into the file before. Where there is no
        space for that, or an earlier write has failed, it is left as it is.
        """
        if not self._writing.acquire(blocking=False):
            return False
        try:
            if self._held:
                return False
            self._let_go()
        finally:
            self._writing.release()
        return True

    def close(self) -> None:
        """Close the journal, and give the directory back; a second call does nothing.

        After a failure the WAL is left as it is, for the next start to decide.
        """
        with self._writing:
            self._closed = True
            if self._among is not None:
                self._among.forget(self)
            try:
                self._let_go()
                self._checkpointer.close()
            finally:
                if self._among is None:
                    self._turns.close()

    def _index_on(self) -> None:
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalClosedError(f"{self.path} has been closed")

    def _check_usable(self) -> None:
        self._check_open()
        failure = self._failure or self._checkpointer.failure
        if failure is not None and not isinstance(failure, DiskFullError):
            raise JournalFailedError(
                f"{self.path} takes no more rows, because an earlier write failed ({failure}); start the "
                "process anew"
            ) from failure

    @contextmanager
    def _using(self) -> Iterator[apsw.Connection]:
        """Have the files open, and nobody else use them meanwhile."""
        with self._writing:
            self._check_open()
            if self._among is not None:
                self._among.make_room(self)
            yield self._connection or self._open()

    @contextmanager
    def _reading(self) -> Iterator[SqliteMoment]:
        with self._writing:
            self._check_open()
            if self._resting is not None:  # there is one moment only
                with translated(self.path, self._resting):
                    yield SqliteMoment(self._resting)
                return
        with self._using() as connection, one_moment(self.path, connection) as moment:
            yield moment

    def _open(self) -> apsw.Connection:
        """Open the files again, which were let go.

        Raises
        ------
        JournalBusyError
            Where another process has taken the directory meanwhile: nothing was written.
        JournalFailedError
            Where rows were written meanwhile that this process knows nothing of.
        """
        self._checked = False
        self._end_rest()
        try:
            if self._lock is None:
                try:
                    self._lock = DirectoryLock(self.directory)
                except LockedError as error:
                    raise JournalBusyError(f"{error}; nothing was written") from error
            connection = self._connect()
            with one_moment(self.path, connection) as moment:
                found = moment.tip
            if found != self._tip:
                self._failure = JournalFailedError(
                    f"{self.path} ends at position {found.position}, and not at {self._tip.position} as it "
                    "did: something else has written there; start the process anew"
                )
                raise self._failure
            self._mark = MarkFile(self.directory / "mark", found.position, found.digest, self._synced)
            self._checked = True
            return connection
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError) and error.errno in SHORTAGE:
                raise NoDescriptorsError(shortage_message(f"{self.path} cannot be opened")) from error
            raise

    def _connect(self) -> apsw.Connection:
        connection = self._connection = connect(self.path, synced=self._synced, vfs=self._vfs)
        connection.set_wal_hook(self._committed)
        return connection

    def _end_rest(self) -> None:
        """Read what is at rest no more: it is to be written to, or let go."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.close()

    def _let_go(self) -> None:
        """Close what is open, the last one first, and each whatever becomes of the others."""
        connection, self._connection = self._connection, None
        mark, self._mark = self._mark, None
        lock, self._lock = self._lock, None
        with ExitStack() as closing:
            closing.callback(self._checkpointer.measure)
            if lock is not None:
                closing.callback(lock.release)
            closing.callback(self._end_rest)
            if mark is not None:
                closing.callback(mark.close)
            if connection is not None:
                closing.callback(connection.close)
                if not self._is_moved(connection):
                    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            closing.callback(self._checkpointer.let_go)

    def _is_moved(self, connection: apsw.Connection) -> bool:
        """Move the WAL into the file before it is closed; return whether that may be, and was done."""
        if not self._checked or self._failure is not None or self._checkpointer.failure is not None:
            return False
        try:
            self._checkpointer.checkpoint(connection)
        except StorageError as error:  # it is told to the next append
            _log.error("a checkpoint of %s failed: %s", self.path, error)
            return False
        return True

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
            if os.fstat(descriptor).st_size:  # SQLite makes an empty one where there is none
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
            with self._using() as connection:
                self._check_usable()
                with self._transaction(connection):
                    done = step(connection)
            if not done:
                return total
            total += done
            time.sleep(_BREATH)

    @contextmanager
    def _transaction(self, connection: apsw.Connection) -> Iterator[None]:
        """One write transaction: all of it, or none, or a journal that takes no more."""
        try:
            self._checkpointer.wait_for_room()
            with translated(self.path, connection, committing=True):
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
        except (DiskFullError, JournalBusyError):
            self._roll_back(connection)
            raise
        except BaseException as error:
            self._failure = error if isinstance(error, StorageError) else JournalError(repr(error))
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: apsw.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._failure = JournalError(f"{self.path}: rolling back failed: {error}")

    def _remember(self, tip: Tip) -> None:
        """Write the mark. The rows are durable already, so a mark that cannot be written only lags."""
        try:
            cast(MarkFile, self._mark).write(tip.position, tip.digest, self._synced)
        except OSError as error:
            _log.warning("the mark of %s could not be written, and lags: %s", self.path, error)
