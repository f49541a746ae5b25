"""Statements that hold under one term only, and work that is done in steps of them.

Each is one statement in a transaction of its own: whoever is stopped half-way holds no lock. It locks the row
of the term, so that it is done before another node takes over, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from nonzero_service.journal.errors import FencedError
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import refusals

LEADER: Final = "leader AS (SELECT 1 FROM nonzero.term WHERE term = %(term)s FOR SHARE)"
"""A part of a statement: one row under the term, and none under another.

That of ``statements.py`` says the same in binary, as all there: psycopg takes a name in one format only.
"""

LONG: Final = 60.0
"""Seconds that a statement may take which reads much."""

BREATH: Final = 0.001
"""Seconds between two steps, in which appends get their turn."""


def in_steps(database: Database, term: int, step: str, values: Mapping[str, object]) -> int:
    """Repeat a step until it finds nothing to do; return how much was done in all.

    Parameters
    ----------
    database
        The cluster's.
    term
        Under which it is done.
    step
        A statement that changes a few rows where ``EXISTS (SELECT FROM leader)``, and ends with a RETURNING.
    values
        Its parameters.

    Raises
    ------
    FencedError
        Where another node leads; what was done before stays done.
    """
    total = 0
    while True:
        done = conditionally(database, term, step, values)
        if not done:
            return total
        total += done
        time.sleep(BREATH)


def conditionally(
    database: Database, term: int, change: str, values: Mapping[str, object], *, binary: bool = False
) -> int:
    """Change rows under a term; return how many.

    Parameters
    ----------
    database, term, change, values
        As for :func:`in_steps`.
    binary
        Whether bytes among the parameters are many, and go as they are.

    Raises
    ------
    FencedError
        Where another node leads: nothing was changed.
    """
    statement = f"WITH {LEADER}, changed AS ({change}) SELECT (SELECT count(*) FROM leader), (SELECT count(*) FROM changed)"  # noqa: E501, S608
    with primary(database) as connection:
        found = connection.execute(statement, {**values, "term": term}, binary=binary).fetchone()
    leads, changed = found or (0, 0)
    if not leads:
        raise fenced(term)
    return int(changed)


def fenced(term: int) -> FencedError:
    """Return the error of a node whose term is over."""
    return FencedError(f"another node leads: term {term} is over, and nothing was written under it")


@contextmanager
def primary(database: Database, seconds: float | None = None) -> Iterator[psycopg.Connection[Any]]:
    """Have a connection to the primary; what the database refuses there is an error of a journal.

    Parameters
    ----------
    database
        The cluster's.
    seconds
        So long it takes at most; None for as long as an append may.

    Raises
    ------
    JournalUnreachableError
        Where there is none, or it is lost.
    DiskFullError, JournalDamagedError, JournalError
        Where the database refuses.
    """
    with database.primary(seconds) as connection, refusals(connection, database.place):
        yield connection
