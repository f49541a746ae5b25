"""A long body is received past the parser of heads; what follows it is a request again."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx
import pytest

from nonzero_service.http.receiving import LONG

TAGS = [b"tag%d" % k for k in range(200)]
LINE = b"1 |tags " + b" ".join(TAGS) + b"\n"
STREAM = LINE * (8 * LONG // len(LINE))
ONE = b'{"features":{"tags":["' + b'","'.join(TAGS) + b'"]},"label":1}'
LIST = b'{"examples":[' + b",".join([ONE] * (LONG // len(ONE) + 2)) + b"]}"


def request(path: str, media: str, body: bytes, more: str = "") -> tuple[bytes, bytes]:
    about = f"content-type: {media}\r\ncontent-length: {len(body)}\r\n{more}"
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{about}\r\n".encode(), body


def read(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_what_follows_a_long_body_is_a_request(service: Any, model: str) -> None:
    parts = [
        *request(f"{model}/update", "text/x-vw", STREAM),
        *request(f"{model}/update", "application/json", LIST),
        *request(f"{model}/update", "application/json", ONE),
        *request(f"{model}/update", "text/x-vw", LINE * 100),
        *request(f"{model}/update", "text/x-vw", STREAM, "connection: close\r\n"),
        *request(f"{model}/update", "application/json", ONE),  # nobody's
    ]
    with socket.create_connection((service.host, service.port)) as connection:
        connection.settimeout(30)
        connection.sendall(parts[0])
        time.sleep(0.05)  # all of the first body comes after its head, and with the next head
        connection.sendall(b"".join(parts[1:5]) + parts[5][:7])
        time.sleep(0.05)
        connection.sendall(parts[5][7:] + b"".join(parts[6:]))
        received = read(connection)
    bodies = [json.loads(part.split(b"HTTP/1.1")[0]) for part in received.split(b"\r\n\r\n")[1:]]
    accepted = [STREAM.count(b"\n"), LIST.count(b"label"), 1, 100]
    accepted.append(accepted[0])
    assert [body["accepted"] for body in bodies] == accepted
    assert bodies[-1]["sequence"] == sum(accepted)


def test_one_who_goes_within_a_long_body_leaves_nothing_behind(
    service: Any, client: httpx.Client, model: str
) -> None:
    head, body = request(f"{model}/update", "application/json", LIST)
    with socket.create_connection((service.host, service.port)) as connection:
        connection.sendall(head + body[:-1])
    time.sleep(0.1)
    assert client.get(model).json()["sequence"] == 0


@pytest.mark.parametrize("path", ["/v1/models/none/update", "/v1/models//update"])
def test_a_long_body_that_nobody_wants_is_answered(service: Any, path: str) -> None:
    head, body = request(path, "text/x-vw", STREAM)
    with socket.create_connection((service.host, service.port)) as connection:
        connection.settimeout(30)
        connection.sendall(head + body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 404 ")
