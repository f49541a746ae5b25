"""Acceptor: new connections are taken by many at a time.

The event loop takes one in each of its turns. A turn in which hundreds of requests are answered takes tens
of milliseconds, so with 600 busy clients the next one waited ten seconds, and be it for ``/healthz``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

IN_A_TURN: Final = 64
"""So many are taken in a turn."""


class Acceptor:
    """Takes connections beside an ``asyncio`` server, from the same listening sockets.

    Parameters
    ----------
    listening
        The server's sockets.
    protocol
        Makes what speaks to a client.
    encryption
        The TLS context, if any.
    seconds
        How long a handshake may take.
    """

    def __init__(
        self,
        listening: Iterable[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        encryption: ssl.SSLContext | None,
        seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._encryption = encryption
        self._seconds = None if encryption is None else seconds
        self._tasks: set[asyncio.Task[None]] = set()
        # Copies: the loop has one reader for each descriptor, and the server is it for its own.
        self._listening = [one.dup() for one in listening]
        for one in self._listening:
            one.setblocking(False)
            self._loop.add_reader(one.fileno(), self._take, one)

    def _take(self, listening: socket.socket) -> None:
        for _ in range(IN_A_TURN):
            try:
                client, _ = listening.accept()
            except OSError:  # there is none, or no descriptor for it: it is tried again
                return
            client.setblocking(False)
            with suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._begin(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, client, ssl=self._encryption, ssl_handshake_timeout=self._seconds
            )
        except (OSError, asyncio.CancelledError):  # it went, or its handshake took too long
            client.close()

    async def close(self) -> None:
        """Take no more; return when those that were taken have begun, and can be told to end."""
        for one in self._listening:
            self._loop.remove_reader(one.fileno())
            one.close()
        self._listening.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)
