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
from typing import Final, NamedTuple, cast

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nonzero_service.front.access import MAY_NOT_TEACH
from nonzero_service.problems import Problem, problem_of, send_problem
from nonzero_service.requests import made_request_id
from nonzero_service.storage.errors import OutcomeUnknownError

__all__ = ["Answer", "Forwarder", "PassedOn"]

HIGH_WATER: Final = 1 << 16
"""So much of an answer may wait here for the client."""

MOST_IDLE: Final = 64
"""Connections kept for later."""

# Of the connection, not of the request or the answer (RFC 9110, section 7.6.1).
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
SERVERS_OWN: Final = HOP_BY_HOP | {b"date"}

GUARDS_OWN: Final = b"nonzero-may-not-teach"
"""In the head of what is passed on: what the worker's guard has noted of the request; never a client's."""
CONTINUE: Final = 100
"""The status by which a body is asked for."""


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
    """

    def __init__(self, hand_over: Callable[[socket.socket], object]) -> None:
        self._hand_over = hand_over
        self._idle: list[_Connection] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        connection = await self._connection(scope["method"] == "HEAD")
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
        except ConnectionError as error:
            if connection.left:  # the client went first: nobody waits for an answer
                return
            if begun:
                raise  # the client sees that this answer is not whole
            scope["request_id"] = made_request_id().decode()
            await send_problem(scope, send, connection.refusal or problem_of(OutcomeUnknownError(str(error))))
        finally:
            await _end(sending)
            self._put_back(connection)

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a request of the worker's own.

        Raises
        ------
        OutcomeUnknownError
            Where the writer is gone.
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
            raise OutcomeUnknownError("the writer is gone") from error
        finally:
            await _end(sending)
            self._put_back(connection)

    async def _connection(self, bodiless: bool = False) -> _Connection:
        """Return a connection for one request; `bodiless`: its answer has a length and no body."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                connection.begin(bodiless)
                return connection
        ours, theirs = socket.socketpair()
        with theirs:
            self._hand_over(theirs)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(_Connection, sock=ours)
        connection.begin(bodiless)
        return connection

    def _put_back(self, connection: _Connection) -> None:
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


class _Connection(asyncio.Protocol):
    """One connection to the writer."""

    def __init__(self) -> None:
        self.lost = False
        self.left = False
        """Whether the client went before its answer had ended."""
        self.refusal: Problem | None = None
        """Why the rest of the request's body was not read."""
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def begin(self, bodiless: bool) -> None:
        """Be ready for the next request."""
        self._parser = httptools.HttpResponseParser(self)
        self._bodiless = bodiless
        self._headers: list[tuple[bytes, bytes]] = []
        self._continued = self._headed = self._sent = self._complete = False
        self._body = bytearray()
        self._changed.clear()

    @property
    def reusable(self) -> bool:
        """Whether request and answer have ended and the connection lasts."""
        ended = self._sent and self._complete and not self._body
        return ended and not self.lost and not self._bodiless and bool(self._parser.should_keep_alive())

    def abort(self) -> None:
        """Close at once: the writer sees that its client has gone."""
        self._transport.abort()

    # -- the request -----------------------------------------------------------------------------------

    async def send(self, head: bytes, chunked: bool, receive: Receive, watch: bool = True) -> None:
        """Send a request as it is received; then, with `watch`, see whether the client goes."""
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body, more = message.get("body", b""), message.get("more_body", False)
                if chunked:
                    body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (
                        b"" if more else b"0\r\n\r\n"
                    )
                if head or body:
                    self._transport.write(b"".join((head, body)))
                head = b""
                await self._writable.wait()
            self._sent = True
            if watch:
                await receive()  # the client's going, or the answer's end
                raise ClientDisconnect
        except ClientDisconnect:
            if not self._complete:
                self.left = True
                self.abort()
        except Problem as problem:  # the rest of the body is not to be read
            self.refusal = problem
            self.abort()

    async def send_when_wanted(self, head: bytes, chunked: bool, receive: Receive) -> None:
        """Send a head, and the body where the writer asks for it: only then is the client told to send it."""
        self._transport.write(head)
        with suppress(ConnectionError):  # who waits for the answer meets it too
            await self._until(lambda: self._continued or self._headed)
        if self._continued:
            await self.send(b"", chunked, receive)

    # -- the answer ------------------------------------------------------------------------------------

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return the answer's status and headers.

        Raises
        ------
        ConnectionError
            Where the connection ended before.
        """
        await self._until(lambda: self._headed)
        return self._parser.get_status_code(), self._headers

    async def body(self) -> tuple[bytes, bool]:
        """Return what there is of the body, and whether more will come.

        Raises
        ------
        ConnectionError
            Where the connection ended before the answer.
        """
        await self._until(lambda: bool(self._body) or self._complete)
        body = bytes(self._body)
        self._body.clear()
        if not self._complete:
            self._transport.resume_reading()
        return body, not self._complete

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self.lost:
                raise ConnectionResetError("the writer closed the connection")
            self._changed.clear()
            await self._changed.wait()

    # -- what asyncio and the parser call --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, _: Exception | None) -> None:
        self.lost = True
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in SERVERS_OWN:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() == CONTINUE:
            self._continued = True
            self._headers.clear()
            self._changed.set()
            return
        self._headed = True
        if self._bodiless:
            self._complete = True
        self._changed.set()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > HIGH_WATER:
            self._transport.pause_reading()
        self._changed.set()

    def on_message_complete(self) -> None:
        if not self._headed:  # it was the answer to whether a body is wanted
            return
        self._complete = True
        self._changed.set()


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
