"""WriterLink: the way of a node that follows to the one that writes."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Final

import structlog

from nonzero_service.cluster import handshake
from nonzero_service.cluster.beating import SILENT_SECONDS, BeatStream, NodeBeat, beat
from nonzero_service.cluster.handshake import Hello, Purpose, introduce
from nonzero_service.cluster.node_listener import host_and_port
from nonzero_service.cluster.roles import Leader
from nonzero_service.errors import HandshakeError, NotYetWritingError, WriterLostError
from nonzero_service.incidental import incidentally
from nonzero_service.metrics.counts import Counts
from nonzero_service.workers.forwarding import Forwarder, Refusals
from nonzero_service.workers.message_stream import MessageStream

RESPITE: Final = 0.5
"""Seconds after which a link that was lost is tried again."""

LOOK_SECONDS: Final = 0.05
"""How often a link that is to end is looked at, whether its requests have ended."""

NOT_TAKEN: Final = "the node that writes has ended, or does not answer; nothing was done, try again"

OF_NODES: Final = Refusals(
    NOT_TAKEN,
    NOT_TAKEN,
    "the outcome is unknown, because the node that writes has ended, or does not answer; send the request "
    "again, to any node, an update with the same Idempotency-Key: what was kept of it is recognised",
)


class WriterLink:
    """Connections to one leader in one term; used on the event loop.

    Parameters
    ----------
    leader
        The node that writes.
    counts
        Where requests are counted that it does not answer.

    Attributes
    ----------
    forwarder : Forwarder
        Has it answer requests, and keep impressions.
    """

    def __init__(self, leader: Leader, counts: Counts) -> None:
        self.leader = leader
        self.forwarder = Forwarder(self._connect, counts, OF_NODES)
        self._session = b""
        self._why: str | None = None
        """Why there is no connection."""
        self._settled = asyncio.Event()
        """Set when it is known whether there is one."""
        self._retired = False
        self._log = structlog.get_logger("cluster")
        self._task = asyncio.create_task(self._live())

    def retire(self) -> asyncio.Task[None]:
        """Begin no request any more, and end when those that are under way have; return the task of that."""
        self._retired = True
        return asyncio.create_task(self._retire())

    async def close(self) -> None:
        """End; requests that are under way are given up."""
        self._retired = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._refuse(OF_NODES.not_taken)

    async def _retire(self) -> None:
        while self.forwarder.busy and not self._task.done():
            await asyncio.sleep(LOOK_SECONDS)
        await self.close()

    async def _live(self) -> None:
        """Keep a session open, and say why there is none where it cannot be."""
        told = ""
        while not self._retired:
            why, passing = await self._hold()
            self._refuse(why)
            if why != told and not self._retired and not passing:
                told = why
                self._log.warning(
                    "the node that writes cannot be reached", leader=self.leader.node, reason=why
                )
            if not self._retired:
                await asyncio.sleep(RESPITE)

    def _refuse(self, why: str | None) -> None:
        self._why = why
        self.forwarder.refuse(why)
        self._settled.set()

    async def _hold(self) -> tuple[str, bool]:
        try:
            return await self._hold_session()
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are to be told and not to wait
            incidentally(self._log.error, "a link to the node that writes has failed", exc_info=error)
            return NOT_TAKEN, False

    async def _hold_session(self) -> tuple[str, bool]:
        """Open a session, and hold it as long as it lasts.

        Returns
        -------
        why, passing
            Why it does not last, and whether that is as it has to be while another node takes over.
        """
        self._session = secrets.token_bytes(16)
        try:
            stream: BeatStream = await MessageStream.open(await self._reach(Purpose.BEATS), NodeBeat)
        except HandshakeError as error:
            return f"{error}; nothing was done, try again", isinstance(error, NotYetWritingError)
        except OSError as error:
            said = f"answers nothing within {handshake.SECONDS:g} seconds"
            if not isinstance(error, TimeoutError):
                said = f"cannot be reached: {error.strerror or error}"
            return f"the node {self.leader.node!r}, which writes, {said}; nothing was done, try again", False
        self._refuse(None)
        self._log.info("a link to the node that writes is open", leader=self.leader.node)
        if await beat(stream, asks=True):
            said = f"gives no sign of life for {SILENT_SECONDS:g} seconds"
        else:
            said = "has ended, or writes no longer"
        return f"the node {self.leader.node!r}, which wrote, {said}; nothing was done, try again", False

    async def _connect(self) -> socket.socket:
        """Make a connection for requests."""
        await self._settled.wait()
        if self._why is not None:
            raise WriterLostError(self._why)
        try:
            return await self._reach(Purpose.REQUESTS)
        except HandshakeError as error:
            raise WriterLostError(f"{error}; nothing was done, try again") from error

    async def _reach(self, purpose: Purpose) -> socket.socket:
        """Return a socket that the leader has let in."""
        host, port = host_and_port(self.leader.address)
        async with asyncio.timeout(handshake.SECONDS):
            sock = await _connected(host, port)
            try:
                await introduce(sock, self.leader.secret, Hello(purpose, self._session), self.leader.node)
            except BaseException:
                sock.close()
                raise
        return sock


async def _connected(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that answers."""
    loop, failed = asyncio.get_running_loop(), OSError("it has no address")
    for family, kind, number, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, place)
            return sock
        except OSError as error:
            sock.close()
            failed = error
        except BaseException:
            sock.close()
            raise
    raise failed
