"""What a file system needs to be told for a name, or a small file, to last, and to be nobody else's.

All that is kept may tell of people: files are made for their owner only, whatever the umask lets others do.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["FILE_MODE", "keep_private", "make_directory", "sync_directory", "write_durably"]

FILE_MODE: Final = 0o600
"""Of every file."""

DIRECTORY_MODE: Final = 0o700

OTHERS: Final = 0o077
"""What a mode allows to group and others."""


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory whose name is durable, or none.

    Raises
    ------
    OSError
        Where the disk refuses, or something else has that name.
    """
    directory.mkdir(DIRECTORY_MODE)
    try:
        sync_directory(directory.parent)
    except BaseException:
        with suppress(OSError):
            directory.rmdir()
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all, that is durable when its directory is synced."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def keep_private(directory: Path) -> list[Path]:
    """Take from group and others what they may do with a directory and all in it; an older release let them.

    Returns
    -------
    list of Path
        What stays open to them, because it is another user's.
    """
    left = []
    for place, directories, files in os.walk(directory):
        for name in [".", *directories, *files]:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                if path.is_symlink() or not path.stat().st_mode & OTHERS:
                    continue
                try:
                    path.chmod(path.stat().st_mode & ~OTHERS)
                except OSError:
                    left.append(path)
    return left
