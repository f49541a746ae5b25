"""Intake: reads a request's body beside what is done with it, a bounded way ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive

__all__ = ["AHEAD", "Intake", "read_whole"]

AHEAD: Final = 1 << 21
"""How far the body is read ahead of its processing, in bytes; beyond that the client waits."""


class Intake:
    """The body of one request; :meth:`take` returns what has arrived of it, up to a size.

    A fast sender is so handled in large pieces, a slow one at once.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def take(self, size: int) -> list[bytes]:
        """Return the next chunks that have arrived, waiting for one; none at the body's end.

        Parameters
        ----------
        size
            How many bytes at most, unless the first chunk is larger.

        Raises
        ------
        ClientDisconnect
            Where the client went before the end.
        """
        while not self._chunks:
            if self._ended:
                self._task.result()
                return []
            self._arrived.clear()
            await self._arrived.wait()
        chunks: list[bytes] = []
        while self._chunks and (not chunks or len(self._chunks[0]) <= size):
            chunks.append(self._chunks.popleft())
            size -= len(chunks[-1])
            self._size -= len(chunks[-1])
        self._taken.set()
        return chunks

    async def _read(self) -> None:
        try:
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                more = message.get("more_body", False)
                if body := message.get("body"):
                    self._chunks.append(body)
                    self._size += len(body)
                    self._arrived.set()
                while self._size >= AHEAD:
                    self._taken.clear()
                    await self._taken.wait()
        finally:
            self._ended = True
            self._arrived.set()


async def read_whole(
    receive: Receive, limit: int, hold: Callable[[int], None] = lambda _: None
) -> bytes | None:
    """Return a whole body; None where it is longer than `limit` bytes (what was read is dropped).

    Parameters
    ----------
    receive, limit
        The body, and its bound.
    hold
        Told how much of it is held, as that grows.

    Raises
    ------
    ClientDisconnect
        Where the client went before the end.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        return body if len(body) <= limit else None
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            return None
        hold(size)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
