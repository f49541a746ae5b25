"""Doing something with each of many models, a few at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

AT_ONCE: Final = 4
"""So many models are opened, saved or closed at a time."""


async def each(items: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """Do something with each of many, a few at a time; after an error no more is begun, and it is raised."""
    left = deque(items)

    async def work() -> None:
        while left:
            await do(left.popleft())

    workers = [asyncio.ensure_future(work()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        left.clear()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
