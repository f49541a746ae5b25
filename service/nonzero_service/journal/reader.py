"""Reading a journal, beside its writer or from another process, and checking it as it is read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import apsw
import msgspec

from nonzero_service.journal.chain import Base, JournalRow, Tip, check_kind
from nonzero_service.journal.database import connect, translated
from nonzero_service.journal.errors import JournalClosedError, JournalDamagedError
from nonzero_service.journal.keys import KeyRecord, decode_records, keys_digest_of
from nonzero_service.journal.tables import read_base, read_digest, read_last, read_rows, read_tip

_CHUNK: Final = 8 * 2**20
"""Bytes read in one read transaction: a longer one would keep the WAL from being reset."""

_KEYS: Final = 4096
"""Key records read in one read transaction."""


class JournalRows(ABC):
    """What a journal holds, to be asked for by any thread.

    No moment of the journal is held for longer than it takes to read 8 MB, so that the writer can reset its
    WAL.
    """

    directory: Path
    """The model's."""
    path: Path
    """The journal's file."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[apsw.Connection]:
        """One short read transaction, in which everything is of one moment."""

    @property
    def base(self) -> Base:
        """What stands before the first row held."""
        with self._reading() as connection:
            return read_base(connection)

    @property
    def tip(self) -> Tip:
        """Where the journal ends."""
        with self._reading() as connection:
            return read_tip(connection)

    def digest_at(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes; at 0 it is the journal's name.

        Raises
        ------
        PrunedError, JournalTooShortError
            Where the journal no longer, or not yet, holds it.
        """
        with self._reading() as connection:
            return read_digest(connection, position)

    def read(self, start: int | None = None) -> Iterator[JournalRow]:
        """Yield rows in order, each checked against the chain, in bounded memory.

        Parameters
        ----------
        start
            The first position; the first that is held where it is None. One past the end yields nothing.

        Yields
        ------
        JournalRow
            Up to the end, as it is when it is reached.

        Raises
        ------
        PrunedError
            Where `start` is no longer held, or was pruned while it was read.
        JournalTooShortError
            Where `start` is more than one past the end.
        JournalDamagedError
            At the first row that is not what was written; it names its position.
        UnknownKindError
            At the first row of a kind or version that this release does not know.
        """
        with self._reading() as connection:
            position = read_base(connection).position if start is None else start - 1
            before = read_digest(connection, position)
        while True:
            with self._reading() as connection:
                read_digest(connection, position)  # it may have been pruned since
                rows = read_rows(connection, position, _CHUNK)
            if not rows:
                return
            for row in rows:
                self._check(row, position, before)
                position, before = row.position, row.digest
                yield row

    def read_of(
        self, kinds: Sequence[str], damaged: Callable[[JournalDamagedError], object]
    ) -> Iterator[JournalRow]:
        """Yield the rows of some kinds in order, each checked against the row before it.

        The bodies of other rows are not read, so nothing is said of these.

        Parameters
        ----------
        kinds
            Which.
        damaged
            Told of a row that is not what was written, which is passed over; it may raise the error.

        Raises
        ------
        UnknownKindError
            At the first row of a version that this release does not know.
        """
        position = 0
        while True:
            with self._reading() as connection:
                rows = read_rows(connection, position, _CHUNK, kinds)
                whole = [row for row in rows if self._is_whole(connection, row, damaged)]
            if not rows:
                return
            yield from whole
            position = rows[-1].position

    def read_part(self, position: int, offset: int, size: int) -> bytes:
        """Return a part of a row's body, unchecked: from an offset on, so many bytes at most.

        Raises
        ------
        JournalError
            Where the row is not held, or cannot be read.
        """
        with self._reading() as connection:
            try:
                blob = connection.blob_open("main", "rows", "body", position, False)
            except apsw.SQLError:
                # Where it is not held these say so: the last one pruned has a digest still.
                read_digest(connection, position)
                read_digest(connection, position - 1)
                raise
            with blob:
                blob.seek(offset)
                part: bytes = blob.read(size)
        return part

    def last_of(self, *kinds: str) -> JournalRow | None:
        """Return the last row of some kinds; None where none is held.

        Raises
        ------
        JournalDamagedError
            Where it is not what was written.
        """
        with self._reading() as connection:
            position = read_last(connection, kinds)
        return None if position is None else next(self.read(position))

    def read_keys(self) -> Iterator[tuple[int, int, list[KeyRecord]]]:
        """Yield (position, time in ms, records) of all idempotency keys held, their chain checked.

        Raises
        ------
        JournalDamagedError
            Where records are missing, or are not what was written.
        """
        position, before = -1, b""
        while True:
            with self._reading() as connection:
                base = read_base(connection)
                if base.keys_position > position:  # the start, or they expired while we read
                    position, before = base.keys_position, base.keys_digest
                chunk: list[Any] = connection.execute(
                    "SELECT position, time_ms, records, digest FROM keys WHERE position > ? ORDER BY "
                    "position LIMIT ?",
                    (position, _KEYS),
                ).fetchall()
                newest = read_tip(connection).keys_digest
            if not chunk:
                if newest != before:
                    raise self._keys_damaged(position)
                return
            for place, time_ms, records, digest in chunk:
                if keys_digest_of(before, place, time_ms, records) != digest:
                    raise self._keys_damaged(place)
                try:
                    yield place, time_ms, decode_records(records)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise self._keys_damaged(place) from error
                position, before = place, digest

    def find_key(self, key: str, position: int) -> tuple[int, KeyRecord] | None:
        """Return (time in ms, record) of `key` among the records that came with the row at `position`."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT time_ms, records FROM keys WHERE position = ?", (position,)
            ).fetchone()
        if found is None:
            return None
        for record in reversed(decode_records(found[1])):
            if record.key == key:
                return found[0], record
        return None

    def _is_whole(
        self,
        connection: apsw.Connection,
        row: JournalRow,
        damaged: Callable[[JournalDamagedError], object],
    ) -> bool:
        """Whether a row is the one that follows the one before it; `damaged` is told where not."""
        try:
            self._check(row, row.position - 1, read_digest(connection, row.position - 1))
        except JournalDamagedError as error:
            damaged(error)
            return False
        return True

    def _check(self, row: JournalRow, position: int, before: bytes) -> None:
        """Refuse a row that is not the one that follows `position`."""
        if row.position != position + 1:
            raise JournalDamagedError(
                f"{self.path}: position {position + 1} is missing, after {position} comes {row.position}; "
                "restore the directory from a backup"
            )
        digest = row.digest_after(before)
        if digest != row.digest:
            raise JournalDamagedError(
                f"{self.path}: the row at position {row.position} is not what was written: its digest is "
                f"{row.digest.hex()}, and of what is there {digest.hex()}; restore the "
                "directory from a backup"
            )
        check_kind(row.kind, row.version, row.position)

    def _keys_damaged(self, position: int) -> JournalDamagedError:
        return JournalDamagedError(
            f"{self.path}: the idempotency keys recorded at or after position {position} are not what was "
            f"written, so that a repeated request could be learned from twice; "
            "restore the directory from a backup"
        )


class JournalReader(JournalRows):
    """A journal opened for reading only; any number may be open beside the writer, in any process.

    It takes part in SQLite's locks, and never changes the file or its WAL.

    Parameters
    ----------
    directory
        The model's directory.

    Raises
    ------
    JournalError
        Where there is no journal, or it cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "journal.sqlite"
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = connect(self.path, readonly=True)

    def close(self) -> None:
        """Close the journal; a second call does nothing."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with self._lock:
            if self._connection is None:
                raise JournalClosedError(f"{self.path} has been closed")
            with one_moment(self.path, self._connection):
                yield self._connection


@contextmanager
def one_moment(path: Path, connection: apsw.Connection) -> Iterator[None]:
    """Read in one transaction, which ends with the block."""
    with translated(path, connection):
        if connection.in_transaction:  # it could not be ended, and would show an old moment for ever
            connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
