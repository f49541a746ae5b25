"""Wait until something is so, however busy the machine is: no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["SECONDS", "until", "until_in_loop"]

SECONDS = 120.0
"""What has not come by then does not come."""

T = TypeVar("T")


def until(condition: Callable[[], T], said: Callable[[], object] | None = None) -> T:
    """Wait until a condition is true, and return what it gave.

    Parameters
    ----------
    condition
        Asked again and again: at once, and each time after a fifth of what was waited, at most a fifth of a
        second. Asking takes time from what is waited for.
    said
        Returns what a failure is to say.
    """
    for pause in _pauses(condition, said):
        time.sleep(pause)
        if found := condition():
            return found
    raise AssertionError


async def until_in_loop(condition: Callable[[], T], said: Callable[[], object] | None = None) -> T:
    """Do the same on an event loop, which goes on meanwhile."""
    for pause in _pauses(condition, said):
        await asyncio.sleep(pause)
        if found := condition():
            return found
    raise AssertionError


def _pauses(condition: Callable[[], object], said: Callable[[], object] | None) -> Iterator[float]:
    begun = time.monotonic()
    yield 0.0
    while (waited := time.monotonic() - begun) < SECONDS:
        yield min(max(waited / 5, 0.001), 0.2)
    raise AssertionError(said() if said else f"{SECONDS:g} seconds were not enough", condition)
