"""Who does not know the secret of the term is not let in, soon, and learns nothing by it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any, cast

import msgspec
import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from nonzero_service.bodies.reading import Bodies
from nonzero_service.cluster import beating, handshake, node_listener
from nonzero_service.cluster.handshake import FIRST, HELLO, MAGIC, PROTOCOL, Hello, Purpose, introduce
from nonzero_service.cluster.node_listener import NodeListener
from nonzero_service.errors import HandshakeError
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from nonzero_service.workers import request_messages
from nonzero_service.workers.forward_server import ForwardServer
from nonzero_service.workers.request_messages import FromForwarder, ToForwarder
from waiting import until_in_loop

SECRET = b"s" * 32
SESSION = b"n" * 16


class Listening:
    """A listener, and connections to it."""

    def __init__(self) -> None:
        async def app(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"answer"})

        server = ForwardServer(app, cast(Models, None), cast(Bodies, None), set(), Settings.load())
        self.secret: bytes | None = SECRET
        self.listener = NodeListener(server, lambda: self.secret)
        self.address = self.listener.listen("127.0.0.1:0")
        self.listener.begin()

    async def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        place = ("127.0.0.1", int(self.address.rpartition(":")[2]))
        await asyncio.get_running_loop().sock_connect(sock, place)
        return sock

    async def introduce(
        self, secret: bytes = SECRET, purpose: Purpose = Purpose.BEATS, session: bytes = SESSION
    ) -> socket.socket:
        sock = await self.connect()
        try:
            await introduce(sock, secret, Hello(purpose, session), "a")
        except HandshakeError:
            sock.close()
            raise
        return sock


async def ended(sock: socket.socket, seconds: float = handshake.SECONDS + 1) -> bytes:
    """Return what comes until the connection ends, which must be soon."""
    received = b""
    async with asyncio.timeout(seconds):
        try:
            while piece := await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
                received += piece
        except ConnectionError:
            pass
    sock.close()
    return received


def run(check: Callable[[Listening], Awaitable[None]]) -> list[Any]:
    """Check a listener; return what it has logged."""

    async def checked() -> None:
        listening = Listening()
        try:
            await check(listening)
        finally:
            await listening.listener.close()
        assert len(asyncio.all_tasks()) == 1

    with capture_logs() as logged:
        asyncio.run(checked())
    return logged


def hello(magic: bytes = MAGIC, protocol: int = PROTOCOL, purpose: int = Purpose.BEATS) -> bytes:
    return FIRST.pack(magic, protocol) + HELLO.pack(purpose, SESSION, bytes(32))


STRANGE = {
    "no node": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "another magic": hello(b"notzero\n"),
    "no purpose": hello(purpose=9),
    "nothing": b"",
    "half a hello": hello()[:30],
    "no proof": hello(),
    "garbage for a proof": hello() + b"x" * 32,
    "zeros": bytes(1000),
    "very much": b"\xff" * 100_000,
}


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE)
def test_what_is_no_node_is_closed_soon_and_told_once(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "SECONDS", 0.2)

    async def check(listening: Listening) -> None:
        for _ in range(3):
            sock = await listening.connect()
            with suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(sock, sent)
            received = await ended(sock, 2)
            assert SECRET not in received
            assert len(received) in (0, FIRST.size + handshake.REPLY.size)  # a nonce and a proof at most
        assert not listening.listener.nodes

    [line] = run(check)
    assert (line["event"], line["address"]) == ("a node was not let in", "127.0.0.1")


def test_another_secret_is_no_way_in_and_is_noticed_by_both() -> None:
    async def check(listening: Listening) -> None:
        with pytest.raises(HandshakeError, match="does not know the secret of its term"):
            await listening.introduce(b"t" * 32)
        # One that does not mind whether the listener knows it.
        sock, loop = await listening.connect(), asyncio.get_running_loop()
        await loop.sock_sendall(sock, hello())
        reply = await handshake.receive_exactly(sock, FIRST.size + handshake.REPLY.size)
        await loop.sock_sendall(sock, reply[-32:])  # its own proof, sent back
        assert await ended(sock) == b""
        listening.secret = None
        with pytest.raises(HandshakeError, match="the node 'a' does not write, or not yet"):
            await listening.introduce()

    reasons = [line["reason"] for line in run(check)]
    assert handshake.UNPROVEN in reasons
    assert "this node does not write" in reasons  # which is for those who look closely


@pytest.mark.parametrize(
    ("protocol", "said"),
    [(PROTOCOL - 1, "an older release, of protocol 0"), (PROTOCOL + 1, "a newer release, of protocol 2")],
)
def test_a_node_of_another_release_is_told_which_protocol_is_spoken(protocol: int, said: str) -> None:
    async def check(listening: Listening) -> None:
        sock = await listening.connect()
        await asyncio.get_running_loop().sock_sendall(sock, hello(protocol=protocol))
        assert await ended(sock) == FIRST.pack(MAGIC, PROTOCOL)

    [line] = run(check)
    assert said in line["reason"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            FIRST.pack(MAGIC, 0),
            "the node 'a', which writes, is of an older release: the one speaks protocol 0",
        ),
        (FIRST.pack(MAGIC, 2), "this node is of an older release: the one speaks protocol 1, the other 2"),
        (b"HTTP/1.1 400 Bad Request", "what listens at the address of the node 'a' is none"),
        (b"", "closed the connection in the middle of the handshake"),
    ],
)
def test_who_follows_says_which_node_is_older(reply: bytes, said: str) -> None:
    async def check() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            theirs.sendall(reply)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(HandshakeError, match=said):
                await introduce(ours, SECRET, Hello(Purpose.BEATS, SESSION), "a")

    asyncio.run(check())


def test_few_may_be_in_their_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_listener, "MOST_STRANGERS", 3)
    monkeypatch.setattr(handshake, "SECONDS", 60)

    async def check(listening: Listening) -> None:
        strangers = [await listening.connect() for _ in range(3)]
        for _ in range(2):  # a node is let in, however many say nothing
            (await listening.introduce()).close()
        assert await ended(strangers[0], 1) == b""
        strangers += [await listening.connect() for _ in range(4)]
        assert [await ended(sock, 1) for sock in strangers[1:4]] == [b""] * 3
        (await listening.introduce()).close()
        for sock in strangers[4:]:
            sock.close()

    assert "too many are in their handshake" in [line.get("reason") for line in run(check)]


def test_requests_belong_to_a_session_and_end_with_it() -> None:
    async def check(listening: Listening) -> None:
        alone = await listening.introduce(purpose=Purpose.REQUESTS)
        assert await ended(alone) == b""
        beats = await listening.introduce()
        again = await listening.introduce()  # nobody takes a session over
        assert await ended(again) == b""
        requests = await listening.introduce(purpose=Purpose.REQUESTS)
        request = msgspec.msgpack.encode(request_messages.ForwardedRequest({"headers": []}))
        part = msgspec.msgpack.encode(request_messages.BodyPart(memoryview(b""), False))
        loop = asyncio.get_running_loop()
        for _ in range(2):
            for message in (request, part):
                await loop.sock_sendall(requests, struct.pack("!I", len(message)) + message)
            assert b"answer" in await loop.sock_recv(requests, 1 << 16)
        beats.close()
        assert await ended(requests) == b""
        await until_in_loop(lambda: not listening.listener.nodes)

    run(check)


def test_a_node_without_signs_of_life_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beating, "TICK_SECONDS", 0.02)

    async def check(listening: Listening) -> None:
        beats = await listening.introduce()
        requests = await listening.introduce(purpose=Purpose.REQUESTS)
        assert await ended(requests) == b""
        beats.close()

    assert "another node gives no sign of life; its requests are given up" in [
        line["event"] for line in run(check)
    ]


def test_what_nodes_say_to_each_other_is_that_of_this_protocol() -> None:
    """Where this fails nodes of two releases would misunderstand each other: give PROTOCOL another number."""
    members = (request_messages.KeepImpressions, request_messages.ImpressionsKept)
    kinds = (beating.NodeBeat, *FromForwarder.__args__, *ToForwarder.__args__, *members)
    said = [one.format for one in (handshake.FIRST, HELLO, handshake.REPLY)]
    said += [f"{kind.__name__} {kind.__annotations__}" for kind in kinds]
    assert {PROTOCOL: sha256(repr(said).encode()).hexdigest()[:16]} == {1: "5071c0ae3137f17a"}
