"""Connection: one client's bytes, and the requests in them, one after another (HTTP/1.1, RFC 9112).

It stands in uvicorn's place for a protocol, which knows of it its ``shutdown`` and nothing else. Uvicorn's
own, on the same parser, has no bound on heads, trailers or time, takes trailers for headers, answers a bad
request before the good one that was sent ahead of it, and in plain text.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, cast

import httptools
from starlette.types import ASGIApp, Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from nonzero_service.front.exchange import CONTINUE, Exchange
from nonzero_service.front.guard import Pass
from nonzero_service.front.heads import framing_of, head_of, target_of, too_large, unreadable
from nonzero_service.front.limits import ASK_SECONDS, EXTRA, LINGER_BYTES, PIPELINED
from nonzero_service.front.phases import ANSWER, BODY, HEAD, IDLE, LEAVING
from nonzero_service.front.receiving import LONG, Receiver
from nonzero_service.front.shared import Front
from nonzero_service.problems import Problem

__all__ = ["Connection"]


class Connection(asyncio.Protocol):
    """One client's connection.

    Parameters
    ----------
    front
        What it shares with the others.
    config, server_state, app_state, _loop
        What uvicorn gives to a protocol.
    """

    def __init__(
        self,
        front: Front,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.front = front
        self.loop = _loop or asyncio.get_running_loop()
        self._app = cast(ASGIApp, config.loaded_app)
        self._server = server_state
        self._app_state = app_state
        self._parser: httptools.HttpRequestParser | None = self._new_parser()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._reading = True
        self._room: asyncio.Future[None] | None = None  # until the client has taken what was written
        self._waiting: deque[Exchange] = deque()  # requests sent ahead of the answers to earlier ones
        self._running: Exchange | None = None
        self._task: asyncio.Task[None] | None = None  # what answers it, where that may be given up
        self._last: Problem | None = None  # answered after all of these
        self._unframed = 0  # bytes that were neither a whole head nor body
        self._passed_over = 0
        self._ended = False  # whether the client sends no more
        self._offered = False  # whether another protocol is offered, and the parser reads no further
        self.arriving: Exchange | None = None
        """The request that is arriving, or arrived last."""
        self.phase = IDLE
        self.since = 0.0
        """When the phase began, or what it waits for last went on."""
        self.received = 0
        """Bytes of the body that is arriving."""
        self.waited = 0.0
        """Seconds for which it was waited for: the watch counts them."""
        self.written = 0
        self.flushed = 0
        """Bytes that the client had taken, when the watch last looked."""
        self.served = 0
        """Requests that were answered."""
        self.extra = False
        """Whether it is one more than there may be."""

    # -- from the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        connections = cast(set[Any], self._server.connections)
        count = len(connections)
        connections.add(self)
        self.front.watch.add(self)
        self.since = self.loop.time()
        self.extra = count >= self.front.limits.connections
        if count >= self.front.limits.connections + EXTRA:
            self.cut()
        self._facts = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": _address(transport, "sockname"),
            "client": _address(transport, "peername"),
            "scheme": "http" if transport.get_extra_info("sslcontext") is None else "https",
            "root_path": "",
        }

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End: nobody reads the answers."""
        cast(set[Any], self._server.connections).discard(self)
        self.front.watch.discard(self)
        self.phase = LEAVING
        self.resume_writing()
        self._waiting.clear()
        if self._running is not None:
            self._running.leave()
            if self._task is not None:  # nobody waits for it: it need not be done
                self._task.cancel()
            elif self._running.on_leave is not None and self._running.admitted is not None:
                self._running.admitted.end()
        self._parser = None  # they hold each other

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        parser = self._parser
        if self.phase == LEAVING or parser is None:
            return
        self._unframed += len(data)
        rest: bytes | memoryview = data
        try:
            while rest:
                try:
                    parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    rest = memoryview(rest)[upgrade.args[0] :]
                    parser = self._parser = self._parser_without_offer()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Problem) else unreadable(error))
        else:
            if self._unframed > self.front.limits.header_bytes:
                self._refuse(too_large(self.front.limits))
            elif self.phase == BODY:
                self._receive()

    def eof_received(self) -> bool:
        """Answer what came whole, then end: that a client sends no more does not say that it has gone.

        What did not come whole is given up.
        """
        self._ended = True
        exchange = self.arriving
        if self.phase == BODY and exchange is not None and not exchange.answered:
            if exchange is self._running:
                return False
            self._waiting.remove(exchange)
        if self._running is None or self._transport.get_extra_info("sslcontext") is not None:
            return False  # TLS cannot end one way
        if self._last is None:
            (self._waiting[-1] if self._waiting else self._running).keep_alive = False
        self._stop_parsing()
        self.loop.call_later(ASK_SECONDS, self._ask)
        return True

    def _ask(self) -> None:
        """See whether a client that has ended its side has gone: then what is written to it comes back.

        ``100 Continue`` says nothing to one that has not asked (RFC 9110, section 15.2.1).
        """
        exchange = self._running
        if exchange is None or self._transport.is_closing():
            return
        if not exchange.begun and exchange.scope["http_version"] == "1.1":
            self.write(CONTINUE)
        self.loop.call_later(ASK_SECONDS, self._ask)

    def _receive(self) -> None:
        """Receive the rest of a body past the parser, where it is long and its length is known."""
        length = cast(Exchange, self.arriving).head.length
        if length is not None and length - self.received >= LONG:
            missing = length - self.received
            self._transport.set_protocol(Receiver(self, missing, self._take, self._end_body))

    def _take(self, piece: memoryview) -> bool:
        """Take a part of a body past the parser; return whether more is wanted."""
        if self.phase != LEAVING:
            self.on_body(piece)
        return self.phase != LEAVING

    def _end_body(self) -> None:
        """Take the end of such a body, which its parser knows nothing of."""
        keep_alive = cast(Exchange, self.arriving).keep_alive
        self._parser = self._new_parser() if keep_alive else None  # what follows the last request is nobody's
        self._transport.set_protocol(self)
        self.resume_reading()
        self.on_message_complete()

    def _reads_on(self) -> bool:
        """Whether the parser reads what follows a body in chunks: it heeds a trailer that says to close."""
        return cast(httptools.HttpRequestParser, self._parser).should_keep_alive()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What follows a request with `Connection: close` is passed over, and no error of the request before.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _parser_without_offer(self) -> httptools.HttpRequestParser:
        """Return a parser that stands behind the last head, as if that had offered no other protocol.

        A server may ignore the offer (RFC 9110, section 7.8), but the parser takes what follows for the other
        protocol's. So another one is given a head that frames the same body; of that nobody hears.
        """
        parser = self._new_parser()
        parser.feed_data(framing_of(self._headers, last=not cast(Exchange, self.arriving).keep_alive))
        return parser

    def pause_writing(self) -> None:
        """Hold answers back: the client does not take them."""
        self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    # -- from the parser -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._offered:
            return
        self.phase = HEAD
        self.since = self.loop.time()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a body in chunks (a trailer) is nobody's."""
        if self.phase == HEAD:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin a request."""
        if self._offered:
            self._offered = False
            return
        parser = cast(httptools.HttpRequestParser, self._parser)
        version = parser.get_http_version()
        head = head_of(version, self._url, self._headers, self.front.limits)
        method = parser.get_method()
        self._offered = parser.should_upgrade()
        if method == b"CONNECT":
            raise Problem(400, "CONNECT asks for a tunnel; none is made here")
        target = target_of(self._url)
        if len(self._waiting) >= PIPELINED:
            raise Problem(429, f"at most {PIPELINED} requests may be sent ahead of their answers")
        scope: Scope = {
            **self._facts,
            "http_version": version,
            "method": method.decode("ascii"),
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "headers": self._headers,
            "state": self._app_state.copy(),
        }
        keep_alive = version == "1.1" and parser.should_keep_alive() and not self.extra
        self.arriving = exchange = Exchange(self, scope, head, keep_alive=keep_alive)
        self.phase = BODY
        self._unframed = self.received = self._passed_over = 0
        self.waited = 0.0
        if self._running is None:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self._pause_reading()

    def on_body(self, body: bytes | memoryview) -> None:
        """Take a part of a body."""
        self._unframed = 0
        self.since = self.loop.time()
        self.received += len(body)
        exchange = cast(Exchange, self.arriving)
        if exchange.answered:
            self._passed_over += len(body)
            if self._passed_over > LINGER_BYTES:
                self.leave()
        elif exchange.feed(body):
            self._pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        if self._offered:  # the parser passes over the body
            return
        self._unframed = 0
        self.since = self.loop.time()
        exchange = cast(Exchange, self.arriving)
        self.phase = IDLE if exchange.answered else ANSWER
        exchange.end()
        if exchange.head.length is None and exchange.keep_alive and not self._reads_on():
            exchange.keep_alive = False
            if exchange.answered:
                self.leave()

    # -- from the exchange -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write to the client."""
        self.written += len(data)
        self._transport.write(data)

    @property
    def is_full(self) -> bool:
        """Whether enough is written that the client has not taken."""
        return self._room is not None

    async def drained(self) -> None:
        """Wait until the client has taken enough, or has gone."""
        while self._room is not None:
            await self._room

    def resume_reading(self) -> None:
        """Read on."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self.since = self.loop.time()
            self._transport.resume_reading()

    def answered(self, exchange: Exchange, *, waited: bool) -> None:
        """Go on to the next request.

        Parameters
        ----------
        exchange
            Whose answer is complete.
        waited
            Whether its client still waits to be told to send the body: whether it will, nobody knows.
        """
        self._server.total_requests += 1
        self.served += 1
        self._running = None
        if exchange.admitted is not None:
            exchange.admitted.end()
        if self._transport.is_closing():
            return
        if not exchange.keep_alive or (waited and not exchange.whole):
            if exchange.whole:
                self._stop_parsing()
                self._transport.close()
            else:
                self.leave()
        elif self._waiting:
            self.resume_reading()
            self._begin(self._waiting.popleft())
        elif self._last is not None:
            self._answer_last(self._last)
        else:
            self.since = self.loop.time()
            if self.phase == ANSWER:
                self.phase = IDLE
            self.resume_reading()

    # -- ends ------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """End when what is in flight is answered: the service stops."""
        if self._running is None:
            self._transport.close()
        else:
            (self._waiting[-1] if self._waiting else self._running).keep_alive = False

    def cut(self) -> None:
        """End at once."""
        self.phase = LEAVING
        self._transport.abort()

    def late(self, problem: Problem) -> None:
        """End because the client takes too long."""
        self._refuse(problem)

    def leave(self) -> None:
        """Pass over what still comes, for a moment: a connection closed at once loses what was written."""
        self._stop_parsing()
        if self._transport.is_closing():
            return
        if self._ended:
            self._transport.close()
            return
        if self._transport.can_write_eof():  # TLS cannot end one way
            self._transport.write_eof()
        self.resume_reading()

    def unsent(self) -> int:
        """Return how much was written that the client has not taken, in bytes."""
        return self._transport.get_write_buffer_size()

    @property
    def is_reading(self) -> bool:
        """Whether the client is read from."""
        return self._reading

    @property
    def is_running(self) -> bool:
        """Whether a request is being answered."""
        return self._running is not None

    @property
    def is_passing_over(self) -> bool:
        """Whether the body that is arriving has been answered already."""
        return self.arriving is not None and self.arriving.answered

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn: it is read from, and the application waits for more."""
        exchange = self.arriving
        return self._reading and exchange is not None and (exchange.answered or exchange.is_read)

    def _pause_reading(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def _begin(self, exchange: Exchange) -> None:
        self._running = exchange
        self._task = None
        try:
            admitted = self.front.guard.admit(exchange.scope, exchange.head, extra=self.extra)
        except Problem as problem:
            self.front.turn_away(exchange.scope, problem)
            if problem.status in (429, 503):
                self.front.refusals.add(exchange, problem, self.loop)
            else:
                exchange.answer(problem)
            return
        exchange.admitted = admitted
        exchange.scope["hold"] = admitted.hold
        if admitted.work == "operate":
            self._run(exchange, admitted)
        else:
            preferred = admitted.work == "predict"
            begin = partial(self._run, exchange, admitted)
            self.front.turns.take(begin, preferred=preferred, loop=self.loop)

    def _run(self, exchange: Exchange, admitted: Pass) -> None:
        if exchange.gone:
            admitted.end()
        elif not exchange.whole or not self.front.at_once(exchange):
            self.run(exchange)

    def run(self, exchange: Exchange, app: ASGIApp | None = None) -> None:
        """Have a task answer a request that was let in: the application, or what stands in for it."""
        admitted = cast(Pass, exchange.admitted)
        task = self.loop.create_task(exchange.run(app or self._app))
        self._task = task if admitted.work in ("predict", "update") else None
        tasks = self._server.tasks
        tasks.add(task)

        def end(_: asyncio.Task[None]) -> None:
            admitted.end()
            tasks.discard(task)

        task.add_done_callback(end)

    def _refuse(self, problem: Problem) -> None:
        """Read no more; say why when all that came before is answered."""
        exchange = self.arriving
        if self.phase == BODY and exchange is not None:
            if exchange.answered:
                self.leave()
            else:
                exchange.refuse(problem)
            self._stop_parsing()
        elif self._running is None:
            self._answer_last(problem)
        else:
            self._last = problem
            self._stop_parsing()

    def _stop_parsing(self) -> None:
        self.phase = LEAVING
        self.since = self.loop.time()

    def _answer_last(self, problem: Problem) -> None:
        self.write(self.front.refusal(problem))
        self.leave()


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    """Return host and port; None for what has none, as a Unix socket."""
    found = transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, list | tuple) else None
