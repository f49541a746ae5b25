"""BodyReader: reads a request's body beside what is done with it, a bounded way ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Self, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.types import Receive

Chunk: TypeAlias = bytes | memoryview
"""What arrives at once of a body: of a long one a view of where it was received."""

AHEAD: Final = 1 << 22
"""How far the body is read ahead of its processing, in bytes; beyond that the client waits."""


class BodyReader:
    """The body of one request; :meth:`take` returns what has arrived of it, up to a size.

    A fast sender is so handled in large pieces, a slow one at once.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._ended = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def take(self, size: int) -> list[Chunk]:
        """Return the next chunks that have arrived, waiting for one; none at the body's end.

        Parameters
        ----------
        size
            How many bytes at most, unless the first chunk is larger; of a view what is too much is left.

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
        chunks = [self._chunks.popleft()]
        size -= len(chunks[0])
        while self._chunks and size > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                if not isinstance(chunk, memoryview):
                    self._chunks.appendleft(chunk)
                    break
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            chunks.append(chunk)
            size -= len(chunk)
        self._size -= sum(map(len, chunks))
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
        body = bytes(message.get("body", b""))  # a copy of what is no bytes
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
