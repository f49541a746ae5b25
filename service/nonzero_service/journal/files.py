"""What a file system needs to be told for a name, or a small file, to last, and to be nobody else's.

All that is kept may tell of people: files are made for their owner only, whatever the umask lets others do.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from nonzero.persistence.whole_files import sync_directory

FILE_MODE: Final = 0o600
"""Of every file."""

DIRECTORY_MODE: Final = 0o700

OTHERS: Final = 0o077
"""What a mode allows to group and others."""


def ensure_directory(directory: Path) -> None:
    """Make a directory, with those above it, where there is none.

    Raises
    ------
    NotADirectoryError
        Where something else has that name.
    OSError
        Where the disk refuses.
    """
    try:
        directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory)) from error


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


def check_usable(path: Path) -> None:
    """Refuse what a start would find that it may not read and write, if it is there; nothing is opened.

    On a disk that can only be read it is enough that it may be read: a copy there is to be copied back.

    Raises
    ------
    PermissionError
        Where this user may not.
    """
    if _allows(path, os.R_OK | os.W_OK) or not path.exists():
        return
    read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    if not read_only or not _allows(path, os.R_OK):
        raise PermissionError(errno.EACCES, "this user may not read and write it, as a start must", str(path))


def _allows(path: Path, wanted: int) -> bool:
    """Whether this user may do so much with what is there; a directory must let one in."""
    if not os.access(path, wanted, effective_ids=True):
        return False
    return not path.is_dir() or os.access(path, os.X_OK, effective_ids=True)


def keep_private(kept: Path) -> list[Path]:
    """Take from group and others what they may do with a file, or a directory and all in it.

    Older releases let them read it.

    Returns
    -------
    list of Path
        What stays open to them, because it is another user's.
    """
    left = []
    for path in (str(kept), *_all_in(kept)):
        with suppress(FileNotFoundError):
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode) or not mode & OTHERS:
                continue
            try:
                os.chmod(path, stat.S_IMODE(mode) & ~OTHERS)  # noqa: PTH101 - ten times as fast, for many models
            except OSError:
                left.append(Path(path))
    return left


def _all_in(directory: Path) -> Iterator[str]:
    """Yield the paths of all that is in a directory, and in those in it, links not followed."""
    for place, directories, files in os.walk(directory):
        yield from (os.path.join(place, name) for name in (*directories, *files))  # noqa: PTH118 - as above
