"""Exchange: one request and its answer, as the application sees them (ASGI)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Message, Scope

from nonzero_service.front.guard import Pass
from nonzero_service.front.heads import Head
from nonzero_service.front.limits import BUFFER, LINGER_BYTES
from nonzero_service.problems import Problem

if TYPE_CHECKING:
    from nonzero_service.front.connection import Connection

__all__ = ["CONTINUE", "STATUS_LINES", "Exchange"]

NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_CONTENT: Final = frozenset({204, 304})

# How the end of an answer is told.
SIZED: Final = 0
CHUNKED: Final = 1
UNTIL_CLOSED: Final = 2


class Exchange:
    """One request with its answer.

    Parameters
    ----------
    connection
        What it came by.
    scope, head
        Its ASGI scope, and what else its head says.
    keep_alive
        Whether another request may follow.
    """

    __slots__ = (
        "_connection",
        "_continue",
        "_form",
        "_head_bytes",
        "_held",
        "_pieces",
        "_rest",
        "_told",
        "_waiter",
        "admitted",
        "answered",
        "begun",
        "gone",
        "head",
        "keep_alive",
        "on_leave",
        "refusal",
        "scope",
        "whole",
    )

    def __init__(self, connection: Connection, scope: Scope, head: Head, *, keep_alive: bool) -> None:
        self._connection = connection
        self._continue = head.expects_continue
        self._pieces: list[bytes | memoryview] = []
        self._held = 0
        self._told = False  # whether the application has been given the body's end
        self._waiter: asyncio.Future[None] | None = None
        self._form = SIZED
        self._head_bytes = b""
        self._rest = 0  # bytes of the answer's body that its Content-Length still promises
        self.scope = scope
        self.head = head
        self.keep_alive = keep_alive
        self.admitted: Pass | None = None
        """What it was let in with."""
        self.whole = False
        """Whether the whole body has arrived."""
        self.begun = False
        """Whether the answer has begun."""
        self.answered = False
        """Whether the answer is complete."""
        self.gone = False
        """Whether the client has gone."""
        self.on_leave: Callable[[], None] | None = None
        """Called when the client goes before an answer that is made without a task."""
        self.refusal: Problem | None = None
        """Why the rest of the body will not be read."""

    @property
    def is_read(self) -> bool:
        """Whether the application has taken all that has arrived, and waits for more."""
        return not self._held and self._waiter is not None

    # -- from the connection ---------------------------------------------------------------------------

    def feed(self, data: bytes | memoryview) -> bool:
        """Take a part of the body; return whether as much waits as may."""
        if self.answered:
            return False
        self._pieces.append(data)
        self._held += len(data)
        self._wake()
        # Of what it was let in with a quarter may wait here; the rest is for what is done with it.
        return self._held > (BUFFER if self.admitted is None else max(BUFFER, self.admitted.nbytes // 4))

    def end(self) -> None:
        """Take the end of the body."""
        self.whole = True
        self._wake()

    def refuse(self, problem: Problem) -> None:
        """Let the application's next look at the body raise a problem; nothing follows this exchange."""
        self.refusal = problem
        self.keep_alive = False
        self._wake()

    def leave(self) -> None:
        """Take it that the client has gone."""
        self.gone = True
        self._wake()
        if self.on_leave is not None:
            self.on_leave()

    def answer(self, problem: Problem) -> None:
        """Answer with a problem, without the application."""
        body = problem.body(self.scope)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.scope["request_id"].encode()),
            *problem.headers,
        ]
        head = self._head(problem.status, headers)
        self._connection.write(head if self.scope["method"] == "HEAD" else head + body)
        self.begun = self.answered = True
        self._connection.answered(self, waited=self._continue)

    # -- at once ---------------------------------------------------------------------------------------

    @property
    def body(self) -> bytes:
        """The body, where it is whole and the application has not taken it."""
        return b"".join(self._pieces)

    def answer_json(self, status: int, body: bytes, request_id: bytes) -> None:
        """Answer with JSON, to a request that is whole, without the application's messages."""
        data = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b%b" % (
            STATUS_LINES[status],
            len(body),
            request_id,
            b"" if self.keep_alive else b"connection: close\r\n",
            self._connection.front.lines(),
            body,
        )
        self.begun = self.answered = True
        self._connection.write(data)
        self._connection.answered(self, waited=False)

    def cut(self) -> None:
        """End the connection: the answer failed."""
        self._connection.cut()

    def go_on(self, app: ASGIApp | None = None) -> None:
        """Have the application answer after all, or what stands in for it."""
        self.on_leave = None
        self._connection.run(self, app)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- for the application ---------------------------------------------------------------------------

    async def run(self, app: ASGIApp) -> None:
        """Have the application answer; where it does not, cut the connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self.gone:  # it was told to stop
                self._connection.cut()
        except Exception:
            self._connection.cut()
            logging.getLogger("nonzero.front").exception("a request failed beyond its answer")
        else:
            if not self.answered and not self.gone:
                self._connection.cut()

    async def receive(self) -> Message:
        """Return the next part of the body, or that the client has gone.

        Raises
        ------
        Problem
            Where the rest of the body will not be read.
        """
        while True:
            if self.gone or self.answered:
                return {"type": "http.disconnect"}
            if self.refusal is not None:
                raise self.refusal
            if self._pieces or (self.whole and not self._told):
                break
            if self._continue:
                self._continue = False
                self._connection.write(CONTINUE)
            self._connection.resume_reading()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces = self._pieces
        if pieces and isinstance(pieces[0], memoryview):  # a long body is handed on as it was received
            body = pieces.pop(0)
        else:
            body = self.body
            pieces.clear()
        self._held -= len(body)
        self._told = self.whole and not pieces
        return {"type": "http.request", "body": body, "more_body": not self._told}

    async def send(self, message: Message) -> None:
        """Send a part of the answer, when the client has taken enough of what was sent before."""
        connection = self._connection
        if connection.is_full and not self.gone:
            await connection.drained()
        if self.gone:
            return
        if not self.begun:
            self.begun = True
            self._head_bytes = self._head(message["status"], message.get("headers", ()))
            return  # it is written with what follows: a system call less
        last = not message.get("more_body", False)
        data = self._head_bytes + self._framed(message.get("body", b""), last=last)
        self._head_bytes = b""
        if data:
            connection.write(data)
        if last:
            self.answered = True
            self._wake()
            connection.answered(self, waited=self._continue)

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        """Return a part of the answer's body as it is sent."""
        if self.scope["method"] == "HEAD":
            return b""
        if self._form == CHUNKED:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk + b"0\r\n\r\n" if last else chunk
        if self._form == SIZED:
            self._rest -= len(body)
            if self._rest < 0 or (last and self._rest):
                raise RuntimeError("an answer is not as long as its Content-Length says")
        return body

    def _goes_on(self, status: int) -> bool:
        """Decide whether another request may follow: not where much of a refused body would be waited for."""
        if status >= 400 and not self.whole:
            length = self.head.length
            if length is None or length - self._connection.received > LINGER_BYTES:
                self.keep_alive = False
        return self.keep_alive

    def _head(self, status: int, headers: Any) -> bytes:
        lines = [STATUS_LINES[status]]
        sized = False
        own_policy = own_cache = False
        for name, value in headers:
            if not NAME.fullmatch(name) or NO_VALUE.search(value):
                raise RuntimeError("a header of an answer has characters that it may not have")
            match name:
                case b"content-length":
                    sized, self._rest = True, int(value)
                case b"content-security-policy":
                    own_policy = True
                case b"cache-control":
                    own_cache = True
            lines += (name, b": ", value, b"\r\n")
        if self.scope["method"] == "HEAD":
            self._rest = 0
        elif not sized and status not in NO_CONTENT:
            if self.scope["http_version"] == "1.0":
                self._form = UNTIL_CLOSED
            else:
                self._form = CHUNKED
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self._goes_on(status):
            lines.append(b"connection: close\r\n")
        lines.append(self._connection.front.lines(own_policy=own_policy, own_cache=own_cache))
        return b"".join(lines)
