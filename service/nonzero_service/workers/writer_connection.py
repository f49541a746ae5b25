"""A worker's connection to the writer: a request is sent as it is received, its answer taken as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from nonzero_service.problems import Problem

__all__ = ["HOP_BY_HOP", "WriterConnection"]

HIGH_WATER: Final = 1 << 16
"""So much of an answer may wait here for the client."""

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

CONTINUE: Final = 100
"""The status by which a body is asked for."""


class WriterConnection(asyncio.Protocol):
    """One connection to the writer: it carries one request at a time."""

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
                if self._transport.is_closing():  # whoever waits for the answer sees it too
                    return
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
        if not self._transport.is_closing():
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
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, _: Exception | None) -> None:
        """Take it that either side has closed it."""
        self.lost = True
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Send no more for now: the writer does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Send more."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the answer."""
        if name.lower() not in SERVERS_OWN:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of the answer's head, or of what asks for the body."""
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
        """Take a part of the answer's body."""
        self._body += body
        if len(self._body) > HIGH_WATER:
            self._transport.pause_reading()
        self._changed.set()

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        if not self._headed:  # it was the answer to whether a body is wanted
            return
        self._complete = True
        self._changed.set()
