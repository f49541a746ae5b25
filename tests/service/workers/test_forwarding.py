"""What a worker forwards reaches the application as it came; the client gets its answer as it was given."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nonzero_service.bodies.reading import Bodies
from nonzero_service.http.guard import MAY_NOT_TEACH
from nonzero_service.http.head import Head
from nonzero_service.metrics.counts import Counts
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from nonzero_service.workers.forward_server import ForwardServer
from nonzero_service.workers.forwarding import Forwarder

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/v1/models/new/predict",
    "raw_path": b"/v1/models/new/predict",
    "query_string": b"a=b%20c",
    "http_version": "1.1",
    "scheme": "https",
    "headers": [(b"content-length", b"2"), (b"may_not_teach", b"line 9")],
}


class Served:
    """A forwarder, and a server that answers what comes over its connections."""

    def __init__(self, app: ASGIApp) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.in_flight: set[asyncio.Task[None]] = set()
        models, bodies = cast(Models, None), cast(Bodies, None)
        self.server = ForwardServer(app, models, bodies, self.in_flight, Settings.load())
        self.forwarder = Forwarder(self._connect, Counts())
        self.answer: list[Message] = []

    async def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.tasks.add(asyncio.get_running_loop().create_task(self.server.serve(theirs)))
        return ours

    async def ask(self, receive: Receive, **noted: Any) -> bytes:
        """Forward a request; return the body of its answer."""
        self.answer = []

        async def send(message: Message) -> None:
            self.answer.append(message)

        scope = SCOPE | noted
        await self.forwarder(scope | {"head": Head(scope["headers"])}, receive, send)
        return b"".join(message.get("body", b"") for message in self.answer)


def run(check: Callable[[Served], Awaitable[None]], app: ASGIApp) -> None:
    """Check a forwarder before an application; in the end nothing is in flight, and no connection is left."""

    async def checked() -> None:
        served = Served(app)
        await check(served)
        served.forwarder.close()
        await asyncio.gather(*served.tasks)
        assert not served.in_flight

    asyncio.run(checked())


def client(*parts: bytes, leaves: bool = False) -> Receive:
    """A client that sends a body in parts, and then waits for the answer, or leaves."""
    left = list(parts)

    async def receive() -> Message:
        if left:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left) or leaves}
        if leaves:
            return {"type": "http.disconnect"}
        return await asyncio.Future()

    return receive


async def answer(send: Send, body: bytes = b"", status: int = 200, *, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-some", b"thing")]})
    await send({"type": "http.response.body", "body": body, "more_body": more})


@pytest.mark.parametrize("noted", [{}, {MAY_NOT_TEACH: "line 3, sha256:00000000"}], ids=["may", "may not"])
def test_a_request_is_the_one_that_came_with_what_the_guard_has_noted(noted: dict[str, str]) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        message = await receive()
        assert (bytes(message["body"]), message["more_body"]) == (b"{}", False)
        await answer(send, b"some", 204)

    async def check(served: Served) -> None:
        assert await served.ask(client(b"{}"), **noted) == b"some"
        start = served.answer[0]
        assert (start["status"], [tuple(one) for one in start["headers"]]) == (204, [(b"x-some", b"thing")])

    run(check, app)
    [scope] = seen
    assert scope.get(MAY_NOT_TEACH) == noted.get(MAY_NOT_TEACH)  # a header of that name is none
    scope["headers"] = [tuple(header) for header in scope["headers"]]
    assert {name: scope[name] for name in SCOPE} == SCOPE


def test_an_answer_may_begin_before_its_request_has_ended() -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": bytes(message["body"]), "more_body": more})

    async def check(served: Served) -> None:
        parts = [b"%d" % n for n in range(1000)]

        async def receive() -> Message:  # a client that sends a part when it has the one before
            sent = sum("body" in message for message in served.answer)
            while (received := len(served.answer) - 1) < sent and received >= 0:
                await asyncio.sleep(0)
            if not left:
                return await asyncio.Future()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        left = list(parts)
        assert await served.ask(receive) == b"".join(parts)

    run(check, app)


def test_what_nobody_takes_is_not_sent_on_without_end() -> None:
    taken = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await taken.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await answer(send, b"%d" % size)

    async def check(served: Served) -> None:
        sent = 0

        async def receive() -> Message:
            nonlocal sent
            sent += 1
            if sent > 1000:
                return await asyncio.Future()
            return {"type": "http.request", "body": bytes(1 << 16), "more_body": sent < 1000}

        asking = asyncio.create_task(served.ask(receive))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.05)
        assert 0 < sent < 40
        taken.set()
        assert await asking == b"%d" % (1000 << 16)

    run(check, app)


def test_a_client_that_goes_is_gone_for_the_application() -> None:
    seen: list[str] = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        seen.extend([(await receive())["type"] for _ in range(3)])
        await answer(send)  # nobody reads it

    async def check(served: Served) -> None:
        assert await served.ask(client(b"x", leaves=True)) == b""
        assert served.answer == []

    run(check, app)
    assert seen == ["http.request", "http.disconnect", "http.disconnect"]


def test_a_body_that_nobody_reads_is_not_taken_for_the_next_request() -> None:
    async def app(scope: Scope, __: Receive, send: Send) -> None:
        await answer(send, scope["query_string"])

    async def check(served: Served) -> None:
        for n in range(5):
            parts = [b"x" * 1000] * n  # some are sent whole, of some the answer comes first
            asked = await served.ask(client(*parts, b"end"), query_string=b"%d" % n)
            assert asked == b"%d" % n

    run(check, app)


def test_a_body_is_asked_for_when_it_is_wanted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"wanted":
            assert bytes((await receive())["body"]) == b"body"
        await answer(send, b"answer")

    async def check(served: Served) -> None:
        asked: list[bytes] = []

        async def receive() -> Message:
            if asked:
                return await asyncio.Future()
            asked.append(b"")
            return {"type": "http.request", "body": b"body", "more_body": False}

        expecting = {"headers": [(b"expect", b"100-Continue")]}
        assert await served.ask(receive, query_string=b"unwanted", **expecting) == b"answer"
        assert not asked
        assert await served.ask(receive, query_string=b"wanted", **expecting) == b"answer"
        assert asked

    run(check, app)


def test_an_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    async def app(scope: Scope, __: Receive, send: Send) -> None:
        if scope["query_string"] == b"silent":
            return
        await answer(send, b"half", more=True)
        raise RuntimeError("this was to happen")

    async def check(served: Served) -> None:
        assert await served.ask(client(b"")) == b"half"
        assert served.answer[-1]["more_body"]
        detail = await served.ask(client(b""), query_string=b"silent", path="/")
        assert served.answer[0]["status"] == 503
        assert b"Idempotency-Key" in detail

    run(check, app)
