"""Rejections: a request that is one too many waits for that answer, longer where there are many.

A client that is refused at once may ask again at once, and refusing takes time too: at three times the
capacity it took half of it, at eight times nearly all. So refusing has a share, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from nonzero_service.http.cycle import RequestCycle
from nonzero_service.problems import Problem

PAUSE_SECONDS: Final = 0.2
TICK_SECONDS: Final = 0.02
SHARE: Final = 0.025
"""Of the time that this thread computes: reading what who was told asks then takes as much again."""
LEAST: Final = 2
"""So many are told in a tick in any case."""


class DelayedRejections:
    """Requests that wait for their refusal; used on the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, RequestCycle, Problem]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._computed = 0.0

    def add(self, cycle: RequestCycle, problem: Problem, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse a request in a while."""
        self._waiting.append((loop.time() + PAUSE_SECONDS, cycle, problem))
        if self._timer is None:
            self._timer = loop.call_later(PAUSE_SECONDS, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now, begun = loop.time(), time.thread_time()
        end = begun + SHARE * (begun - self._computed)
        self._computed = begun
        told = 0
        while self._waiting and self._waiting[0][0] <= now and (told < LEAST or time.thread_time() < end):
            _, cycle, problem = self._waiting.popleft()
            if not cycle.gone:
                cycle.answer_problem(problem)
                told += 1
        self._timer = loop.call_later(TICK_SECONDS, self._tick, loop) if self._waiting else None
