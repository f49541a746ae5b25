"""NodeListener: where other nodes reach the one that writes.

Each connection shows first that it is of a node that shares the database (:mod:`.handshake`). One of each
node is for signs of life, and opens a session; all others of that session are for requests, and end with it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import structlog

from nonzero_service.cluster import handshake
from nonzero_service.cluster.beating import BeatStream, NodeBeat, beat
from nonzero_service.cluster.handshake import Hello, Purpose, welcome
from nonzero_service.errors import HandshakeError, NotYetWritingError
from nonzero_service.listening import listen
from nonzero_service.workers import request_messages as messages
from nonzero_service.workers.forward_server import ForwardServer, Stream
from nonzero_service.workers.message_stream import MessageStream

MOST_STRANGERS: Final = 64
"""So many connections may be in their handshake: for one more, the one that is longest in it is closed."""

BACKLOG: Final = 128

QUIET_SECONDS: Final = 60.0
"""How long nothing more is logged of nodes that are not let in for the same reason."""

RESPITE: Final = 0.1
"""Seconds after which a connection is taken again, where one could not be."""


class NodeListener:
    """Lets other nodes in, and has their requests answered; to be used on the event loop.

    Parameters
    ----------
    server
        Answers requests.
    secret
        Returns the secret of the term in which this node writes; None where it does not write.
    """

    def __init__(self, server: ForwardServer, secret: Callable[[], bytes | None]) -> None:
        self._server = server
        self._secret = secret
        self._listening: list[socket.socket] = []
        self._sessions: dict[bytes, set[Stream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: dict[asyncio.Task[None], socket.socket] = {}
        """Those in their handshake, the one that is longest in it first."""
        self._quiet_until: dict[str, float] = {}
        self._log = structlog.get_logger("cluster")

    @property
    def nodes(self) -> int:
        """How many other nodes give signs of life."""
        return len(self._sessions)

    def listen(self, address: str) -> str:
        """Bind an address; return it with the port that it has, where port 0 asked for a free one.

        Raises
        ------
        AddressError
            Where it is taken, or cannot be bound.
        """
        host, port = host_and_port(address)
        self._listening = listen(host, port, shared=False)
        named = f"[{host}]" if ":" in host else host
        return f"{named}:{self._listening[0].getsockname()[1]}"

    def begin(self) -> None:
        """Begin to let nodes in."""
        for sock in self._listening:
            sock.setblocking(False)
            sock.listen(BACKLOG)
            self._spawn(self._accept(sock))

    async def close(self) -> None:
        """Let nobody in any more, and end all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in self._listening:
            sock.close()
        self._listening = []

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError:  # it went, or there is no descriptor for it
                await asyncio.sleep(RESPITE)
                continue
            sock.setblocking(False)
            if len(self._strangers) >= MOST_STRANGERS:
                self._give_up_longest()
            self._strangers[self._spawn(self._begin(sock))] = sock

    def _give_up_longest(self) -> None:
        """Make room for one more: a node is through its handshake in milliseconds, so it is none."""
        task, sock = next(iter(self._strangers.items()))
        del self._strangers[task]
        self._tell(sock, "too many are in their handshake")
        task.cancel()
        task.add_done_callback(lambda _: sock.close())  # it may not have begun

    async def _begin(self, sock: socket.socket) -> None:
        """Let one connection in, and serve it to its end."""
        try:
            async with asyncio.timeout(handshake.SECONDS):
                hello = await welcome(sock, self._secret())
        except BaseException as error:
            match error:
                case NotYetWritingError():
                    self._log.debug("a node was not let in", reason=str(error))
                case TimeoutError():
                    self._tell(sock, handshake.TOO_SLOW)
                case HandshakeError():
                    self._tell(sock, str(error))
            sock.close()
            if isinstance(error, OSError | HandshakeError):  # a TimeoutError is one
                return
            raise
        finally:
            self._strangers.pop(cast(asyncio.Task[None], asyncio.current_task()), None)
        try:
            await (self._watch if hello.purpose is Purpose.BEATS else self._serve)(sock, hello)
        except OSError:  # it has gone meanwhile
            self._log.debug("a connection of another node was lost", exc_info=True)

    async def _watch(self, sock: socket.socket, hello: Hello) -> None:
        """Open a session, and end it with the signs of life."""
        if hello.session in self._sessions:
            sock.close()
            return
        streams = self._sessions[hello.session] = set()  # at once: requests may follow
        try:
            stream: BeatStream = await MessageStream.open(sock, NodeBeat)
            if await beat(stream, asks=False):
                self._log.warning("another node gives no sign of life; its requests are given up")
        finally:
            del self._sessions[hello.session]
            for one in streams:
                one.abort()

    async def _serve(self, sock: socket.socket, hello: Hello) -> None:
        """Answer requests of a session."""
        stream: Stream = await MessageStream.open(sock, messages.FromForwarder)
        streams = self._sessions.get(hello.session)
        if streams is None:
            stream.abort()
            return
        streams.add(stream)
        try:
            await self._server.answer(stream)
        finally:
            streams.discard(stream)

    def _tell(self, sock: socket.socket, reason: str) -> None:
        """Say why a connection is closed, once in a while."""
        now = time.monotonic()
        if now < self._quiet_until.get(reason, 0):
            return
        self._quiet_until = {known: until for known, until in self._quiet_until.items() if now < until}
        self._quiet_until[reason] = now + QUIET_SECONDS
        try:
            address = str(sock.getpeername()[0])
        except OSError:
            address = "an address that has gone"
        self._log.warning("a node was not let in", address=address, reason=reason)


def host_and_port(address: str) -> tuple[str, int]:
    """Take HOST:PORT apart.

    Examples
    --------
    >>> host_and_port("[::1]:7000")
    ('::1', 7000)
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
