"""StartQueue: requests that are let in begin a few at a time, those that predict first.

The event loop looks at its sockets once in a turn. When it answered hundreds of requests in one, a new
client, and be it one that asks for ``/healthz``, would wait for several such turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

IN_A_TURN: Final = 16
"""So many requests begin in a turn of the event loop: two milliseconds of one-example predictions."""


class StartQueue:
    """Begins requests; used on the event loop."""

    def __init__(self) -> None:
        self._preferred: deque[Callable[[], None]] = deque()
        self._others: deque[Callable[[], None]] = deque()
        self._is_set = False

    def add(self, begin: Callable[[], None], *, preferred: bool, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a request in the next turn, or in one after it: by then all that was sent of it is there."""
        (self._preferred if preferred else self._others).append(begin)
        if not self._is_set:
            self._is_set = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        begun = 0
        while begun < IN_A_TURN and (waiting := self._preferred or self._others):
            begun += 1
            waiting.popleft()()
        self._is_set = bool(self._preferred or self._others)
        if self._is_set:
            loop.call_soon(self._next, loop)
