"""Forwarding: a request goes to the writer as it came, and its answer back as it was given.

Bodies pass through piece by piece in both directions, each at the pace of who takes it, so that streams of
any length do, and answers that begin before their request has ended. A connection carries one request at a
time, and waits for the next in a pool. Where either side goes before the end, the other sees it go.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nonzero_service.errors import WriterLostError
from nonzero_service.http.accounting import Accounting
from nonzero_service.http.guard import MAY_NOT_TEACH
from nonzero_service.metrics.counts import Counts
from nonzero_service.workers.writer_connection import HOP_BY_HOP, WriterConnection

__all__ = ["Answer", "Forwarder", "PassedOn"]

MOST_IDLE: Final = 64
"""Connections kept for later."""

GUARDS_OWN: Final = b"nonzero-may-not-teach"
"""In the head of what is passed on: what the worker's guard has noted of the request; never a client's."""

SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods by which nothing is changed."""

NOT_TAKEN: Final = "the process that learns has ended, or does not answer; nothing was done, try again"
NOT_CONNECTED: Final = (
    "this process has no file descriptor free to ask the one that learns; nothing was done, try again"
)
UNKNOWN: Final = (
    "the outcome is unknown, because the process that learns has ended, or does not answer; send the request "
    "again, an update with the same Idempotency-Key: what was kept of it is recognised"
)


class Answer(NamedTuple):
    """A whole answer of the writer."""

    status: int
    body: bytes


class Forwarder:
    """Passes requests on: an ASGI application, and a client of its own.

    Parameters
    ----------
    hand_over
        Gives the writer its end of a new connection.
    counts
        Where requests are counted that the writer does not answer; it counts the others.
    """

    def __init__(self, hand_over: Callable[[socket.socket], object], counts: Counts) -> None:
        self._hand_over = hand_over
        self._accounting = Accounting(counts)
        self._idle: list[WriterConnection] = []
        self._busy: set[WriterConnection] = set()
        self._refusing = False

    def refuse(self, refusing: bool) -> None:
        """Wait for the writer no longer, because it does not answer; or, with False, again."""
        self._refusing = refusing
        if refusing:
            for connection in self._busy:
                connection.abort()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        try:
            connection = await self._connection(scope["method"] == "HEAD")
        except WriterLostError as error:
            await self._fail(error, scope, receive, send)
            return
        begun = False
        send_request = connection.send_when_wanted if _expects(scope) else connection.send
        sending = asyncio.create_task(send_request(_head(scope), _chunked(scope), receive))
        try:
            status, headers = await connection.head()
            begun = True
            await send({"type": "http.response.start", "status": status, "headers": headers})
            more = True
            while more:
                body, more = await connection.body()
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except ConnectionError:
            # Where the client went first nobody waits for an answer; one that has begun it sees cut off.
            if not connection.left and not begun:
                lost = WriterLostError(NOT_TAKEN if scope["method"] in SAFE else UNKNOWN)
                await self._fail(connection.refusal or lost, scope, receive, send)
        finally:
            await _end(sending)
            self._put_back(connection)

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the writer does not."""

        async def failing(*_: object) -> None:
            raise error

        await self._accounting.answer(failing, scope, receive, send)

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a request of the worker's own.

        Raises
        ------
        WriterLostError
            Where the writer has ended, or does not answer.
        """

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        connection = await self._connection()
        head = b"POST %s HTTP/1.1\r\nhost: writer\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body))
        sending = asyncio.create_task(connection.send(head, False, receive, watch=False))
        try:
            status, _ = await connection.head()
            pieces, more = [], True
            while more:
                piece, more = await connection.body()
                pieces.append(piece)
            return Answer(status, b"".join(pieces))
        except ConnectionError as error:
            raise WriterLostError(UNKNOWN) from error
        finally:
            await _end(sending)
            self._put_back(connection)

    async def _connection(self, bodiless: bool = False) -> WriterConnection:
        """Return a connection for one request; `bodiless`: its answer has a length and no body."""
        if self._refusing:
            raise WriterLostError(NOT_TAKEN)
        connection = None
        while self._idle and (connection is None or connection.lost):
            connection = self._idle.pop()
        if connection is None or connection.lost:
            try:
                connection = await self._new_connection()
            except OSError as error:
                raise WriterLostError(NOT_CONNECTED) from error
        self._busy.add(connection)
        connection.begin(bodiless)
        return connection

    async def _new_connection(self) -> WriterConnection:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._hand_over(theirs)
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_unix_connection(WriterConnection, sock=ours)
        except BaseException:
            ours.close()
            raise
        return connection

    def _put_back(self, connection: WriterConnection) -> None:
        self._busy.discard(connection)
        if connection.reusable and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()


class PassedOn:
    """ASGI middleware of the writer: notes of what was passed on what the worker's guard has noted.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        for name, value in scope["headers"]:
            if name == GUARDS_OWN:
                scope[MAY_NOT_TEACH] = value.decode()
        await self.app(scope, receive, send)


def _head(scope: Scope) -> bytes:
    """Return a request's head as it is passed on."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target)]
    lines += [
        b"%b: %b" % header
        for header in scope["headers"]
        if header[0] not in HOP_BY_HOP and header[0] != GUARDS_OWN
    ]
    if MAY_NOT_TEACH in scope:
        lines.append(b"%b: %b" % (GUARDS_OWN, scope[MAY_NOT_TEACH].encode()))
    if _chunked(scope):
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join([*lines, b"", b""])


def _expects(scope: Scope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def _chunked(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


async def _end(sending: asyncio.Task[None]) -> None:
    if not sending.done():
        sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
