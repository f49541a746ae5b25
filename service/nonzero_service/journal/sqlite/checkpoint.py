"""Moving the WAL into the journal's file, beside the writer, by another thread and another connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalError,
    NoDescriptorsError,
    StorageError,
)
from nonzero_service.journal.sqlite.database import PAGE_SIZE, connect, translated
from nonzero_service.turns import Turn, Turns

_EVERY: Final = 16 * 2**20
_EVERY_LATE: Final = 2**20
_LATE: Final = 0.75
_FRAME: Final = PAGE_SIZE + 24
_HEAD: Final = 32
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.001

_log = logging.getLogger(__name__)


class Checkpointer:
    """Passive checkpoints, one for each 16 MB of WAL, and a bound on the WAL's size.

    In the last quarter of that they are more frequent, so that there is little left to wait for at the end,
    and perhaps nothing at a moment when no commit is under way.

    A passive checkpoint never blocks the writer, and so never catches up with one that keeps writing: the WAL
    would grow for ever. Past `limit` the writer therefore waits until all of the WAL is in the file; its next
    transaction then begins the WAL anew. A reader that does not let go (a shell with an open transaction)
    makes the writer wait five seconds, and doubles the limit until the WAL has been reset.

    Parameters
    ----------
    path
        The journal file.
    turns
        The threads that checkpoint.
    synced
        As for :func:`~nonzero_service.journal.sqlite.database.connect`.
    limit
        The WAL's size, in bytes, past which the writer waits.
    vfs
        The name of a SQLite VFS to use instead of the operating system's.
    """

    def __init__(self, path: Path, turns: Turns, *, synced: bool, limit: int, vfs: str | None = None) -> None:
        self._path = path
        self._limit = self._usual_limit = limit
        self._changed = threading.Condition()
        self._moving = threading.Lock()
        self._written = 0  # frames in the WAL, of which
        self._moved = 0  # these are in the file as well
        self._begun = 0  # how often it was begun anew
        self._largest = 0  # frames that it has had room for since it was made
        self._measured = (0, 0)  # bytes of the file and of the WAL, when they were last looked at
        self._awaited = False
        self.failure: StorageError | None = None
        """What stopped the checkpoints; None while they work."""
        self._open: Callable[[], apsw.Connection] = lambda: connect(path, synced=synced, vfs=vfs)
        self._connection: apsw.Connection | None = None
        self._turn = Turn(turns, self._move, self._failed)

    @property
    def nbytes(self) -> int:
        """The bytes of the journal's file and of its WAL, which is not cut when it is begun anew.

        Nothing is asked of the disk: the file grows when the WAL is moved into it, and is looked at then.
        """
        file, wal = self._measured
        return file + max(wal, _HEAD + self._largest * _FRAME if self._largest else 0)

    def measure(self) -> None:
        """Look how large the files are."""
        file, wal = (_size(self._path.with_name(self._path.name + suffix)) for suffix in ("", "-wal"))
        self._measured = file, wal

    def committed(self, frames: int) -> None:
        """Take note of a commit, after which the WAL has so many frames."""
        with self._changed:
            self._largest = max(self._largest, frames)
            if frames < self._written:
                self._begun += 1
                self._moved, self._limit = 0, self._usual_limit
            self._written = frames
            if not self._is_due():
                return
        self._turn.call()

    def wait_for_room(self) -> None:
        """Return when the WAL is below its limit, or all of it is in the file.

        Raises
        ------
        DiskFullError
            Where there is no space to move it to.
        """
        with self._changed:
            if self._written * _FRAME < self._limit:
                return
            self.failure = None if isinstance(self.failure, DiskFullError) else self.failure
            deadline = time.monotonic() + _PATIENCE
            self._awaited = True
            self._turn.call()
            while self._moved < self._written and self.failure is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    self._awaited = False
                    self._limit = 2 * self._written * _FRAME
                    _log.warning(
                        "a reader keeps the WAL of %s from being reset at %d frames",
                        self._path,
                        self._written,
                    )
                    return
                self._changed.wait(remaining)
            self._awaited = False
            if isinstance(self.failure, DiskFullError):
                raise DiskFullError(str(self.failure)) from self.failure

    def checkpoint(self, connection: apsw.Connection | None = None) -> None:
        """Move what can be moved now, in the caller's thread.

        Parameters
        ----------
        connection
            By which; None: by one that is opened for it, beside the writer, and kept.

        Raises
        ------
        StorageError
            What SQLite failed with.
        """
        try:
            with self._moving:
                with self._changed:
                    written, begun = self._written, self._begun
                if connection is None and not written:  # it has been let go
                    return
                connection = connection or self._own()
                with translated(self._path, connection):
                    frames, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self.measure()
        except (JournalBusyError, NoDescriptorsError):
            return  # another process moves it; or it is tried again
        except StorageError as error:
            with self._changed:
                self.failure = error
                self._changed.notify_all()
            raise
        with self._changed:
            # Not where it was begun anew meanwhile: the commit that did so has told, or, with fewer frames
            # than there were, is about to.
            if begun == self._begun and frames >= written:
                self._moved = moved
            if isinstance(self.failure, DiskFullError):
                self.failure = None
            self._changed.notify_all()

    def let_go(self) -> None:
        """Close the connection, when a checkpoint that is under way has ended; it is opened when needed."""
        with self._moving, self._changed:
            connection, self._connection = self._connection, None
            self._written = self._moved = self._largest = 0
            self._begun += 1
            self._limit = self._usual_limit
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Checkpoint no more."""
        self._turn.close()

    def _own(self) -> apsw.Connection:
        self._connection = self._connection or self._open()
        return self._connection

    def _is_due(self) -> bool:
        late = self._written * _FRAME >= _LATE * self._limit
        return (self._written - self._moved) * _FRAME >= (_EVERY_LATE if late else _EVERY)

    def _move(self) -> bool:
        """Move what there is to move, where it is time; return whether it is to be tried again."""
        with self._changed:
            if self.failure is not None and not isinstance(self.failure, DiskFullError):
                return False
            if not self._awaited and not self._is_due():
                return False
        try:
            self.checkpoint()
        except StorageError as error:
            _log.error("a checkpoint of %s failed: %s", self._path, error)
            return False
        with self._changed:
            in_the_way = self._awaited and self._moved < self._written  # a reader was, just now
        if in_the_way:
            time.sleep(_PAUSE)
        return in_the_way

    def _failed(self, error: BaseException) -> None:
        with self._changed:  # nobody would move the WAL any more
            self.failure = JournalError(f"{self._path}: {type(error).__name__}: {error}")
            self._changed.notify_all()
        _log.error("a checkpoint of %s failed", self._path, exc_info=error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it is not there, or the model has been deleted
        return 0
