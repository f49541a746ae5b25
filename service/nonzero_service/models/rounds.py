"""Rounds: one task looks after all models, so that an idle one costs a look."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import structlog

from nonzero_service.incidental import incidentally

LOOK_SECONDS: Final = 0.5
"""How often each is looked after."""

PORTION: Final = 64
"""So many looks are had in one turn of the event loop."""


class Watch(Protocol):
    """Who is looked after."""

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what is to be done now; None where nothing is. It is quick."""


class Rounds:
    """Looks after many, and has done what is to be done. Used on the event loop."""

    def __init__(self) -> None:
        self._watches: dict[Watch, asyncio.Task[None] | None] = {}  # and what is being done for each
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("service")

    def add(self, watch: Watch) -> None:
        """Look after one more."""
        self._watches[watch] = None
        if self._task is None:
            self._task = asyncio.create_task(self._go_round())

    async def remove(self, watch: Watch) -> None:
        """Look after it no more; what is being done for it is cancelled."""
        task = self._watches.pop(watch, None)
        if not self._watches and self._task is not None:
            self._task.cancel()
            self._task = None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for place, watch in enumerate(list(self._watches), 1):
                if watch in self._watches and self._watches[watch] is None:
                    incidentally(self._look, watch)
                if place % PORTION == 0:
                    await asyncio.sleep(0)

    def _look(self, watch: Watch) -> None:
        work = watch.look()
        if work is not None:
            task = self._watches[watch] = asyncio.create_task(work)
            task.add_done_callback(lambda _: self._done(watch))

    def _done(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches[watch] = None
