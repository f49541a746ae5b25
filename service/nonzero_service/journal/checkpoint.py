"""Moving the WAL into the journal's file, beside the writer, by a thread and a connection of its own."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Final

import apsw

from nonzero_service.journal.database import PAGE_SIZE, connect, translated
from nonzero_service.journal.errors import DiskFullError, JournalBusyError, JournalError, StorageError

_EVERY: Final = 16 * 2**20
_EVERY_LATE: Final = 2**20
_LATE: Final = 0.75
_FRAME: Final = PAGE_SIZE + 24
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
    synced
        As for :func:`~nonzero_service.journal.database.connect`.
    limit
        The WAL's size, in bytes, past which the writer waits.
    vfs
        The name of a SQLite VFS to use instead of the operating system's.
    """

    def __init__(self, path: Path, *, synced: bool, limit: int, vfs: str | None = None) -> None:
        self._path = path
        self._limit = self._usual_limit = limit
        self._changed = threading.Condition()
        self._moving = threading.Lock()
        self._written = 0  # frames in the WAL, of which
        self._moved = 0  # these are in the file as well
        self._begun = 0  # how often it was begun anew
        self._wanted = False
        self._awaited = False
        self._closed = False
        self.failure: StorageError | None = None
        """What stopped the checkpoints; None while they work."""
        self._connection = connect(path, synced=synced, vfs=vfs)
        self._thread = threading.Thread(target=self._run, name="journal-checkpoints", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._connection.close()
            raise

    def committed(self, frames: int) -> None:
        """Take note of a commit, after which the WAL has so many frames."""
        with self._changed:
            if frames < self._written:
                self._begun += 1
                self._moved, self._limit = 0, self._usual_limit
            self._written = frames
            if self._is_due():
                self._wanted = True
                self._changed.notify_all()

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
            self._wanted = True
            self.failure = None if isinstance(self.failure, DiskFullError) else self.failure
            self._changed.notify_all()
            deadline = time.monotonic() + _PATIENCE
            self._awaited = True
            while self._moved < self._written and self.failure is None and not self._closed:
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

    def checkpoint(self) -> None:
        """Move what can be moved now, in the caller's thread.

        Raises
        ------
        StorageError
            What SQLite failed with.
        """
        with self._changed:
            written, begun = self._written, self._begun
        try:
            with self._moving, translated(self._path, self._connection):
                frames, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except JournalBusyError:
            return  # another process moves it
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

    def close(self) -> None:
        """Stop the thread and close the connection."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._connection.close()

    def _is_due(self) -> bool:
        late = self._written * _FRAME >= _LATE * self._limit
        return (self._written - self._moved) * _FRAME >= (_EVERY_LATE if late else _EVERY)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                self._wanted = False
            try:
                self.checkpoint()
            except StorageError as error:
                _log.error("a checkpoint of %s failed: %s", self._path, error)
                if not isinstance(error, DiskFullError):
                    return
            except Exception as error:  # noqa: BLE001 - nobody would move the WAL any more
                with self._changed:
                    self.failure = JournalError(f"{self._path}: {type(error).__name__}: {error}")
                    self._changed.notify_all()
                _log.exception("a checkpoint of %s failed", self._path)
                return
            with self._changed:
                # What was committed meanwhile may have asked for another one too early.
                self._wanted = self._wanted and (self._awaited or self._is_due())
                if self._awaited and self._moved < self._written:  # a reader was in the way just now
                    self._wanted = True
                    self._changed.wait(_PAUSE)
