"""TimeoutMonitor: ends connections whose clients take too long.

One look at all of them twice a second, instead of timers that every request would set and cancel.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from nonzero_service.http import phases
from nonzero_service.http.limits import LINGER_SECONDS
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

LOOK_SECONDS: Final = 0.5

CROWDED: Final = 0.75
"""When so much of the connections there may be is taken, those that do nothing are closed after a second."""


class Monitored(Protocol):
    """A connection, as it is looked at."""

    phase: int = phases.IDLE
    reading: bool = True
    """Whether the client is read from."""
    since: float = 0.0
    """When the phase began, or what it waits for last went on."""
    received: int = 0
    """Bytes of the body that is arriving."""
    waited: float = 0.0
    """Seconds for which the body was waited for: counted here."""
    written: int = 0
    """Bytes that were written to the client."""
    flushed: int = 0
    """Bytes that the client had taken at the last look."""
    served: int = 0
    """Requests that were answered."""

    @property
    def is_running(self) -> bool:
        """Whether a request is being answered."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn: it is read from, and the application waits for more."""

    @property
    def is_passing_over(self) -> bool:
        """Whether the body that is arriving has been answered already."""

    def unsent(self) -> int:
        """Return how much was written that the client has not taken, in bytes."""

    def refuse(self, problem: Problem) -> None:
        """End because the client takes too long."""

    def leave(self) -> None:
        """Pass over what still comes, for a moment."""

    def cut(self) -> None:
        """End at once."""


class TimeoutMonitor:
    """Looks at connections while there are any.

    Parameters
    ----------
    settings
        How long they may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections: set[Monitored] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Monitored, loop: asyncio.AbstractEventLoop) -> None:
        """Look at one more."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def discard(self, connection: Monitored) -> None:
        """Look at it no more."""
        self._connections.discard(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        crowded = len(self._connections) > CROWDED * self._settings.max_connections
        for connection in list(self._connections):
            self._judge(connection, now, crowded=crowded)
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop) if self._connections else None

    def _judge(self, connection: Monitored, now: float, *, crowded: bool) -> None:
        limits = self._settings
        unsent = connection.unsent()
        moved = connection.written - unsent > connection.flushed
        connection.flushed = connection.written - unsent
        idle = now - connection.since
        match connection.phase:
            case phases.IDLE:
                patience = limits.keep_alive_seconds if connection.served else limits.header_seconds
                if idle > (min(patience, 1) if crowded else patience):
                    connection.cut()
            case phases.HEAD if connection.reading:
                if idle > limits.header_seconds:
                    connection.refuse(
                        Problem(408, f"the head took longer than {limits.header_seconds:g} seconds")
                    )
            case phases.BODY if connection.is_waiting:
                self._judge_body(connection, idle)
            case phases.LEAVING if not connection.is_running and not unsent:
                if idle > LINGER_SECONDS:
                    connection.cut()
            case _:  # it is our turn, or the client's to take what was written
                if not unsent or moved:
                    connection.since = now
                elif idle > limits.answer_idle_seconds:
                    connection.cut()

    def _judge_body(self, connection: Monitored, idle: float) -> None:
        limits = self._settings
        connection.waited += LOOK_SECONDS
        if connection.is_passing_over:
            if connection.waited > LINGER_SECONDS:
                connection.leave()
        elif idle > limits.body_idle_seconds:
            connection.refuse(
                Problem(408, f"nothing more of the body came for {limits.body_idle_seconds:g} seconds")
            )
        elif connection.waited > limits.body_idle_seconds + connection.received / limits.min_body_rate:
            rate = connection.received / connection.waited
            least = limits.min_body_rate
            connection.refuse(
                Problem(408, f"the body came too slowly, {rate:.3g} bytes a second; at least {least:g} must")
            )
