"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from nonzero.sources.places import Remote, place_of

_LEAST: Final = 1 << 16
"""Before there is anything to write, room for so many bytes is looked for: the smallest model takes them."""


@contextmanager
def replacing(target: Path, buffering: int = -1) -> Iterator[BinaryIO]:
    """Open a file to write that takes a name only when it is whole and on the disk.

    The bytes go to a temporary file beside it, reach the disk, and take its name; then the directory is
    synced.

    Parameters
    ----------
    target
        The name, which a file may have that is replaced then. The new one may be read and written by whom
        the old one could be.
    buffering
        As :func:`open` has it.

    Yields
    ------
    BinaryIO
        To write to. Where the block ends by an exception, nothing is left and nothing replaced.

    Raises
    ------
    OSError
        Where the disk refuses.
    """
    temporary = _beside(target)
    try:
        with temporary.open("wb", buffering=buffering) as file:
            _keep_mode(target, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable.

    Parameters
    ----------
    directory
        The directory.

    Raises
    ------
    OSError
        Where it is none, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "log").touch()
    ...     sync_directory(Path(folder))
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_replacing(target: Path) -> None:
    """Raise what :func:`replacing` would, as far as it can be known before there is anything to write.

    A small file is written beside the name and removed again: the directory may be another's, read-only or
    full, and a name may be too long.

    Parameters
    ----------
    target
        The name, which stays as it is.

    Raises
    ------
    OSError
        Where the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try_replacing(Path(folder, "log"))
    ...     [*Path(folder).iterdir()]
    []
    """
    temporary = _beside(target)
    try:
        with temporary.open("wb") as file:
            file.write(bytes(_LEAST))
    finally:
        with suppress(OSError):  # it is not there, or cannot be for what is raised
            temporary.unlink()


def _keep_mode(target: Path, descriptor: int) -> None:
    """Give a file the mode of the one that it replaces, if there is one, before anything stands in it."""
    with suppress(OSError):  # there is none, or its file system has no modes
        os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))


def _beside(target: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


@contextmanager
def whole_file(path: str | os.PathLike[str] | Remote) -> Iterator[BinaryIO]:
    """Do the same for a name that users give: a link stays one, a pipe is written to, a URL is stored.

    Parameters
    ----------
    path
        The file; one that is there is replaced, at the end. What is no regular file, such as a pipe, is
        written to as it is.

    Yields
    ------
    BinaryIO
        To write to. Where the block ends by an exception, nothing is left and nothing replaced.

    Raises
    ------
    OSError
        Where the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/log") as file:
    ...         written, there = file.write(b"12"), Path(folder, "log").exists()
    ...     there, Path(folder, "log").read_bytes()
    (False, b'12')
    """
    target = place_of(path)
    if isinstance(target, Remote):
        from nonzero.persistence.store_writing import storing

        with storing(target) as file:
            yield file
        return
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    with replacing(target.resolve()) as file:
        yield file
