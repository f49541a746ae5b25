"""Asking the database without waiting for ever: by a thread, whose line is cut where it takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from nonzero_service.journal.errors import JournalUnreachableError

T = TypeVar("T")


class Asking:
    """One thread that asks, one question after another; used on the event loop.

    Parameters
    ----------
    name
        Of the thread.
    cut
        Has whatever the thread waits for fail; from any thread.
    """

    def __init__(self, name: str, cut: Callable[[], object]) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._cut = cut

    async def within(self, seconds: float, ask: Callable[..., T], *values: Any) -> T:
        """Ask, and wait so long at most.

        Raises
        ------
        JournalUnreachableError
            After that time; the line is cut then, and what came of the question is not known.
        """
        asked = asyncio.get_running_loop().run_in_executor(self._thread, ask, *values)
        try:
            await asyncio.wait({asked}, timeout=seconds)
        finally:
            if not asked.done():
                self._cut()
                asked.cancel()
        if asked.cancelled():
            raise JournalUnreachableError(f"the database has not answered for {seconds:.1f} seconds")
        return asked.result()

    def close(self) -> None:
        """End the thread, when it has its answer."""
        self._thread.shutdown(wait=False)
