"""Statements that hold under one term only, and work that is done in steps of them.

Each is one statement in a transaction of its own: whoever is stopped half-way holds no lock. It locks the row
of the term, so that it is done before another node takes over, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import psycopg

from nonzero_service.journal.errors import (
    DiskFullError,
    FencedError,
    JournalUnreachableError,
    OutcomeUnknownError,
)

LEADER: Final = "leader AS (SELECT 1 FROM nonzero.term WHERE term = %(term)s FOR SHARE)"
"""A part of a statement: one row under the term, and none under another."""

BREATH: Final = 0.001
"""Seconds between two steps, in which appends get their turn."""


class Connections(Protocol):
    """Gives connections to the database, each for a short while; from any thread."""

    def reading(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Give one to read by, perhaps to a standby that is a little behind."""

    def writing(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Give one to write by."""


def in_steps(connections: Connections, term: int, step: str, values: Mapping[str, object]) -> int:
    """Repeat a step until it finds nothing to do; return how much was done in all.

    Parameters
    ----------
    connections
        To the database.
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
        done = conditionally(connections, term, step, values)
        if not done:
            return total
        total += done
        time.sleep(BREATH)


def conditionally(
    connections: Connections, term: int, change: str, values: Mapping[str, object], *, binary: bool = False
) -> int:
    """Change rows under a term; return how many.

    Parameters
    ----------
    connections, term, change, values
        As for :func:`in_steps`.
    binary
        Whether bytes among the parameters are many, and go as they are.

    Raises
    ------
    FencedError
        Where another node leads: nothing was changed.
    """
    statement = f"WITH {LEADER}, changed AS ({change}) SELECT (SELECT count(*) FROM leader), (SELECT count(*) FROM changed)"  # noqa: E501, S608
    with translated("write"), connections.writing() as connection:
        found = connection.execute(statement, {**values, "term": term}, binary=binary).fetchone()
    leads, changed = found or (0, 0)
    if not leads:
        raise fenced(term)
    return int(changed)


def fenced(term: int) -> FencedError:
    """Return the error of a node whose term is over."""
    return FencedError(f"another node leads: term {term} is over, and nothing was written under it")


@contextmanager
def translated(doing: str, *, committing: bool = False) -> Iterator[None]:
    """Let errors of the database be those of a journal.

    Parameters
    ----------
    doing
        What is done, in a verb.
    committing
        Whether it matters if what was asked has happened, though its answer did not come.
    """
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise DiskFullError(f"the database has no space left ({error}); nothing was written") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if committing:
            raise OutcomeUnknownError(
                f"the database was lost before it said whether it did what it was asked to ({error})"
            ) from error
        raise JournalUnreachableError(f"the database cannot be asked to {doing}: {error}") from error
