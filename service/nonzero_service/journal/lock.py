"""One process a directory: a lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from nonzero_service.journal.errors import LockedError, StorageError
from nonzero_service.journal.files import FILE_MODE

_DIGITS: Final = 10
"""Of the number of a process, at most."""


class DirectoryLock:
    """The exclusive right to a directory, held until :meth:`release` or until the process ends.

    Parameters
    ----------
    directory
        It must exist; the lock is the file ``lock`` in it. The file stays, because removing it would let two
        processes lock two files of one name.

    Raises
    ------
    LockedError
        Where another process (or another lock of this one) has it; it names the holder's pid.
    StorageError
        Where something else than a file has the lock's name.
    """

    def __init__(self, directory: Path) -> None:
        check_lock(directory)
        self._path = directory / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor: int | None = os.open(self._path, flags, FILE_MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_pid(self._descriptor)
        except OSError as error:
            try:
                text = os.pread(self._descriptor, 32, 0).strip()
            finally:
                self.release()
            holder = f"process {int(text)}" if text.isdigit() else "another process"
            raise LockedError(
                f"{directory} is in use by {holder}; stop it first, or choose another directory"
            ) from error
        except BaseException:
            self.release()
            raise

    @staticmethod
    def _write_pid(descriptor: int) -> None:
        """Name the holder for whoever is refused; a full disk must not keep a service from starting."""
        said = f"{os.getpid():<{_DIGITS}}\n".encode()
        try:
            # Cut only where it must be: what is emptied and written anew goes to the disk when it is closed.
            if os.fstat(descriptor).st_size > len(said):
                os.ftruncate(descriptor, 0)
            if os.pread(descriptor, len(said), 0) != said:
                os.pwrite(descriptor, said, 0)
        except OSError:
            return

    def release(self) -> None:
        """Give the directory back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def check_lock(directory: Path) -> None:
    """Refuse a directory that no process could lock.

    Raises
    ------
    StorageError
        Where something else than a file has the lock's name.
    """
    path = directory / "lock"
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is no file, so that {directory} cannot be locked; move it away")
