"""The folder of all models: one is made, or taken away, by a rename; each step is done, or undone.

What is being made or removed has a name that starts with a dot: no model has such a one, and what a kill, or
a disk that refuses, leaves under it means nothing. The next start removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from nonzero.persistence.whole_files import sync_directory
from nonzero_service.errors import ModelExistsError

UNFINISHED: Final = "."
"""How the names of directories that are no models, or no longer, begin."""


class ModelFolder:
    """The directory in which every model has one.

    Parameters
    ----------
    directory
        It need not exist before it is used.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._remains: set[str] = set()
        self._log = structlog.get_logger("models")

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Give an empty directory beside the models, which goes with the block (or with the next start)."""
        path = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.directory))
        try:
            yield path
        finally:
            self.remove([path])

    def install(self, made: Path, name: str) -> Path:
        """Give a directory that was made in a workplace the name of its model; return its new path.

        Raises
        ------
        ModelExistsError
            Where something has that name: it was put there, or was to be removed and cannot be.
        OSError
            Where the disk refuses; there is no such model then.
        """
        path = self.directory / name
        if name in self._remains:
            self.withdraw(name)
        if path.exists():
            raise ModelExistsError(
                f"{path} is there, and is not served; move it away, or start anew, where it is a model"
            )
        made.rename(path)
        try:
            sync_directory(self.directory)
        except BaseException:
            self.withdraw(name)
            raise
        return path

    def withdraw(self, name: str) -> None:
        """Undo an :meth:`install`; where the disk refuses that too, the next one of that name does it."""
        self._remains.add(name)
        gone = self._unused(name)
        try:
            (self.directory / name).rename(gone)
        except Exception:  # noqa: BLE001 - what went wrong before is what is told
            self._log.exception("a model that was not made could not be removed", model=name)
        else:
            self._remains.discard(name)
            self.remove([gone])

    def take_away(self, name: str) -> Path:
        """Rename the directory of a model, so that there is none any more; return its new path.

        Raises
        ------
        OSError
            Where the disk refuses; the model is there as before.
        """
        path = self.directory / name
        gone = self._unused(name)
        # Opened before the rename, so that nothing but the disk itself can fail after it.
        folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path.rename(gone)
            try:
                os.fsync(folder)
            except BaseException:
                with suppress(OSError, MemoryError):
                    gone.rename(path)
                if path.exists():
                    raise
        finally:
            os.close(folder)
        return gone

    def _unused(self, name: str) -> Path:
        return self.directory / f"{UNFINISHED}{name}-{secrets.token_hex(4)}"

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove directories that are no models; what cannot be removed now is there for the next start."""
        for path in paths:
            try:
                if path.is_symlink():
                    path.unlink()
                else:
                    shutil.rmtree(path)
            except FileNotFoundError:  # it got a name
                continue
            except (OSError, MemoryError) as error:
                self._log.warning("what is of no use could not be removed", path=str(path), reason=str(error))
