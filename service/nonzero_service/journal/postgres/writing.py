"""Writing a journal in PostgreSQL: what is sent, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.numeric import Int4, Int8

from nonzero_service.journal.chain import Tip
from nonzero_service.journal.errors import FencedError, JournalDivergedError
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import refusal
from nonzero_service.journal.postgres.statements import CONFIRM, EXPIRE, TRUNCATE, append_statement

_STEP_BYTES: Final = 4 * 2**20
_STEP_ROWS: Final = 1024

_BYTES_A_SECOND: Final = 2**24
"""What a slow link and a slow disk still do: an append that is longer has more time."""


class JournalWriter:
    """Writes the rows of one model under a term.

    Parameters
    ----------
    database
        The cluster's.
    model
        The model's number.
    term
        Under which is written.
    place
        Where the journal is, for messages.
    """

    def __init__(self, database: Database, model: int, term: int, place: str) -> None:
        self._database = database
        self._known = {"model": Int8(model), "term": Int8(term)}
        self._term = term
        self._place = place

    def append(self, before: Tip, rows: list[tuple[Any, ...]], keys: list[tuple[Any, ...]]) -> None:
        """Append rows and keys, as :func:`~nonzero_service.journal.chain.chain_entries` made them.

        Parameters
        ----------
        before
            What they build on.
        rows, keys
            At least one row; there may be no keys.

        Raises
        ------
        FencedError, JournalDivergedError, DiskFullError, JournalUnreachableError, JournalError
            Nothing was written.
        OutcomeUnknownError
            It may have been.
        """
        values: dict[str, object] = {"before": Int8(before.position), "before_digest": before.digest}
        for i, (position, sequence, count, kind, version, time_ms, keys_digest, digest, body) in enumerate(
            rows
        ):
            values[f"position_{i}"] = Int8(position)
            values[f"first_sequence_{i}"] = Int8(sequence)
            values[f"count_{i}"] = Int8(count)
            values[f"kind_{i}"] = kind
            values[f"version_{i}"] = Int4(version)
            values[f"time_ms_{i}"] = Int8(time_ms)
            values[f"keys_digest_{i}"] = keys_digest
            values[f"digest_{i}"] = digest
            values[f"body_{i}"] = body
        for i, (position, time_ms, records, digest) in enumerate(keys):
            values[f"key_position_{i}"] = Int8(position)
            values[f"key_time_ms_{i}"] = Int8(time_ms)
            values[f"key_records_{i}"] = records
            values[f"key_digest_{i}"] = digest
        seconds = self._database.append_seconds + sum(len(row[-1]) for row in rows) / _BYTES_A_SECOND
        try:
            leads, follows = self._run(
                self._database.writing(seconds), append_statement(len(rows), len(keys)), values
            )
        except psycopg.errors.UniqueViolation as error:
            raise self._diverged(before) from error
        if not leads:
            raise self._fenced()
        if not follows:
            raise self._diverged(before)

    def confirm(self) -> None:
        """Return where the term is still the database's.

        Raises
        ------
        FencedError, JournalUnreachableError, JournalError, OutcomeUnknownError
            It is not, or nobody knows.
        """
        (leads,) = self._run(self._database.writing(), CONFIRM, {})
        if not leads:
            raise self._fenced()

    def truncate(self, before: int) -> tuple[int, int]:
        """Drop the first 4 MB of rows before a position; return how many, and the bytes of their bodies.

        Raises
        ------
        FencedError, JournalUnreachableError, JournalError
            Nothing was dropped; where the database was lost meanwhile, the next step finds out.
        """
        values = {"before": Int8(before), "rows": Int8(_STEP_ROWS), "bytes": Int8(_STEP_BYTES)}
        return self._step(TRUNCATE, values)

    def expire(self, horizon_ms: int, until: int) -> tuple[int, int]:
        """Drop the first records of keys up to a time, and all up to the position `until`.

        Returns
        -------
        tuple of int
            How many rows' records were dropped, and the position of the last; 0 where there was none.

        Raises
        ------
        FencedError, JournalUnreachableError, JournalError
            As for :meth:`truncate`.
        """
        values = {"horizon": Int8(horizon_ms), "until": Int8(until), "rows": Int8(_STEP_ROWS)}
        return self._step(EXPIRE, values)

    def _step(self, statement: LiteralString, values: Mapping[str, object]) -> tuple[int, int]:
        leads, dropped, more = self._run(self._database.primary(), statement, values)
        if not leads:
            raise self._fenced()
        return dropped, more

    def _run(
        self,
        connecting: AbstractContextManager[psycopg.Connection[Any]],
        statement: LiteralString,
        values: Mapping[str, object],
    ) -> tuple[Any, ...]:
        """Return the one row of a statement; what another has written there first is raised as it is."""
        with connecting as connection:
            try:
                cursor = connection.execute(statement, {**self._known, **values}, binary=True, prepare=True)
            except psycopg.errors.UniqueViolation:
                raise
            except psycopg.Error as error:
                if connection.closed:  # whose connection it is says what that means
                    raise
                raise refusal(error, self._place) from error
            found: tuple[Any, ...] | None = cursor.fetchone()
        assert found is not None  # noqa: S101 - each of them has one row
        return found

    def _fenced(self) -> FencedError:
        return FencedError(
            f"{self._place}: term {self._term}, under which this node writes, is over: another node writes, "
            "or nobody; nothing was written"
        )

    def _diverged(self, before: Tip) -> JournalDivergedError:
        return JournalDivergedError(
            f"{self._place} does not end at position {before.position} as it does here: something else has "
            "written there, or the model was removed; nothing was written"
        )
