"""A client that sends bytes as they are, and reads what comes until the connection ends."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from waiting import SECONDS

TOKENS = {
    "predict": "a-token-for-predict",
    "impress": "a-token-for-impress",
    "update": "a-token-for-update",
    "admin": "a-token-for-admin",
    "predict,update": "a-token-for-both",
}

AUTHORIZED = f"host: x\r\nauthorization: Bearer {TOKENS['predict,update']}\r\n".encode()
"""Lines that nearly every request has."""


@dataclass
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """Return the problem that it is."""
        assert self.headers["content-type"] == "application/problem+json", self
        content: dict[str, Any] = json.loads(self.body)
        assert content["status"] == self.status
        assert "Traceback" not in content["detail"]
        return content


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(SECONDS)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side ends, a reset is an end too."""
    received = b""
    end = time.monotonic() + SECONDS
    try:
        while data := connection.recv(65536):
            received += data
            assert time.monotonic() < end, f"still open after {SECONDS} seconds: {received!r}"
    except ConnectionError:
        pass
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes up to and with some bytes; what comes with them may follow."""
    received = b""
    while end not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def answers(received: bytes) -> list[Answer]:
    """Take answers apart: they must be whole, and nothing may be left."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        version, status = first.split(" ")[:2]
        assert version == "HTTP/1.1", first
        if status == "100":
            continue
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, received = received.partition(b"\r\n")
                body += received[: int(size, 16)]
                received = received[int(size, 16) + 2 :]
                if not int(size, 16):
                    break
        else:
            length = int(headers.get("content-length", 0))
            assert len(received) >= length, received
            body, received = received[:length], received[length:]
        found.append(Answer(int(status), headers, body))
    return found


def ask(port: int, *parts: bytes, pause: float = 0.0) -> list[Answer]:
    """Send the parts of a request, and return the answers until the connection ends."""
    with connect(port) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except ConnectionError:
            pass
        return answers(read_all(connection))
