"""RequestCycle: one request and its answer, as an application sees them (ASGI)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Scope

from nonzero_service.http.admission import Admission
from nonzero_service.http.default_headers import DefaultHeaders
from nonzero_service.http.head import Head
from nonzero_service.http.limits import BUFFER, LINGER_BYTES
from nonzero_service.problems import Problem

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


class Client(Protocol):
    """What a cycle needs of the connection that its request came by."""

    @property
    def received(self) -> int:
        """Bytes of the body that have arrived."""

    @property
    def is_full(self) -> bool:
        """Whether enough is written that the client has not taken."""

    def write(self, data: bytes) -> None:
        """Write to the client."""

    async def drained(self) -> None:
        """Wait until the client has taken enough, or has gone."""

    def resume_reading(self) -> None:
        """Read on."""

    def cut(self) -> None:
        """End at once."""

    def answered(self, cycle: RequestCycle, *, waited: bool) -> None:
        """Go on to the next request.

        Parameters
        ----------
        cycle
            Whose answer is complete.
        waited
            Whether its client still waits to be told to send the body: whether it will, nobody knows.
        """


class RequestCycle:
    """One request with its answer.

    Parameters
    ----------
    client
        Who sent it.
    scope, head
        Its ASGI scope, and its head.
    default_headers
        What every answer says.
    keep_alive
        Whether another request may follow.
    """

    def __init__(
        self, client: Client, scope: Scope, head: Head, default_headers: DefaultHeaders, *, keep_alive: bool
    ) -> None:
        self._client = client
        self._default_headers = default_headers
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
        self.admission: Admission | None = None
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
        return self._held > (BUFFER if self.admission is None else max(BUFFER, self.admission.nbytes // 4))

    def end(self) -> None:
        """Take the end of the body."""
        self.whole = True
        self._wake()

    def refuse(self, problem: Problem) -> None:
        """Let the application's next look at the body raise a problem; nothing follows this cycle."""
        self.refusal = problem
        self.keep_alive = False
        self._wake()

    def leave(self) -> None:
        """Take it that the client has gone."""
        self.gone = True
        self._wake()
        if self.on_leave is not None:
            self.on_leave()

    # -- answers without an application ----------------------------------------------------------------

    @property
    def body(self) -> bytes:
        """The body, where it is whole and the application has not taken it."""
        return b"".join(self._pieces)

    def answer_json(self, status: int, body: bytes, request_id: bytes) -> None:
        """Answer with JSON, to a request that is whole."""
        data = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b%b" % (
            STATUS_LINES[status],
            len(body),
            request_id,
            b"" if self.keep_alive else b"connection: close\r\n",
            self._default_headers(),
            body,
        )
        self._answer(data)

    def answer_problem(self, problem: Problem) -> None:
        """Answer with a problem."""
        headers, body = problem.answer(self.scope)
        head = self._head(problem.status, headers)
        self._answer(head if self.scope["method"] == "HEAD" else head + body)

    def _answer(self, data: bytes) -> None:
        self.begun = self.answered = True
        self._client.write(data)
        self._client.answered(self, waited=self._continue)

    def cut(self) -> None:
        """End the connection: the answer failed."""
        self._client.cut()

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
                self._client.cut()
        except Exception:
            self._client.cut()
            logging.getLogger("nonzero.http").exception("a request failed beyond its answer")
        else:
            if not self.answered and not self.gone:
                self._client.cut()

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
                self._client.write(CONTINUE)
            self._client.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
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
        client = self._client
        if client.is_full and not self.gone:
            await client.drained()
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
            client.write(data)
        if last:
            self.answered = True
            self._wake()
            client.answered(self, waited=self._continue)

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
            if length is None or length - self._client.received > LINGER_BYTES:
                self.keep_alive = False
        return self.keep_alive

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
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
        lines.append(self._default_headers(own_policy=own_policy, own_cache=own_cache))
        return b"".join(lines)
