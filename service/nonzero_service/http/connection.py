"""Connection: one client's socket. It hands what arrives on, and says what becomes of the connection.

It stands in uvicorn's place for a protocol, which knows of it its ``shutdown`` and nothing else. Uvicorn's
own, on the same parser, has no bound on heads, trailers or time, takes trailers for headers, answers a bad
request before the good one that was sent ahead of it, and in plain text.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from nonzero_service.http.context import ServerContext
from nonzero_service.http.cycle import CONTINUE, RequestCycle
from nonzero_service.http.head import Location, head_of, location_of
from nonzero_service.http.limits import ASK_SECONDS, EXTRA, LINGER_BYTES, PIPELINED
from nonzero_service.http.parser import RequestParser
from nonzero_service.http.phases import ANSWER, BODY, HEAD, IDLE, LEAVING
from nonzero_service.http.pipeline import RequestPipeline
from nonzero_service.http.receiving import LONG, LongBodyReceiver
from nonzero_service.http.routing import Target
from nonzero_service.http.timeouts import Monitored
from nonzero_service.problems import Problem


class Connection(asyncio.Protocol, Monitored):
    """One client's connection.

    Parameters
    ----------
    context
        What it shares with the others.
    config, server_state, app_state, _loop
        What uvicorn gives to a protocol.
    """

    def __init__(
        self,
        context: ServerContext,
        config: Config,  # noqa: ARG002 - the context has said it
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._context = context
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._app_state = app_state
        self._parser: RequestParser | None = RequestParser(self, context.settings)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._pipeline: RequestPipeline = None  # type: ignore[assignment]
        self._room: asyncio.Future[None] | None = None  # until the client has taken what was written
        self._passed_over = 0
        self._ended = False  # whether the client sends no more
        self._arriving: RequestCycle | None = None  # the request that is arriving, or arrived last
        # What the last request was for: a client mostly asks for the same again.
        self._method = self._url = b""
        self._place: tuple[Location, Target, dict[str, str]] | None = None

    # -- from the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        connections = cast(set[Any], self._server.connections)
        count = len(connections)
        connections.add(self)
        self._context.timeouts.add(self, self._loop)
        self.since = self._loop.time()
        self._extra = count >= self._context.settings.max_connections
        self._pipeline = RequestPipeline(self._context, self._server, self._loop, extra=self._extra)
        if count >= self._context.settings.max_connections + EXTRA:
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
        self._context.timeouts.discard(self)
        self.phase = LEAVING
        self.resume_writing()
        self._pipeline.leave()
        if self._parser is not None:
            self._parser.close()
            self._parser = None

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self.phase == LEAVING or self._parser is None:
            return
        try:
            self._parser.feed(data)
        except Problem as problem:
            self.refuse(problem)
        else:
            if self.phase == BODY:
                self._receive()

    def eof_received(self) -> bool:
        """Answer what came whole, then end: that a client sends no more does not say that it has gone.

        What did not come whole is given up.
        """
        self._ended = True
        pipeline = self._pipeline
        cycle = self._arriving
        if self.phase == BODY and cycle is not None and not cycle.answered:
            if cycle is pipeline.running:
                return False
            pipeline.waiting.remove(cycle)
        if pipeline.running is None or self._transport.get_extra_info("sslcontext") is not None:
            return False  # TLS cannot end one way
        if pipeline.last is None:
            pipeline.end_after_these()
        self._stop_parsing()
        self._loop.call_later(ASK_SECONDS, self._ask)
        return True

    def _ask(self) -> None:
        """See whether a client that has ended its side has gone: then what is written to it comes back.

        ``100 Continue`` says nothing to one that has not asked (RFC 9110, section 15.2.1).
        """
        cycle = self._pipeline.running
        if cycle is None or self._transport.is_closing():
            return
        if not cycle.begun and cycle.scope["http_version"] == "1.1":
            self.write(CONTINUE)
        self._loop.call_later(ASK_SECONDS, self._ask)

    def _receive(self) -> None:
        """Receive the rest of a body past the parser, where it is long and its length is known."""
        length = cast(RequestCycle, self._arriving).head.length
        if length is not None and length - self.received >= LONG:
            missing = length - self.received
            self._transport.set_protocol(LongBodyReceiver(self, missing, self._take, self._end_body))

    def _take(self, piece: memoryview) -> bool:
        """Take a part of a body past the parser; return whether more is wanted."""
        if self.phase != LEAVING:
            self.on_body(piece)
        return self.phase != LEAVING

    def _end_body(self) -> None:
        """Take the end of such a body, which its parser knows nothing of."""
        if self._parser is not None:
            if cast(RequestCycle, self._arriving).keep_alive:
                self._parser.renew()
            else:  # what follows the last request is nobody's
                self._parser.close()
                self._parser = None
        self._transport.set_protocol(self)
        self.resume_reading()
        self.on_end()

    def pause_writing(self) -> None:
        """Hold answers back: the client does not take them."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    # -- from the parser -------------------------------------------------------------------------------

    def on_head_begun(self) -> None:
        """Take it that something of a head has come."""
        self.phase = HEAD
        self.since = self._loop.time()

    def on_head(
        self, method: bytes, version: str, url: bytes, headers: list[tuple[bytes, bytes]], lasting: bool
    ) -> bool:
        """Begin a request; return whether another may follow.

        Raises
        ------
        Problem
            Where it is none, or one too many.
        """
        head = head_of(version, url, headers, self._context.settings)
        if method == b"CONNECT":
            raise Problem(400, "CONNECT asks for a tunnel; none is made here")
        name = method.decode("ascii")
        location, target, parameters = self._placed(method, name, url)
        if len(self._pipeline.waiting) >= PIPELINED:
            raise Problem(429, f"at most {PIPELINED} requests may be sent ahead of their answers")
        scope: Scope = {
            **self._facts,
            "http_version": version,
            "method": name,
            "path": location.path,
            "raw_path": location.raw_path,
            "query_string": location.query,
            "headers": headers,
            "state": self._app_state.copy(),
            "head": head,
            "target": target,
            "path_params": parameters.copy(),
        }
        keep_alive = version == "1.1" and lasting and not self._extra
        self._arriving = cycle = RequestCycle(
            self, scope, head, self._context.default_headers, keep_alive=keep_alive
        )
        self.phase = BODY
        self.received = self._passed_over = 0
        self.waited = 0.0
        if self._pipeline.add(cycle):
            self._pause_reading()
        return keep_alive

    def _placed(self, method: bytes, name: str, url: bytes) -> tuple[Location, Target, dict[str, str]]:
        """Return what a request is for, its route and the path's parameters."""
        place = self._place
        if place is None or url != self._url or method != self._method:
            location = location_of(url)
            place = location, *self._context.dispatcher.table.find(name, location.path)
            self._method, self._url, self._place = method, url, place
        return place

    def on_body(self, body: bytes | memoryview) -> None:
        """Take a part of a body."""
        self.since = self._loop.time()
        self.received += len(body)
        cycle = cast(RequestCycle, self._arriving)
        if cycle.answered:
            self._passed_over += len(body)
            if self._passed_over > LINGER_BYTES:
                self.leave()
        elif cycle.feed(body):
            self._pause_reading()

    def on_end(self) -> None:
        """Take the end of a request."""
        self.since = self._loop.time()
        cycle = cast(RequestCycle, self._arriving)
        self.phase = IDLE if cycle.answered else ANSWER
        cycle.end()
        chunked = cycle.head.length is None
        if chunked and cycle.keep_alive and not cast(RequestParser, self._parser).reads_on:
            cycle.keep_alive = False
            if cycle.answered:
                self.leave()

    # -- from the cycle --------------------------------------------------------------------------------

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
        if not self.reading and not self._transport.is_closing():
            self.reading = True
            self.since = self._loop.time()
            self._transport.resume_reading()

    def answered(self, cycle: RequestCycle, *, waited: bool) -> None:
        """Go on to the next request."""
        self._server.total_requests += 1
        self.served += 1
        pipeline = self._pipeline
        pipeline.end_running()
        if self._transport.is_closing():
            return
        if not cycle.keep_alive or (waited and not cycle.whole):
            if cycle.whole:
                self._stop_parsing()
                self._transport.close()
            else:
                self.leave()
        elif pipeline.waiting:
            self.resume_reading()
            pipeline.begin_next()
        elif pipeline.last is not None:
            self._answer_last(pipeline.last)
        else:
            self.since = self._loop.time()
            if self.phase == ANSWER:
                self.phase = IDLE
            self.resume_reading()

    # -- ends ------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """End when what is in flight is answered: the service stops."""
        if self._pipeline.running is None:
            self._transport.close()
        else:
            self._pipeline.end_after_these()

    def cut(self) -> None:
        """End at once."""
        self.phase = LEAVING
        self._transport.abort()

    def refuse(self, problem: Problem) -> None:
        """Read no more; say why when all that came before is answered."""
        cycle = self._arriving
        if self.phase == BODY and cycle is not None:
            if cycle.answered:
                self.leave()
            else:
                cycle.refuse(problem)
            self._stop_parsing()
        elif self._pipeline.running is None:
            self._answer_last(problem)
        else:
            self._pipeline.last = problem
            self._stop_parsing()

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
    def is_running(self) -> bool:
        """Whether a request is being answered."""
        return self._pipeline.running is not None

    @property
    def is_passing_over(self) -> bool:
        """Whether the body that is arriving has been answered already."""
        return self._arriving is not None and self._arriving.answered

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client's turn: it is read from, and the application waits for more."""
        cycle = self._arriving
        return self.reading and cycle is not None and (cycle.answered or cycle.is_read)

    def _pause_reading(self) -> None:
        if self.reading and not self._transport.is_closing():
            self.reading = False
            self._transport.pause_reading()

    def _stop_parsing(self) -> None:
        self.phase = LEAVING
        self.since = self._loop.time()

    def _answer_last(self, problem: Problem) -> None:
        self.write(self._context.refusal(problem))
        self.leave()


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    """Return host and port; None for what has none, as a Unix socket."""
    found = transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, list | tuple) else None
