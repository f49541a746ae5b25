"""Time limits of what is asked of a database: the socket is shut down, and nothing is cancelled.

A commit that waits for a standby and is cancelled shows its rows, with a warning only, though no standby has
them. So whoever waits too long hears that the connection is lost, and what became of it is read later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from nonzero_service.journal.postgres.session import cut


class TimeLimit:
    """The limit of one use of a connection.

    Parameters
    ----------
    connection
        The connection.
    ends
        When it is cut, by :func:`time.monotonic`.
    """

    def __init__(self, connection: psycopg.Connection[Any], ends: float) -> None:
        self.connection = connection
        self.ends = ends
        self.is_over = False
        """Whether the connection was cut."""

    def cut(self) -> None:
        """Shut the connection's socket down: whoever waits for it fails now."""
        self.is_over = True
        cut(self.connection)


class TimeLimits:
    """Cuts the connections that are used for too long: one thread for all, asleep while none is used."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[TimeLimit] = set()
        self._wakes = float("inf")
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, connection: psycopg.Connection[Any], seconds: float) -> Iterator[TimeLimit]:
        """Cut a connection where the block takes longer than so many seconds."""
        limit = TimeLimit(connection, time.monotonic() + seconds)
        with self._changed:
            self._running.add(limit)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="database-limits", daemon=True)
                self._thread.start()
            elif limit.ends < self._wakes:  # not so at each use: it wakes later than it must, and looks
                self._changed.notify()
        try:
            yield limit
        finally:
            with self._changed:
                self._running.discard(limit)

    def close(self) -> None:
        """Cut all that is under way, and end the thread."""
        with self._changed:
            self._closed = True
            for limit in self._running:
                limit.cut()
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for limit in self._running:
                    if limit.ends <= now and not limit.is_over:
                        limit.cut()
                waiting = [limit.ends for limit in self._running if not limit.is_over]
                self._wakes = min(waiting, default=float("inf"))
                self._changed.wait(self._wakes - now if waiting else None)
