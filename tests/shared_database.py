"""The database of a cluster, which tests step into: before each statement they may do something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.pool import ConnectionPool


class Hooked(Database):
    """The database of a new cluster, under term 1; a test may do something before each statement.

    Parameters
    ----------
    url
        A database; what it has of a cluster is dropped.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "a")
        self.url = url
        self._before: Callable[[str], object] | None = None
        self._kill = False
        self.ask("DROP SCHEMA IF EXISTS nonzero CASCADE")
        self.prepare()
        self.ask("UPDATE nonzero.term SET term = 1")

    def before_each(self, do: Callable[[], object] | None) -> None:
        """Do something before each statement that is not a test's."""
        self.before_statement(None if do is None else lambda _: do())

    def before_statement(self, do: Callable[[str], object] | None) -> None:
        """Do something before each statement that is not a test's, told what it is."""
        self._before = do

    def kill_next(self) -> None:
        """Have the server end the connection of the next statement before that is done."""
        self._kill = True

    def ask(self, query: str, *arguments: Any) -> Any:
        """Return the one value that a statement gives; None where it gives none."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), arguments or None)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    @contextmanager
    def _used(
        self, pool: ConnectionPool, seconds: float | None, *, changes: bool
    ) -> Iterator[psycopg.Connection[Any]]:
        with super()._used(pool, seconds, changes=changes) as connection:
            connection.cursor_factory = _Cursor
            connection.hooked = self  # type: ignore[attr-defined]
            yield connection

    def step_in(self, connection: psycopg.Connection[Any], statement: str) -> None:
        if self._before is not None:
            self._before(statement)
        if self._kill:
            self._kill = False
            self.ask("SELECT pg_terminate_backend(%s, 10000)", connection.info.backend_pid)


class _Cursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> _Cursor:
        self.connection.hooked.step_in(self.connection, str(query))  # type: ignore[attr-defined]
        super().execute(query, params, **options)
        return self
