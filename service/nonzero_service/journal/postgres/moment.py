"""A moment of a journal in PostgreSQL: a transaction that reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.numeric import Int4, Int8

from nonzero_service.journal.chain import Base, JournalRow, Tip
from nonzero_service.journal.errors import JournalDamagedError
from nonzero_service.journal.moment import HeldKeys, Moment
from nonzero_service.journal.postgres.failures import refusals

RESTORE: Final = "restore the database from a backup"
"""What a person does where the database has lost something."""

WHOLE: Final = 2**63 - 1
"""The last position of a moment that ends where the journal does."""

_ROWS: Final = 4096
"""Rows are read in so many at most."""

_COUNTED: Final = 20_000
"""The bytes of so many rows are counted at most."""

_BASE: Final = """
SELECT base_position, base_sequence, base_time_ms, base_digest, keys_position, keys_digest
FROM nonzero.models WHERE id = %(model)b
"""
_LAST_ROW: Final = """
SELECT position, first_sequence + count, time_ms, digest, keys_digest FROM nonzero.rows
WHERE model = %(model)b AND position <= %(until)b ORDER BY position DESC LIMIT 1
"""
_DIGEST: Final = """
SELECT digest FROM nonzero.rows WHERE model = %(model)b AND position = %(position)b AND position <= %(until)b
"""
_DIGESTS: Final = """
SELECT position, digest FROM nonzero.rows
WHERE model = %(model)b AND position = ANY(%(positions)b::bigint[]) AND position <= %(until)b
"""
# How long a body is stands beside it: only those that are chosen are read.
_FIRST_ROWS: Final = """
SELECT position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS before FROM (
        SELECT * FROM nonzero.rows WHERE model = %(model)b AND position > %(after)b AND position <= %(until)b
        {chosen} ORDER BY position LIMIT %(most)b
    ) AS firsts
) AS summed WHERE before < %(size)b ORDER BY position
"""
_ROWS_OF_ALL: Final = _FIRST_ROWS.format(chosen="")
_ROWS_OF_KINDS: Final = _FIRST_ROWS.format(chosen="AND kind = ANY(%(kinds)b)")
_LAST_OF: Final = """
SELECT position FROM nonzero.rows
WHERE model = %(model)b AND position <= %(until)b AND kind = ANY(%(kinds)b) ORDER BY position DESC LIMIT 1
"""
_PART: Final = """
SELECT substring(body FROM %(first)b FOR %(size)b) FROM nonzero.rows
WHERE model = %(model)b AND position = %(position)b AND position <= %(until)b
"""
_KEYS: Final = """
SELECT position, time_ms, records, digest FROM nonzero.keys
WHERE model = %(model)b AND position > %(after)b AND position <= %(until)b ORDER BY position LIMIT %(most)b
"""
_KEYS_AT: Final = """
SELECT position, time_ms, records, digest FROM nonzero.keys
WHERE model = %(model)b AND position = %(position)b AND position <= %(until)b
"""
_NBYTES: Final = """
SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM nonzero.rows
WHERE model = %(model)b AND position > %(after)b AND position <= %(until)b
"""


class PostgresMoment(Moment):
    """What a connection sees in one transaction.

    Parameters
    ----------
    connection
        In a transaction that lasts as long as this is used.
    model
        The model's number.
    until
        The last position that is seen; rows after it are not there yet.
    place
        Where the journal is, for messages.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], model: int, place: str, until: int = WHOLE
    ) -> None:
        super().__init__(RESTORE)
        self._connection = connection
        self._place = place
        self._known = {"model": Int8(model), "until": Int8(until)}

    @property
    def base(self) -> Base:
        """What stands before the first row held."""
        found = self._one(_BASE)
        if found is None:
            raise JournalDamagedError(f"{self._place} is not there; {RESTORE}")
        return Base(*found)

    def last_row(self) -> Tip | None:
        """Return where the last row that is held ends the journal; None where none is held."""
        found = self._one(_LAST_ROW)
        return None if found is None else Tip(*found)

    def held_digest(self, position: int) -> bytes | None:
        """Return the digest of the row at a position, 16 bytes; None where it is not held."""
        found = self._one(_DIGEST, position=Int8(position))
        return None if found is None else bytes(found[0])

    def digests(self, positions: Sequence[int]) -> dict[int, bytes]:
        """Return the digests of the rows at some positions, by one question: of those that are held."""
        wanted = [Int8(position) for position in positions]
        return {row[0]: bytes(row[1]) for row in self._all(_DIGESTS, positions=wanted)} if wanted else {}

    def rows(self, after: int, size: int, kinds: Sequence[str] = ()) -> list[JournalRow]:
        """Return the rows after a position, as many as fill `size` bytes, of some kinds or of all."""
        values = {"after": Int8(after), "size": Int8(size), "most": Int8(_ROWS)}
        if kinds:
            found = self._all(_ROWS_OF_KINDS, **values, kinds=list(kinds))
        else:
            found = self._all(_ROWS_OF_ALL, **values)
        return [JournalRow(*row) for row in found]

    def last_of(self, kinds: Sequence[str]) -> int | None:
        """Return the position of the last row of some kinds; None where none is held."""
        found = self._one(_LAST_OF, kinds=list(kinds))
        return None if found is None else int(found[0])

    def part(self, position: int, offset: int, size: int) -> bytes | None:
        """Return a part of a row's body; None where the row is not held."""
        found = self._one(_PART, position=Int8(position), first=Int4(offset + 1), size=Int4(size))
        return None if found is None else bytes(found[0])

    def keys(self, after: int, most: int) -> list[HeldKeys]:
        """Return the records of keys after a position, of so many rows at most."""
        return [HeldKeys(*row) for row in self._all(_KEYS, after=Int8(after), most=Int8(most))]

    def keys_at(self, position: int) -> HeldKeys | None:
        """Return the records of keys that came with the row at a position; None where there are none."""
        found = self._one(_KEYS_AT, position=Int8(position))
        return None if found is None else HeldKeys(*found)

    def nbytes(self) -> int:
        """Return the bytes of the bodies of all rows; of many, by the mean of the last ones.

        A start waits for it: to count those of a million rows took one to three seconds on a busy machine.
        """
        first, last = self.base.position, self.tip.position
        after = max(first, last - _COUNTED)
        found = self._one(_NBYTES, after=Int8(after))
        counted = 0 if found is None else int(found[0])
        return counted if after == first else counted * (last - first) // _COUNTED

    def _one(self, query: LiteralString, **values: object) -> tuple[Any, ...] | None:
        return self._connection.execute(
            query, {**self._known, **values}, binary=True, prepare=True
        ).fetchone()

    def _all(self, query: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(
            query, {**self._known, **values}, binary=True, prepare=True
        ).fetchall()


@contextmanager
def one_moment(
    connection: psycopg.Connection[Any], model: int, place: str, until: int = WHOLE
) -> Iterator[PostgresMoment]:
    """Read in one transaction, which ends with the block.

    Raises
    ------
    StorageError
        What it means that the database refuses.
    """
    with one_question(connection, model, place, until) as moment:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield moment
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")


@contextmanager
def one_question(
    connection: psycopg.Connection[Any], model: int, place: str, until: int = WHOLE
) -> Iterator[PostgresMoment]:
    """Ask one thing, which is of one time by itself: nothing is waited for before and after it.

    Raises
    ------
    StorageError
        What it means that the database refuses.
    """
    with refusals(connection, place):
        yield PostgresMoment(connection, model, place, until)
