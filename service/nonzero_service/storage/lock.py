"""One process a directory: a lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from nonzero_service.storage.errors import LockedError

__all__ = ["DirectoryLock"]


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
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = os.pread(self._descriptor, 32, 0).strip()
            self.release()
            pid = int(text) if text.isdigit() else None
            holder = "another process" if pid is None else f"process {pid}"
            raise LockedError(
                f"{directory} is in use by {holder}; stop it first, or choose another directory", pid
            ) from error
        except BaseException:
            self.release()
            raise
        self._write_pid(self._descriptor)

    @staticmethod
    def _write_pid(descriptor: int) -> None:
        """Name the holder for whoever is refused; a full disk must not keep a service from starting."""
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
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
