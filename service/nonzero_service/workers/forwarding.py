"""Forwarding: the side of a worker, or of a node that follows, of requests that the writer answers.

A request goes to the writer as a message, and its answer comes back as messages: what ASGI says of either.
Bodies pass part by part in both directions, each at the pace of who takes it, so that streams of any length
do, and answers that begin before their request has ended. A connection carries one request at a time, and
waits for the next in a pool. Where either side goes before the end, the other sees the connection closed. The
token of a request stays here, where it was checked.

Two shorter ways were looked at. A connection of a client cannot be handed to the writer itself: the keys of
its TLS stay behind, and all later predictions over it would be the writer's to make. An HTTP client (httpx)
sends a request whole before it reads the answer, and knows no ``100 Continue``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero_service.errors import ChannelError, WriterLostError
from nonzero_service.http.accounting import Accounting
from nonzero_service.http.guard import MAY_NOT_SEE_MESSAGES, MAY_NOT_TEACH
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem
from nonzero_service.workers import request_messages as messages
from nonzero_service.workers.message_stream import MessageStream

Stream: TypeAlias = MessageStream[messages.ToForwarder]

MAX_IDLE: Final = 64
"""Connections kept for later."""

TOLD: Final = (
    "method", "path", "raw_path", "query_string", "http_version", "scheme", "headers",
    MAY_NOT_TEACH, MAY_NOT_SEE_MESSAGES,
)  # fmt: skip
"""What the writer is told of a request's scope."""

SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods by which nothing is changed."""

SECRET: Final = b"authorization"
"""The header that the writer is not told."""


class Refusals(NamedTuple):
    """What a client is told where the writer does not answer."""

    not_taken: str
    """Nothing was done."""
    not_connected: str
    """Nothing was done, because there is no connection to it."""
    unknown: str
    """Something may have been done."""


OF_PROCESSES: Final = Refusals(
    "the process that learns has ended, or does not answer; nothing was done, try again",
    "this process has no file descriptor free to ask the one that learns; nothing was done, try again",
    "the outcome is unknown, because the process that learns has ended, or does not answer; send the request "
    "again, an update with the same Idempotency-Key: what was kept of it is recognised",
)


class Forwarder:
    """Has the writer answer: requests, as an ASGI application, and impressions that it is to keep.

    Parameters
    ----------
    connect
        Makes a connection to the writer, or raises an OSError.
    counts
        Where requests are counted that the writer does not answer; it counts the others.
    refusals
        What clients are told where it does not.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[socket.socket]],
        counts: Counts,
        refusals: Refusals = OF_PROCESSES,
    ) -> None:
        self._connect = connect
        self._accounting = Accounting(counts)
        self._refusals = refusals
        self._idle: list[Stream] = []
        self._busy: set[Stream] = set()
        self._why: str | None = None
        self.passed_on = 0
        """How many requests the writer was given."""

    @property
    def refuses(self) -> bool:
        """Whether the writer is waited for no longer."""
        return self._why is not None

    @property
    def busy(self) -> int:
        """How many connections have a request."""
        return len(self._busy)

    def refuse(self, why: str | None) -> None:
        """Wait for the writer no longer, and tell clients why; or, with None, again."""
        self._why = why
        if why is not None:
            self.close()
            for stream in self._busy:
                stream.abort()

    def close(self) -> None:
        """Close the connections that wait for a request."""
        while self._idle:
            self._idle.pop().abort()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the writer answer one request."""
        try:
            stream = await self._take()
        except WriterLostError as error:
            await self._accounting.refuse(error, scope, receive, send)
            return
        self.passed_on += 1
        relay = _Relay(stream, scope, receive)
        try:
            await relay.answer(send)
        except (ConnectionError, ChannelError):
            # Where the client went first nobody waits for an answer; one that has begun it sees cut off.
            if not relay.left and not relay.begun:
                said = self._refusals.not_taken if scope["method"] in SAFE else self._refusals.unknown
                lost = relay.refusal or WriterLostError(said)
                await self._accounting.refuse(lost, scope, receive, send)
        finally:
            self._put_back(stream, reusable=relay.complete)

    async def keep(self, *impressions: messages.KeepImpressions) -> list[messages.ImpressionsKept]:
        """Have the writer keep impressions; return what came of each.

        Raises
        ------
        WriterLostError
            Where the writer has ended, or does not answer.
        """
        stream = await self._take()
        kept: list[messages.ImpressionsKept] | None = None
        try:
            await stream.write(messages.KeepAll(list(impressions)))
            answer = await stream.read()
            if not isinstance(answer, messages.AllKept) or len(answer.kept) != len(impressions):
                raise ChannelError(f"{type(answer).__name__} is no answer to impressions")
            kept = answer.kept
            return kept
        except (ConnectionError, ChannelError) as error:
            raise WriterLostError(self._refusals.unknown) from error
        finally:
            self._put_back(stream, reusable=kept is not None)

    async def _take(self) -> Stream:
        """Return a connection for one request."""
        if self._why is not None:
            raise WriterLostError(self._why)
        while self._idle:
            stream = self._idle.pop()
            if not stream.lost:
                break
        else:
            try:
                stream = await MessageStream.open(await self._connect(), messages.ToForwarder)
            except OSError as error:
                raise WriterLostError(self._refusals.not_connected) from error
        self._busy.add(stream)
        return stream

    def _put_back(self, stream: Stream, *, reusable: bool) -> None:
        self._busy.discard(stream)
        if reusable and self._why is None and not stream.lost and len(self._idle) < MAX_IDLE:
            self._idle.append(stream)
        else:
            stream.abort()


class _Relay:
    """One request on its way to the writer, and its answer on the way back."""

    def __init__(self, stream: Stream, scope: Scope, receive: Receive) -> None:
        self._stream = stream
        self._scope = scope
        self._receive = receive
        self._wanted = asyncio.Event()
        self._sent = self._answered = False
        self.begun = False
        """Whether the answer has begun."""
        self.left = False
        """Whether the client went before its answer had ended."""
        self.refusal: Problem | None = None
        """Why the rest of the request's body was not read."""

    @property
    def complete(self) -> bool:
        """Whether request and answer have passed to their end."""
        return self._sent and self._answered

    async def answer(self, send: Send) -> None:
        """Send the request as it is received, and the answer as it comes.

        Raises
        ------
        ConnectionError, ChannelError
            Where the connection ended before the answer.
        """
        sending = asyncio.create_task(self._send_request())
        try:
            while not self._answered:
                match await self._stream.read():
                    case messages.BodyWanted():
                        self._wanted.set()
                    case messages.AnswerStart(status, headers):
                        self.begun = True
                        await send({"type": "http.response.start", "status": status, "headers": headers})
                    case messages.AnswerPart(body, more):
                        self._answered = not more
                        await send({"type": "http.response.body", "body": body, "more_body": more})
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _send_request(self) -> None:
        """Send the request; then see whether the client goes."""
        try:
            await self._send_parts()
            self._sent = True
            await self._receive()  # the client's going, or the answer's end
            raise ClientDisconnect
        except ClientDisconnect:
            if not self._answered:
                self.left = True
                self._stream.abort()
        except Problem as problem:  # the rest of the body is not to be read
            self.refusal = problem
            self._stream.abort()
        except ConnectionError:  # who waits for the answer meets it too
            pass

    async def _send_parts(self) -> None:
        told = {name: self._scope[name] for name in TOLD if name in self._scope}
        told["headers"] = [header for header in told["headers"] if header[0] != SECRET]
        request = messages.ForwardedRequest(told)
        head = [request]

        def send_head() -> None:
            """Send the head alone: the answer may need no body, or come before it."""
            self._stream.put(*head)
            head.clear()

        if request.expects_continue:  # the client is told to send its body when the writer wants it
            send_head()
            await self._wanted.wait()
        else:  # runs where there is nothing to receive yet; else they go together: a system call less
            asyncio.get_running_loop().call_soon(send_head)
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body, more = memoryview(message.get("body", b"")), message.get("more_body", False)
            parts = [*head, messages.BodyPart(body, more)]
            head.clear()
            await self._stream.write(*parts)
