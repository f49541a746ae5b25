"""The journal's SQLite file: how it is made and opened, and what SQLite's failures mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from nonzero.persistence.whole_files import sync_directory
from nonzero_service.journal.chain import Base
from nonzero_service.journal.descriptors import SHORTAGE, are_none_left, shortage_message
from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    NoDescriptorsError,
    OutcomeUnknownError,
    StorageError,
    UnsupportedSQLiteError,
)
from nonzero_service.journal.files import FILE_MODE
from nonzero_service.journal.sqlite.tables import SCHEMA, write_base

PAGE_SIZE: Final = 65536
"""Bytes. With 4 KB pages a commit of 1 MB costs two and a half times the CPU, and half the throughput."""

_CACHE_PAGES: Final = 20
"""Of each connection. SQLite takes so many whole when it opens a file, and a group of 1 MB fits in."""

_APPLICATION: Final = 0x4E5A4A4C  # "NZJL"
FORMAT: Final = 1
_OLDEST_SQLITE: Final = (3, 51, 3)  # older ones can damage a WAL when it is reset


def connect(
    path: Path, *, readonly: bool = False, synced: bool = True, vfs: str | None = None
) -> apsw.Connection:
    """Open an existing journal file.

    Parameters
    ----------
    path
        The file.
    readonly
        Whether to open it beside whoever writes it. Such a connection never checkpoints, and leaves the WAL
        as it is.
    synced
        Whether each commit is synced to the disk.
    vfs
        The name of a SQLite VFS to use instead of the operating system's.

    Raises
    ------
    UnsupportedSQLiteError, JournalDamagedError, JournalError
        For an old SQLite; for a file that is no journal of this format.
    """
    _check_sqlite()
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    with translated(path):
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    try:
        with translated(path, connection):
            _check(connection, path)
            if not readonly and connection.readonly("main"):  # SQLite opens it so where it may not write
                raise JournalError(f"{path} can only be read by this user; let it be written to")
            _configure(connection, synced)
    except BaseException:
        # Nothing that is refused is touched: without this, closing would checkpoint and remove the WAL.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        raise
    return connection


def at_rest(path: Path) -> bool:
    """Whether a journal's file holds all that was committed: whoever wrote there last has closed it."""
    return not any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))


def connect_at_rest(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open an existing journal file that is :func:`at_rest` to read it, while nobody can write to it.

    That makes no WAL and no index of it, which takes as long as all else that a start asks of a journal.

    Raises
    ------
    JournalDamagedError, JournalError
        For a file that is no journal of this format.
    """
    _check_sqlite()
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with translated(path):
        connection = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags, vfs=vfs)
    try:
        with translated(path, connection):
            # It is seen without its WAL, and so never says that it has one.
            _check(connection, path, journal_mode="delete")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path, *, sequence: int = 0) -> None:
    """Make an empty journal file, durable and whole, or none.

    Parameters
    ----------
    path
        Where; an unfinished one that a kill left beside it is removed.
    sequence
        The examples that the model has seen before its first row.
    """
    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    base = Base(0, sequence, 0, os.urandom(16), 0, bytes(16))
    # Made here, because SQLite's -wal and -shm get the mode of the file that they belong to.
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    with translated(path):
        connection = apsw.Connection(str(unfinished))
    try:
        with translated(path, connection):
            # It is synced once, as a whole, before it gets its name.
            connection.execute(
                f"PRAGMA synchronous=OFF; PRAGMA page_size={PAGE_SIZE}; PRAGMA auto_vacuum=INCREMENTAL; "
                f"PRAGMA journal_mode=WAL; PRAGMA application_id={_APPLICATION}; "
                f"PRAGMA user_version={FORMAT};"
            ).fetchall()
            connection.execute("BEGIN IMMEDIATE;" + SCHEMA)
            write_base(connection, base)
            connection.execute("COMMIT")
    finally:
        connection.close()
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_directory(path.parent)


@contextmanager
def translated(
    path: Path, connection: apsw.Connection | None = None, *, committing: bool = False
) -> Iterator[None]:
    """Turn SQLite's failures into ours; while committing, those after which the outcome is not known."""
    try:
        yield
    except apsw.Error as error:
        raise _translation(error, path, connection, committing) from error
    except UnicodeDecodeError as error:
        raise JournalDamagedError(f"{path} holds text that is none; restore it from a backup") from error


def _translation(
    error: apsw.Error, path: Path, connection: apsw.Connection | None, committing: bool
) -> StorageError:
    reason = 0 if connection is None else connection.system_errno
    if isinstance(error, apsw.CantOpenError) and (
        reason in SHORTAGE or are_none_left() or (connection is None and _is_readable(path))
    ):
        return NoDescriptorsError(shortage_message(f"{path} cannot be opened"))
    no_space = reason in (errno.ENOSPC, errno.EDQUOT)
    # A write that finds no space leaves nothing of a commit: its last frame is what was not written. An fsync
    # that finds none is another matter: by then the frames are there.
    written = committing and getattr(error, "extendedresult", 0) != apsw.SQLITE_IOERR_WRITE
    if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and no_space and not written):
        return DiskFullError(f"no space left for {path}: free some, nothing was lost ({error})")
    if isinstance(error, apsw.IOError):
        detail = f"reading or writing {path} failed ({error})"
        if not committing:
            return JournalError(f"{detail}; see to the disk, then start anew")
        return OutcomeUnknownError(
            f"{detail}; what is on disk decides after a new start, and a request repeated with its key is "
            "then answered rightly"
        )
    if isinstance(
        error, (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.MismatchError, apsw.ConstraintError)
    ):
        return JournalDamagedError(f"{path} is damaged ({error}); restore it from a backup")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return JournalBusyError(f"{path} is held by another process ({error}); end it, nothing was written")
    return JournalError(f"{path}: {type(error).__name__}: {error}")


def _is_readable(path: Path) -> bool:
    """Whether a file that could not be opened can be read: another thread may have had the descriptor.

    It is not opened to see that: closing it again would let go of this process's locks on it.
    """
    return path.is_file() and os.access(path, os.R_OK)


def _check_sqlite() -> None:
    """Refuse a SQLite that is too old."""
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < _OLDEST_SQLITE:
        raise UnsupportedSQLiteError(
            f"SQLite {apsw.sqlite_lib_version()} can damage a WAL when it is reset; install apsw 3.51.3 or "
            "newer"
        )


def _check(connection: apsw.Connection, path: Path, journal_mode: str = "wal") -> None:
    """Refuse what is no journal of ours before anything is changed."""
    connection.set_busy_timeout(5000)
    expected = {
        "application_id": _APPLICATION,
        "user_version": FORMAT,
        "page_size": PAGE_SIZE,
        "auto_vacuum": 2,
        "journal_mode": journal_mode,
    }
    for name, value in expected.items():
        found = connection.pragma(name)
        if found == value:
            continue
        if name == "user_version" and isinstance(found, int) and found > FORMAT:
            raise JournalError(
                f"{path} has the format {found} and this release reads {FORMAT} (or its header is damaged); "
                "use the release that wrote it"
            )
        raise JournalDamagedError(
            f"{path} is no journal, or its header is damaged: {name} is {found!r} where {value!r} is "
            "written; restore it from a backup"
        )


def _configure(connection: apsw.Connection, synced: bool) -> None:
    connection.execute(
        f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}; PRAGMA wal_autocheckpoint=0; PRAGMA "
        "foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY; PRAGMA "
        f"cache_size={_CACHE_PAGES};"
    ).fetchall()
