"""Work that is done whenever it is wanted, and again where it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from nonzero_service.errors import NotWritingError
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.logs import failure

AGAIN_SECONDS: Final = 0.25
LATER_SECONDS: Final = 10.0
"""So long after it failed it is tried again: at first, and at last."""


class WantedWork:
    """Does some work in a task of its own. Used on the event loop.

    Parameters
    ----------
    do
        Does it.
    failing
        What is said of it where it fails.
    """

    def __init__(self, do: Callable[[], Awaitable[object]], failing: str) -> None:
        self._do = do
        self._failing = failing
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("cluster")

    def begin(self) -> None:
        """Do it from now on."""
        self._task = asyncio.create_task(self._run())

    def want(self) -> None:
        """Have it done: once more, where it is being done."""
        self._wanted.set()

    async def close(self) -> None:
        """Do it no more; what is being done is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait = AGAIN_SECONDS
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._do()
                wait = AGAIN_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                if not isinstance(error, JournalUnreachableError | NotWritingError):
                    incidentally(self._log.error, self._failing, **failure(error))
                self._wanted.set()
                await asyncio.sleep(wait)
                wait = min(2 * wait, LATER_SECONDS)
