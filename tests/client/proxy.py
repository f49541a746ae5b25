"""A proxy that does harm: it loses requests and answers, cuts them, or has the service killed."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, Self

__all__ = ["Harm", "HarmfulProxy"]

Harm = Literal[
    "lose request",
    "cut request",
    "kill with request",
    "lose answer",
    "cut head",
    "cut answer",
    "kill with answer",
    "unavailable",
]
"""What befalls one request.

========================  ============================================================================
lose request              the service never hears of it; the connection is reset
cut request               it hears half of it
kill with request         it is killed when it has all of it, before it answers
lose answer               it has answered; the connection is reset
cut head, cut answer      the client gets a part of the head, or of the body
kill with answer          it is killed when it has answered; the client gets a part of that
unavailable               the client gets 503, as from a load balancer
========================  ============================================================================
"""

_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nbusy"


class HarmfulProxy:
    """Passes requests on to a service, each on a connection of its own, and does harm to some.

    Parameters
    ----------
    port
        Returns where the service is now.
    kill
        Kills the service and has another one ready.
    plan
        What befalls the n-th request, counted from 1.
    """

    def __init__(self, port: Callable[[], int], kill: Callable[[], None], plan: dict[int, Harm]) -> None:
        self._port = port
        self._kill = kill
        self._plan = dict(plan)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.requests = 0
        self.done: list[Harm] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, suppress(OSError, EOFError):
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        reading = _Reader(client)
        while True:
            request = b"".join(reading.message())
            self.requests += 1
            harm = self._plan.pop(self.requests, None)
            if harm is not None:
                self.done.append(harm)
            answer = _UNAVAILABLE if harm == "unavailable" else self._passed_on(request, harm)
            if not answer:
                return _reset(client)
            client.sendall(answer)
            if harm in ("cut head", "cut answer", "kill with answer"):
                return None

    def _passed_on(self, request: bytes, harm: Harm | None) -> bytes:
        """Pass a request on; return what the client gets, nothing where its connection is reset."""
        if harm == "lose request":
            return b""
        with socket.create_connection(("127.0.0.1", self._port())) as service:
            service.sendall(request[: -len(request) // 3] if harm == "cut request" else request)
            if harm == "kill with request":
                self._kill()
            if harm in ("cut request", "kill with request"):
                return b""
            head, body = _Reader(service).message()
        if harm == "kill with answer":
            self._kill()
        match harm:
            case "lose answer":
                return b""
            case "cut head":
                return head[:20]
            case "cut answer" | "kill with answer":
                return head + body[: len(body) // 2]
        return head + body


class _Reader:
    """Reads messages of HTTP from a socket, their chunks as they are."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""

    def message(self) -> tuple[bytes, bytes]:
        """Return the head and the body of the next one."""
        head = self._until(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head, b"".join(self._chunks())
        _, found, length = lower.partition(b"content-length:")
        return head, self._exactly(int(length.split(b"\r\n")[0])) if found else b""

    def _chunks(self) -> Iterator[bytes]:
        size = -1
        while size:
            line = self._until(b"\r\n")
            size = int(line, 16)
            yield line + self._exactly(size + 2)

    def _until(self, end: bytes) -> bytes:
        while end not in self._held:
            self._more()
        found, _, self._held = self._held.partition(end)
        return found + end

    def _exactly(self, n: int) -> bytes:
        while len(self._held) < n:
            self._more()
        found, self._held = self._held[:n], self._held[n:]
        return found

    def _more(self) -> None:
        piece = self._connection.recv(1 << 16)
        if not piece:
            raise EOFError
        self._held += piece


def _reset(connection: socket.socket) -> None:
    """Close a connection by a reset, as a process that dies does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
