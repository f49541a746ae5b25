"""Reading a journal, beside its writer or from another process, and checking it as it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import apsw
import msgspec

from nonzero_service.storage.database import connect, translated
from nonzero_service.storage.errors import (
    JournalClosedError,
    JournalDamagedError,
    JournalTooShortError,
    PrunedError,
)
from nonzero_service.storage.keys import KeyRecord, chained_keys, unpacked_records
from nonzero_service.storage.mark import Mark, read_mark
from nonzero_service.storage.rows import Row, chained, check_kind
from nonzero_service.storage.tables import Base, Tip, read_base, read_digest, read_last, read_rows, read_tip

__all__ = ["JournalReader", "Verified"]

_CHUNK: Final = 8 * 2**20
"""Bytes read in one read transaction: a longer one would keep the WAL from being reset."""

_KEYS: Final = 4096
"""Key records read in one read transaction."""

_RESTORE: Final = "restore the directory from a backup"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk over the whole journal found, every digest checked.

    Parameters
    ----------
    first, last
        The first and the last position held; ``first > last`` where there are no rows.
    sequence
        The examples up to and with the last row.
    body_bytes
        The bytes of all bodies.
    keys
        The records of idempotency keys.
    digest
        The chain's last digest.
    """

    first: int
    last: int
    sequence: int
    body_bytes: int
    keys: int
    digest: bytes


class JournalReader:
    """A journal opened for reading only; any number may be open beside the writer, in any process.

    It takes part in SQLite's locks, never changes the file or its WAL, and holds no moment of the journal for
    longer than it takes to read 8 MB, so that the writer can reset its WAL. Its methods may be called from
    any thread.

    Parameters
    ----------
    directory
        The model's directory.
    vfs
        The name of a SQLite VFS to use instead of the operating system's.

    Raises
    ------
    JournalError
        Where there is no journal, or it cannot be opened.
    """

    def __init__(self, directory: Path, *, vfs: str | None = None) -> None:
        self.path = directory / "journal.sqlite"
        self._mark_path = directory / "mark"
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = connect(self.path, readonly=True, vfs=vfs)

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

    def check_reached(self, reached: int, known_by: str) -> None:
        """Refuse a journal that ends before a position that is known to have been reached.

        Raises
        ------
        JournalTooShortError
            It names both positions, and who knows: `known_by`.
        """
        last = self.tip.position
        if last < reached:
            raise JournalTooShortError(
                f"{self.path} ends at position {last}, but {known_by} knows of position {reached}: the rows "
                f"from {last + 1} to {reached} are lost; {_RESTORE} (journal.sqlite-wal belongs to it), or, "
                f"to go on without them, delete {known_by}",
                last,
                reached,
            )

    def check_mark(self, mark: Mark | None) -> None:
        """Refuse a journal that is not the one of its mark, or has lost its end.

        Parameters
        ----------
        mark
            Read before this, so that a writer beside us is not taken for a loss.

        Raises
        ------
        JournalTooShortError, JournalDamagedError
            It names both positions.
        """
        if mark is None:
            return
        self.check_reached(mark.position, f"the mark {self._mark_path}")
        try:
            found = self.digest_at(mark.position)
        except PrunedError:  # the rows around a mark that lags are gone: nothing is left to compare it with
            return
        if found != mark.digest:
            raise JournalDamagedError(
                f"{self.path} and the mark beside it are of different histories: at position {mark.position} "
                f"the digests are {found.hex()} and {mark.digest.hex()}; {_RESTORE}",
                mark.position,
            )

    def read(self, start: int | None = None) -> Iterator[Row]:
        """Yield rows in order, each checked against the chain, in bounded memory.

        Parameters
        ----------
        start
            The first position; the first that is held where it is None. One past the end yields nothing.

        Yields
        ------
        Row
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

    def last_of(self, *kinds: str) -> Row | None:
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
                if chained_keys(before, place, time_ms, records) != digest:
                    raise self._keys_damaged(place)
                try:
                    yield place, time_ms, unpacked_records(records)
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
        for record in reversed(unpacked_records(found[1])):
            if record.key == key:
                return found[0], record
        return None

    def verify(self, progress: Callable[[int, int], object] | None = None) -> Verified:
        """Walk over everything: the mark, every row, every key; safe beside the writer.

        Parameters
        ----------
        progress
            Called with the position reached and the last one, row by row.

        Raises
        ------
        JournalError
            The first thing that is wrong.
        """
        self.check_mark(read_mark(self._mark_path))
        base, tip = self.base, self.tip
        last, sequence, size, digest = base.position, base.sequence, 0, base.digest
        for row in self.read(base.position + 1):
            last, sequence, digest = row.position, row.next_sequence, row.digest
            size += len(row.body)
            if progress is not None:
                progress(last, max(last, tip.position))
        keys = sum(len(records) for _, _, records in self.read_keys())
        return Verified(base.position + 1, last, sequence, size, keys, digest)

    def check_structure(self) -> None:
        """Let SQLite check its own structure (free pages, unused space), on which rows to come depend.

        It reads the whole file in one transaction: for a journal that nobody writes.

        Raises
        ------
        JournalDamagedError
            With SQLite's first complaint.
        """
        with self._reading() as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise JournalDamagedError(f"{self.path}: {found}; {_RESTORE}")

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
        """One short read transaction, in which everything is of one moment."""
        with self._lock:
            connection = self._connection
            if connection is None:
                raise JournalClosedError(f"{self.path} has been closed")
            with translated(self.path, connection):
                if connection.in_transaction:  # it could not be ended, and would show an old moment for ever
                    connection.execute("ROLLBACK")
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")

    def _check(self, row: Row, position: int, before: bytes) -> None:
        """Refuse a row that is not the one that follows `position`."""
        if row.position != position + 1:
            raise JournalDamagedError(
                f"{self.path}: position {position + 1} is missing, after {position} comes {row.position}; "
                f"{_RESTORE}",
                position + 1,
            )
        digest = chained(
            before,
            row.position,
            row.first_sequence,
            row.count,
            row.kind,
            row.version,
            row.time_ms,
            row.keys_digest,
            row.body,
        )
        if digest != row.digest:
            raise JournalDamagedError(
                f"{self.path}: the row at position {row.position} is not what was written: its digest is "
                f"{row.digest.hex()}, and of what is there {digest.hex()}; {_RESTORE}",
                row.position,
            )
        check_kind(row.kind, row.version, row.position)

    def _keys_damaged(self, position: int) -> JournalDamagedError:
        return JournalDamagedError(
            f"{self.path}: the idempotency keys recorded at or after position {position} are not what was "
            f"written, so that a repeated request could be learned from twice; {_RESTORE}",
            position,
        )
