"""The tables of a cluster in an empty database, and connections to it that tests step into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

TABLES = """
CREATE SCHEMA nonzero;
CREATE TABLE nonzero.term (one boolean PRIMARY KEY DEFAULT true CHECK (one), term bigint NOT NULL);
CREATE TABLE nonzero.models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, config text NOT NULL,
    removed boolean NOT NULL DEFAULT false, identity bytea NOT NULL, base_position bigint NOT NULL,
    base_sequence bigint NOT NULL, base_time_ms bigint NOT NULL, base_digest bytea NOT NULL,
    keys_position bigint NOT NULL, keys_digest bytea NOT NULL
);
CREATE UNIQUE INDEX ON nonzero.models (name) WHERE NOT removed;
CREATE TABLE nonzero.rows (
    model bigint NOT NULL, position bigint NOT NULL, first_sequence bigint NOT NULL, count bigint NOT NULL,
    kind text NOT NULL, version integer NOT NULL, time_ms bigint NOT NULL, keys_digest bytea NOT NULL,
    body bytea NOT NULL, digest bytea NOT NULL, term bigint NOT NULL, PRIMARY KEY (model, position)
);
CREATE TABLE nonzero.keys (
    model bigint NOT NULL, position bigint NOT NULL, time_ms bigint NOT NULL, records bytea NOT NULL,
    digest bytea NOT NULL, PRIMARY KEY (model, position)
);
CREATE TABLE nonzero.snapshots (
    model bigint NOT NULL, position bigint NOT NULL, needed_from bigint NOT NULL, bytes bigint NOT NULL,
    digest bytea NOT NULL, taken_at timestamptz NOT NULL, PRIMARY KEY (model, position)
);
CREATE TABLE nonzero.snapshot_parts (
    model bigint NOT NULL, position bigint NOT NULL, part integer NOT NULL, body bytea NOT NULL,
    digest bytea NOT NULL, PRIMARY KEY (model, position, part)
);
ALTER TABLE nonzero.rows ALTER body SET STORAGE EXTERNAL;
ALTER TABLE nonzero.snapshot_parts ALTER body SET STORAGE EXTERNAL;
"""


class Hooked:
    """Connections to a new cluster's database, under term 1; a test may do something before each statement.

    Parameters
    ----------
    url
        A database; what it has of a cluster is dropped.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._before: Callable[[str], object] | None = None
        self._kill = False
        self.ask("DROP SCHEMA IF EXISTS nonzero CASCADE")
        self.ask(TABLES)
        self.ask("INSERT INTO nonzero.term (term) VALUES (1)")

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
    def writing(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True, cursor_factory=_Cursor) as connection:
            connection.hooked = self  # type: ignore[attr-defined]
            yield connection

    reading = writing

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
