"""Memory that was needed for bodies goes back to the system when none has come for a moment.

The allocator keeps what was freed for whoever asks next: of a gigabyte of bodies, a hundred megabytes in the
arenas of the threads that they passed through.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Final

QUIET: Final = 1.0
"""So many seconds after the last large body; while they come, what they leave is taken again at once."""

ENOUGH: Final = 1 << 24
"""After fewer bytes of bodies there is little to give back."""


class FreedMemory:
    """Gives memory back at a quiet time. Used on the event loop.

    Parameters
    ----------
    aside
        Runs what takes milliseconds on another thread.
    """

    def __init__(self, aside: Callable[[Callable[[], object]], object]) -> None:
        self._aside = aside
        self._trim: Callable[[int], int] | None = getattr(
            ctypes.CDLL(None), "malloc_trim", None
        )  # glibc has it
        self._used = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def used(self, nbytes: int) -> None:
        """Take note of so many bytes of a body."""
        loop = asyncio.get_running_loop()
        self._used += nbytes
        self._last = loop.time()
        if self._timer is None and self._used >= ENOUGH and self._trim is not None:
            self._timer = loop.call_later(QUIET, self._look, loop)

    def close(self) -> None:
        """Give nothing back any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        rest = self._last + QUIET - loop.time()
        if rest > 0:
            self._timer = loop.call_later(rest, self._look, loop)
            return
        self._used = 0
        self._aside(self._give_back)

    def _give_back(self) -> None:
        if self._trim is not None:
            self._trim(0)
