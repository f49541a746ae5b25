"""The folder of a model's snapshots: written whole or not at all, newest first, damaged ones put aside.

What is in a snapshot is the writer's and the reader's business. This folder knows only the position after
which each was taken, which is its name.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from nonzero.errors import NonzeroError
from nonzero.persistence.whole_files import sync_directory
from nonzero_service.journal.errors import DiskFullError
from nonzero_service.journal.files import FILE_MODE, make_directory

T = TypeVar("T")

_NAME: Final = re.compile(r"(\d{20})\.safetensors")
_WRITING: Final = ".writing-"
_DAMAGED: Final = ".damaged"


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot on disk.

    Parameters
    ----------
    position
        The journal's position after which it was taken: the model is the fold of the rows up to and with it.
    path
        The file.
    """

    position: int
    path: Path

    @property
    def age_seconds(self) -> float:
        """How long ago it was written, by the system's clock; 0 where that was set back since."""
        return max(time.time() - self.path.stat().st_mtime, 0.0)


def snapshots_in(directory: Path) -> list[SnapshotFile]:
    """Return the snapshots in a directory, the newest first; those put aside are not among them.

    A directory that is not there has none: a start makes it anew.
    """
    if not directory.exists():
        return []
    found = ((path, _NAME.fullmatch(path.name)) for path in directory.iterdir())
    snapshots = [SnapshotFile(int(match[1]), path) for path, match in found if match]
    return sorted(snapshots, key=lambda snapshot: -snapshot.position)


class SnapshotFolder:
    """The snapshots of one model.

    Parameters
    ----------
    directory
        Made where it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not directory.is_dir():
            make_directory(directory)

    def tidy(self) -> None:
        """Remove what a kill left half-written; only for the process that has the model's directory."""
        for leftover in self.directory.glob(f"*{_WRITING}*"):  # whoever writes it may write another beside it
            leftover.unlink()

    def all(self) -> list[SnapshotFile]:
        """Return the snapshots, the newest first; those put aside are not among them."""
        return snapshots_in(self.directory)

    def damaged(self) -> list[Path]:
        """Return the files that were put aside, sorted by name."""
        return sorted(self.directory.glob("*" + _DAMAGED))

    def write(self, position: int, writer: Callable[[Path], object]) -> SnapshotFile:
        """Write a snapshot; when this returns it is durable, and until then it does not exist.

        Parameters
        ----------
        position
            The journal's position after which the model was taken.
        writer
            Writes the file whose path it is given; it need not sync it.

        Raises
        ------
        DiskFullError
            Where there is no space; nothing is left behind.
        """
        snapshot = SnapshotFile(position, self.directory / f"{position:020d}.safetensors")
        unfinished = self.directory / f"{_WRITING}{snapshot.path.name}"
        try:
            writer(unfinished)
            with unfinished.open("rb+") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                os.fsync(file.fileno())
            unfinished.replace(snapshot.path)
            sync_directory(self.directory)
        except BaseException as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    f"no space left for {snapshot.path}: free some; the older snapshots stay"
                ) from error
            raise
        return snapshot

    def newest(
        self,
        read: Callable[[Path], T],
        damaged: Callable[[SnapshotFile, NonzeroError], object] | None = None,
        until: int | None = None,
    ) -> tuple[SnapshotFile, T] | None:
        """Return the newest snapshot that can be read, and what was read; None where there is none.

        Parameters
        ----------
        read
            Reads a file, or raises a :class:`~nonzero.errors.NonzeroError` that says what is wrong with it.
        damaged
            Told of each snapshot that could not be read, and why, before it is put aside.
        until
            The last position of which one may be; None for the end.
        """
        for snapshot in self.all():
            if until is not None and snapshot.position > until:
                continue
            try:
                return snapshot, read(snapshot.path)
            except NonzeroError as error:
                if damaged is not None:
                    damaged(snapshot, error)
                self.put_aside(snapshot)
        return None

    def put_aside(self, snapshot: SnapshotFile) -> Path:
        """Keep a damaged snapshot under a name that nothing takes for a model; return its new path."""
        path = snapshot.path.with_name(snapshot.path.name + _DAMAGED)
        snapshot.path.replace(path)
        sync_directory(self.directory)
        return path

    def prune(self, keep: int = 2, also: int | None = None) -> int | None:
        """Remove all but the newest snapshots, and what was put aside before them.

        Parameters
        ----------
        keep
            How many stay, at least 2: the second takes over where the first turns out to be damaged.
        also
            A position: the newest snapshot that is not after it stays too.

        Returns
        -------
        int or None
            The position of the oldest of `keep` snapshots: the journal's rows up to and with it are no longer
            needed. None where there are fewer: every row still is.
        """
        if keep < 2:
            raise ValueError(f"at least 2 snapshots are kept, not {keep}")
        snapshots = self.all()
        if len(snapshots) < keep:
            return None
        oldest = snapshots[keep - 1]
        needed = next((one for one in snapshots if also is not None and one.position <= also), None)
        old = [snapshot.path for snapshot in snapshots[keep:] if snapshot != needed]
        old += [path for path in self.damaged() if path.name < oldest.path.name]
        for path in old:  # one that a power cut brings back is removed by the next
            path.unlink()
        return oldest.position
