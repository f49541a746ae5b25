"""Connections to the database of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import psycopg

from nonzero_service.journal.errors import (
    CommitLostError,
    JournalError,
    JournalUnreachableError,
)
from nonzero_service.journal.postgres.failures import UNSURE, place_of, said_by, unreachable
from nonzero_service.journal.postgres.pool import ConnectionPool
from nonzero_service.journal.postgres.session import SESSION, parameters
from nonzero_service.journal.postgres.tables import ensure_tables
from nonzero_service.journal.postgres.time_limits import TimeLimit, TimeLimits

_READERS: Final = 8
_WRITERS: Final = 8
_READER_SECONDS: Final = 60.0

_READ_ONLY: Final = "; SET default_transaction_read_only = on"

_ENCODINGS: Final = ("UTF8", "SQL_ASCII")
"""Of the server: what names any feature in any language, or takes all bytes as they are."""

_OLDEST: Final = 140000  # the first that notices while it waits that a client has gone


class Database:
    """The database of a cluster, from any thread: a few connections to read with, and a few to write with.

    Whoever cannot have one gets a :class:`~nonzero_service.journal.errors.JournalUnreachableError`: nothing
    was asked then. What the server refuses is raised as psycopg does, with the connection still there.

    Parameters
    ----------
    url
        Its address, of several hosts perhaps.
    node
        The name of this node.
    append_seconds
        So long one use of a connection takes at most, unless it is said. Then its socket is shut down.

    Examples
    --------
    ::

        database = Database("postgresql://one,two/nonzero", "a")
        with database.primary() as connection:
            connection.execute("SELECT term FROM nonzero.term").fetchone()
        database.close()
    """

    def __init__(self, url: str, node: str, *, append_seconds: float = 8.0) -> None:
        self.place = place_of(url)
        """Where it is, for messages."""
        self.append_seconds = append_seconds
        self._url = url
        self._node = node
        self._limits = TimeLimits()
        reading = partial(self._connect, "prefer-standby", SESSION + _READ_ONLY)
        writing = partial(self._connect, "read-write", SESSION)
        self._reading = ConnectionPool(reading, _READERS, _READER_SECONDS)
        self._writing = ConnectionPool(writing, _WRITERS)

    def prepare(self) -> bytes:
        """Make the tables, where there are none; return the cluster's id, 16 bytes.

        Raises
        ------
        JournalUnreachableError
            Where it cannot be written to now.
        JournalError
            Where the tables are of another format, the user may not make them, or the database cannot keep
            every text.
        """
        with self.primary() as connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding not in _ENCODINGS:
                raise JournalError(
                    f"{self.place} has the encoding {encoding}, which does not keep every name of a field: "
                    "make one with TEMPLATE template0 ENCODING 'UTF8', and name that"
                )
            try:
                return ensure_tables(connection)
            except psycopg.Error as error:
                if connection.closed:
                    raise
                raise JournalError(
                    f"{self.place} does not let this user make the schema nonzero, or use it "
                    f"({said_by(error)}): grant CREATE on the database, or let another user make it"
                ) from error

    @contextmanager
    def reading(self, seconds: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Have a connection to read with, to a standby where there is one, which may be behind.

        Parameters
        ----------
        seconds
            So long it takes at most.

        Raises
        ------
        JournalUnreachableError
            Where there is none, or it is lost.
        """
        with self._used(self._reading, seconds, changes=False) as connection:
            yield connection

    @contextmanager
    def primary(self, seconds: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Have a connection to the primary, for what does no harm where nobody knows whether it was done.

        Raises
        ------
        JournalUnreachableError
            Where there is none, or it is lost.
        """
        with self._used(self._writing, seconds, changes=False) as connection:
            yield connection

    @contextmanager
    def writing(self, seconds: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Have a connection to write with.

        Raises
        ------
        JournalUnreachableError
            Where there is none; nothing was written.
        CommitLostError
            Where it is lost, takes too long, or did not wait for the standby: what was written may be there,
            or not.
        """
        with self._used(self._writing, seconds, changes=True) as connection:
            yield connection

    def close(self) -> None:
        """Close all; who is waiting for an answer fails. A second call does nothing."""
        self._reading.close()
        self._writing.close()
        self._limits.close()

    @contextmanager
    def _used(
        self, pool: ConnectionPool, seconds: float | None, *, changes: bool
    ) -> Iterator[psycopg.Connection[Any]]:
        seconds = self.append_seconds if seconds is None else seconds
        notices: list[str] = []
        with pool.take() as connection, self._limits.within(connection, seconds) as limit:

            def note(notice: psycopg.errors.Diagnostic) -> None:
                notices.append(notice.sqlstate or "")

            connection.add_notice_handler(note)
            try:
                yield connection
            except psycopg.Error as error:
                if not connection.closed:
                    raise
                raise self._lost(error, limit, seconds, changes=changes) from error
            finally:
                connection.remove_notice_handler(note)
            if changes and not UNSURE.isdisjoint(notices):
                connection.close()
                raise self._unknown("did not wait for its standby with a commit")

    def _lost(
        self, error: psycopg.Error, limit: TimeLimit, seconds: float, *, changes: bool
    ) -> CommitLostError | JournalUnreachableError:
        how = f"no answer within {seconds:g} s" if limit.is_over else said_by(error)
        if changes:
            return self._unknown(f"did not say what became of a commit ({how})")
        return JournalUnreachableError(f"{self.place} was lost ({how}); ask it again")

    def _unknown(self, why: str) -> CommitLostError:
        return CommitLostError(
            f"the outcome is unknown: {self.place} {why}; send the request again, to any node, with the same "
            "Idempotency-Key if it had one: what was kept of it is recognised"
        )

    def _connect(self, attributes: str, session: str) -> psycopg.Connection[Any]:
        known = parameters(self._url, f"nonzero {self._node}", attributes)
        try:
            connection = psycopg.connect(self._url, autocommit=True, **known)
        except psycopg.Error as error:
            raise unreachable(self.place, error) from error
        try:
            with self._limits.within(connection, self.append_seconds):
                if connection.info.server_version < _OLDEST:
                    raise JournalError(
                        f"{self.place} is PostgreSQL {connection.info.server_version // 10000}: it must be "
                        f"{_OLDEST // 10000} or newer"
                    )
                connection.execute(session)
        except psycopg.Error as error:
            connection.close()
            raise unreachable(self.place, error) from error
        except BaseException:
            connection.close()
            raise
        return connection
