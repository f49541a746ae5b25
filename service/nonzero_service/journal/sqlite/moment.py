"""A moment of a journal's SQLite file: a read transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from nonzero_service.journal.chain import Base, JournalRow, Tip
from nonzero_service.journal.moment import HeldKeys, Moment
from nonzero_service.journal.sqlite.database import translated
from nonzero_service.journal.sqlite.tables import read_base

RESTORE: Final = "restore the directory from a backup"
"""What a person does where the file has lost something."""


class SqliteMoment(Moment):
    """What a connection sees in one read transaction.

    Parameters
    ----------
    connection
        In a transaction that lasts as long as this is used; or of a file that nobody writes to.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__(RESTORE)
        self._connection = connection

    @property
    def base(self) -> Base:
        """What stands before the first row held."""
        return read_base(self._connection)

    def last_row(self) -> Tip | None:
        """Return where the last row that is held ends the journal; None where none is held."""
        found = self._connection.execute(
            "SELECT position, first_sequence + count, time_ms, digest, keys_digest FROM rows ORDER BY "
            "position DESC LIMIT 1"
        ).fetchone()
        return None if found is None else Tip(*found)

    def held_digest(self, position: int) -> bytes | None:
        """Return the digest of the row at a position, 16 bytes; None where it is not held."""
        found = self._connection.execute("SELECT digest FROM rows WHERE position = ?", (position,)).fetchone()
        return None if found is None else bytes(found[0])

    def rows(self, after: int, size: int, kinds: Sequence[str] = ()) -> list[JournalRow]:
        """Return the rows after a position, as many as fill `size` bytes, of some kinds or of all."""
        rows: list[JournalRow] = []
        chosen = f"kind IN ({_marks(kinds)}) AND" if kinds else ""
        cursor = self._connection.execute(
            "SELECT position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest "  # noqa: S608
            f"FROM rows WHERE {chosen} position > ? ORDER BY position",
            (*kinds, after),
        )
        for values in cursor:
            rows.append(JournalRow(*values))
            size -= len(rows[-1].body)
            if size <= 0:
                break
        cursor.close()
        return rows

    def last_of(self, kinds: Sequence[str]) -> int | None:
        """Return the position of the last row of some kinds; None where none is held."""
        found = self._connection.execute(
            f"SELECT position FROM rows WHERE kind IN ({_marks(kinds)}) ORDER BY position DESC LIMIT 1",  # noqa: S608
            tuple(kinds),
        ).fetchone()
        return None if found is None else int(found[0])

    def part(self, position: int, offset: int, size: int) -> bytes | None:
        """Return a part of a row's body; None where the row is not held."""
        try:
            blob = self._connection.blob_open("main", "rows", "body", position, False)
        except apsw.SQLError:
            if self.held_digest(position) is None:
                return None
            raise
        with blob:
            blob.seek(offset)
            part: bytes = blob.read(size)
        return part

    def keys(self, after: int, most: int) -> list[HeldKeys]:
        """Return the records of keys after a position, of so many rows at most."""
        found = self._connection.execute(
            "SELECT position, time_ms, records, digest FROM keys WHERE position > ? ORDER BY position "
            "LIMIT ?",
            (after, most),
        )
        return [HeldKeys(*values) for values in found]

    def keys_at(self, position: int) -> HeldKeys | None:
        """Return the records of keys that came with the row at a position; None where there are none."""
        found = self._connection.execute(
            "SELECT position, time_ms, records, digest FROM keys WHERE position = ?", (position,)
        ).fetchone()
        return None if found is None else HeldKeys(*found)


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


@contextmanager
def one_moment(path: Path, connection: apsw.Connection) -> Iterator[SqliteMoment]:
    """Read in one transaction, which ends with the block."""
    with translated(path, connection):
        if connection.in_transaction:  # it could not be ended, and would show an old moment for ever
            connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        try:
            yield SqliteMoment(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
