"""The rows that nodes share, read by SQL and folded by the library: what every node must have come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row, scalar_row

from nonzero import LogisticRegression
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.keys import KeyRecord, decode_records, keys_digest_of
from nonzero_service.writer import fold
from nonzero_service.writer.entries import start_of

ROWS = """
    SELECT position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest
    FROM nonzero.rows WHERE model = %s AND position >= %s ORDER BY position"""
KEYS = "SELECT position, time_ms, records, digest FROM nonzero.keys WHERE model = %s ORDER BY position"


class Folded(NamedTuple):
    """What the rows up to a position come to."""

    position: int
    sequence: int
    digest: str


class SharedRows:
    """The rows of the model ``default``, all of which are there.

    Parameters
    ----------
    database
        The address of the database.
    """

    def __init__(self, database: str) -> None:
        self._connection = psycopg.connect(database, autocommit=True)
        cursor = self._connection.cursor(row_factory=scalar_row)
        query = "SELECT id FROM nonzero.models WHERE name = 'default' AND NOT removed"
        (self._model,) = cursor.execute(query).fetchall()
        base = "SELECT base_position, base_digest, keys_digest FROM nonzero.models WHERE id = %s"
        position, self._base_digest, self._keys_base = self._connection.execute(
            base, [self._model]
        ).fetchall()[0]
        assert position == 0, f"the rows up to {position} are pruned: journal_retention is to be all"

    def close(self) -> None:
        self._connection.close()

    def read(self, start: int = 1) -> Iterator[JournalRow]:
        """Yield the rows from a position on."""
        with self._connection.cursor(row_factory=class_row(JournalRow)) as cursor:
            yield from cursor.stream(ROWS, [self._model, start])

    def fold(self, positions: set[int]) -> dict[int, Folded]:
        """Return what the rows up to some positions come to, and all of them; each row is checked.

        Positions have no hole, sequences follow from counts, and the chain of digests holds (I4).
        """
        found: dict[int, Folded] = {}
        model: LogisticRegression | None = None
        position, sequence, before = 0, 0, self._base_digest
        rows = list(self.read())
        for row in rows:
            assert row.position == position + 1
            assert row.first_sequence == sequence
            assert row.digest == row.digest_after(before), f"the chain breaks at {row.position}"
            if model is None:
                model = LogisticRegression.from_settings(start_of(row).settings)
            model = fold.apply(model, row, lambda start: iter(rows[start - 1 :]))
            position, sequence, before = row.position, row.next_sequence, row.digest
            if position in positions or row is rows[-1]:
                found[position] = Folded(position, sequence, model.digest())
        return found

    def keys(self) -> Mapping[str, KeyRecord]:
        """Return the newest record of every key; their chain is checked."""
        found: dict[str, KeyRecord] = {}
        before = self._keys_base
        for position, time_ms, records, digest in self._connection.execute(KEYS, [self._model]):
            assert digest == keys_digest_of(before, position, time_ms, records), position
            before = digest
            found |= {record.key: record for record in decode_records(records)}
        return found

    def terms(self) -> list[int]:
        """Return the terms of the rows, in their order."""
        query = "SELECT term FROM nonzero.rows WHERE model = %s ORDER BY position"
        return self._connection.cursor(row_factory=scalar_row).execute(query, [self._model]).fetchall()
