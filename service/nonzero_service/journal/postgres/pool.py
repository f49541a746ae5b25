"""A few connections of one kind, that threads share."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from nonzero_service.journal.errors import JournalClosedError


class ConnectionPool:
    """Hands connections out, each to one at a time; whoever finds none that is free waits.

    Parameters
    ----------
    connect
        Makes one, in autocommit.
    most
        So many there are at most.
    lasts
        So many seconds one is used; then another is made, which may lead to a host that is better by then.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], most: int, lasts: float = float("inf")
    ) -> None:
        self._connect = connect
        self._lasts = lasts
        self._room = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[tuple[psycopg.Connection[Any], float]] = []
        self._closed = False

    @contextmanager
    def take(self) -> Iterator[psycopg.Connection[Any]]:
        """Have a connection for as long as the block lasts.

        One that breaks is closed, and those that are idle with it: what took it may have taken them.

        Raises
        ------
        psycopg.Error
            Where none can be made.
        """
        with self._room:
            connection, until = self._idle_one() or (self._connect(), time.monotonic() + self._lasts)
            try:
                yield connection
            except BaseException:
                if connection.closed:
                    self._close_idle()
                raise
            finally:
                self._give_back(connection, until)

    def close(self) -> None:
        """Close those that are idle now, and each other one when it is given back."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _idle_one(self) -> tuple[psycopg.Connection[Any], float] | None:
        while True:
            with self._lock:
                if self._closed:
                    raise JournalClosedError("the connections to the database have been closed")
                if not self._idle:
                    return None
                connection, until = self._idle.pop()
            if time.monotonic() < until and _is_silent(connection):
                return connection, until
            connection.close()

    def _give_back(self, connection: psycopg.Connection[Any], until: float) -> None:
        with self._lock:
            if not self._closed and connection.pgconn.transaction_status == TransactionStatus.IDLE:
                self._idle.append((connection, until))
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()


def _is_silent(connection: psycopg.Connection[Any]) -> bool:
    """Whether nothing has come from the server since: else it is most often the end of the connection."""
    with suppress(OSError, psycopg.Error):
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)
    return False
