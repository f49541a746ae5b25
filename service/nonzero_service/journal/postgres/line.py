"""A line to the database: one connection of a purpose of its own, which can be cut from another thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.failures import UNSURE, place_of, said_by, unreachable
from nonzero_service.journal.postgres.session import SESSION, cut, parameters


class Line:
    """One connection to where the database can be written to, opened when it is needed.

    One thread uses it; any other may cut it.

    Parameters
    ----------
    url
        The address of the database.
    purpose
        What the server calls the connection.
    session
        What is said first of all: SQL.
    """

    def __init__(self, url: str, purpose: str, session: str = SESSION) -> None:
        self.place = place_of(url)
        """Where it is, for messages."""
        self._url = url
        self._session = session
        self._ways = _ways(conninfo_to_dict(url))
        self._way = 0
        """Which of them is tried first."""
        self._known = parameters(url, purpose, "read-write")
        self._connection: psycopg.Connection | None = None
        self.opened = 0
        """How often it was opened: another server may answer since."""
        self._cuts = 0
        self._notices: list[str] = []
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """The host and the port that it leads to; empty where it leads nowhere."""
        connection = self._connection
        return f"{connection.info.host}:{connection.info.port}" if connection is not None else ""

    def connect(self) -> psycopg.Connection:
        """Open it, where it is not, and return it.

        Raises
        ------
        JournalUnreachableError
            Where no host can be written to.
        """
        if self._connection is not None and not self._connection.closed:
            return self._connection
        with self._lock:
            cuts = self._cuts
        connection = self._connected(cuts)
        connection.add_notice_handler(lambda notice: self._notices.append(notice.sqlstate or ""))
        with self._lock:
            cut = self._cuts != cuts
            if not cut:
                self._connection = connection
                self.opened += 1
        if cut:
            connection.close()
            raise JournalUnreachableError(f"{self.place} took too long to connect to; it is tried again")
        self._run(connection, self._session)
        return connection

    def _connected(self, cuts: int) -> psycopg.Connection:
        """Try one host after another, beginning with the one that was reached last.

        By itself libpq would begin with the first one each time: where that is a machine which has gone, no
        other is reached within the time that whoever cuts the line allows.
        """
        failed: list[psycopg.Error] = []
        for _ in self._ways:
            try:
                known: dict[str, Any] = {**self._known, **self._ways[self._way]}
                return psycopg.connect(self._url, autocommit=True, **known)
            except psycopg.Error as error:
                self._way = (self._way + 1) % len(self._ways)
                failed.append(error)
            if self._cuts != cuts:
                break
        raise unreachable(self.place, *failed) from failed[-1]

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, and return its rows.

        Raises
        ------
        JournalUnreachableError
            Where it failed, or may have: what it writes may have been written. The line is closed then, and
            the next statement opens it again.
        """
        connection = self.connect()
        self._notices.clear()
        cursor = self._run(connection, statement, values)
        rows = cursor.fetchall() if cursor.description else [()] * cursor.rowcount
        if not UNSURE.isdisjoint(self._notices):
            self.close()
            raise JournalUnreachableError(
                f"{self.place} did not wait for its standby with a commit: whether that has it is not known"
            )
        return rows

    def _run(
        self, connection: psycopg.Connection, statement: str, values: Sequence[Any] = ()
    ) -> psycopg.Cursor[Any]:
        try:
            # Without values it may be several statements, which have no rows in binary.
            return connection.execute(statement.encode(), values or None, binary=bool(values))
        except psycopg.Error as error:
            self.close()
            raise JournalUnreachableError(
                f"{self.place} cannot be reached, or used ({said_by(error)}); ask it again"
            ) from error

    def cut(self) -> None:
        """Have whoever waits for the database fail now; from any thread."""
        with self._lock:
            self._cuts += 1
            if self._connection is None or self._connection.closed:
                return
            self._way = (self._way + 1) % len(self._ways)
            cut(self._connection)

    def close(self) -> None:
        """Close it; the next statement opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


def _ways(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what tells each host of an address from the others."""
    lists = {name: str(given[name]).split(",") for name in ("host", "hostaddr", "port") if given.get(name)}
    hosts = max(len(lists.get("host", ())), len(lists.get("hostaddr", ())), 1)
    return [
        {name: each[n] if len(each) == hosts else each[0] for name, each in lists.items()}
        for n in range(hosts)
    ]
