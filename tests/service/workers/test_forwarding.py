"""What a worker's guard has noted of a request goes with it to the writer, and a client cannot say it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from nonzero_service.http.guard import MAY_NOT_TEACH
from nonzero_service.listening import inner_config_of
from nonzero_service.metrics.counts import Counts
from nonzero_service.workers.forwarding import GUARDS_OWN, Forwarder, PassedOn

FORGED = [(GUARDS_OWN, b"line 9")]


@pytest.mark.parametrize("headers", [[], FORGED], ids=["plain", "forged"])
@pytest.mark.parametrize("noted", [{}, {MAY_NOT_TEACH: "line 3, sha256:00000000"}], ids=["may", "may not"])
def test_what_the_guard_has_noted_is_passed_on(
    noted: dict[str, str], headers: list[tuple[bytes, bytes]]
) -> None:
    seen: list[Scope] = []

    async def writer(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def pass_on() -> None:
        config, state, tasks = inner_config_of(PassedOn(writer)), ServerState(), set()

        def protocol() -> asyncio.Protocol:
            made: Any = config.http_protocol_class
            served: asyncio.Protocol = made(config=config, server_state=state, app_state={})
            return served

        def hand_over(sock: socket.socket) -> None:
            theirs = sock.dup()
            theirs.setblocking(False)
            loop = asyncio.get_running_loop()
            tasks.add(loop.create_task(loop.connect_accepted_socket(protocol, theirs)))

        async def receive() -> Message:
            if not seen:
                return {"type": "http.request", "body": b"{}", "more_body": False}
            return await asyncio.Future()

        async def send(message: Message) -> None:
            assert message.get("status", 204) == 204

        scope = {"method": "POST", "raw_path": b"/v1/models/new/predict", "query_string": b""}
        forwarder = Forwarder(hand_over, Counts())
        await forwarder({**scope, "headers": [*headers, (b"content-length", b"2")], **noted}, receive, send)
        for transport, _ in await asyncio.gather(*tasks):
            transport.abort()
        await asyncio.sleep(0)

    asyncio.run(pass_on())
    [scope] = seen
    assert scope.get(MAY_NOT_TEACH) == noted.get(MAY_NOT_TEACH)
