"""A client that ends its own side after a whole request is answered; one that does so within one has gone."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from machine import open_files
from nonzero_service.http.receiving import LONG
from nonzero_service.settings import Settings
from service.conftest import ServiceProcess
from service.safety.raw import Answer, answers, connect, read_all
from waiting import until

EXAMPLE = b'{"features": {"site": "news"}, "label": 1}'
LINES = b"1 | a b c d e f g\n"


def post(
    path: str, body: bytes, more: str = "", version: str = "1.1", media: str = "application/json"
) -> bytes:
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-type: {media}\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def sent_and_ended(port: int, sent: bytes) -> list[Answer]:
    """Send, end this side, and return what is answered."""
    with connect(port) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return answers(read_all(connection))


@contextmanager
def at_once() -> Iterator[None]:
    """What is done takes far less than the time after which a silent client is given up."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < Settings.model_fields["body_idle_seconds"].default / 2


@pytest.mark.sampled(8)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("when", ["at once", "when the answer comes"])
@pytest.mark.parametrize(
    "kind", ["one example", "several", "lines", "long lines", "with progress", "predicted lines", "explained"]
)
def test_a_whole_request_is_answered(
    service: ServiceProcess, model: str, kind: str, when: str, version: str
) -> None:
    long = LINES * (2 * LONG // len(LINES))
    sent = {
        "one example": post(f"{model}/update", EXAMPLE, version=version),
        "several": post(f"{model}/update", b'{"examples": [%b, %b]}' % (EXAMPLE, EXAMPLE), version=version),
        "lines": post(f"{model}/update", LINES, version=version, media="text/x-vw"),
        "long lines": post(f"{model}/update", long, version=version, media="text/x-vw"),
        "with progress": post(
            f"{model}/update", long, "accept: application/x-ndjson\r\n", version, "text/x-vw"
        ),
        "predicted lines": post(f"{model}/predict", long, version=version, media="text/x-vw"),
        "explained": post(f"{model}/explain", b'{"features": {"site": "news"}}', version=version),
    }[kind]
    with connect(service.port) as connection:
        connection.sendall(sent)
        received = connection.recv(1) if when == "when the answer comes" else b""
        connection.shutdown(socket.SHUT_WR)
        received += read_all(connection)
    assert received.startswith(b"HTTP/1.1 200 ")
    body = received.partition(b"\r\n\r\n")[2]
    if kind == "predicted lines":
        assert body.count(b"probability") == 2 * LONG // len(LINES)
    elif kind != "explained":
        assert (
            b'"accepted":%d'
            % (
                2
                if kind == "several"
                else 1
                if "long" not in kind and kind != "with progress"
                else 2 * LONG // len(LINES)
            )
            in body
        )


def test_all_that_came_whole_is_answered_in_order(service: ServiceProcess, model: str) -> None:
    sent = post(f"{model}/update", EXAMPLE) * 5
    for more in (b"", b"POST /v1/mod", post(f"{model}/update", EXAMPLE)[:-1]):
        found = sent_and_ended(service.port, sent + more)
        assert [answer.status for answer in found] == [200] * 5
        assert found[-1].headers["connection"] == "close"
        bodies = [json.loads(answer.body) for answer in found]
        assert [body["sequence"] - bodies[0]["sequence"] for body in bodies] == [0, 1, 2, 3, 4]


def test_what_is_wrong_behind_it_is_said(service: ServiceProcess, model: str) -> None:
    found = sent_and_ended(service.port, post(f"{model}/update", EXAMPLE) + b"nonsense\r\n\r\n")
    assert [answer.status for answer in found] == [200, 400]


def test_a_refusal_is_answered(service: ServiceProcess) -> None:
    for sent in (
        b"nonsense\r\n\r\n",
        post("/v1/models/none/update", EXAMPLE),
        b"GET /healthz HTTP/1.1\r\n\r\n",
    ):
        with at_once():
            [answer] = sent_and_ended(service.port, sent)
        assert answer.status in (400, 404)


@pytest.mark.parametrize("media", ["application/json", "text/x-vw"])
@pytest.mark.parametrize("size", [1, 2 * LONG])
def test_one_that_ends_within_a_body_has_gone(
    service: ServiceProcess, client: httpx.Client, model: str, media: str, size: int
) -> None:
    body = EXAMPLE + b" " * size if media == "application/json" else LINES * (1 + size // len(LINES))
    sent = post(f"{model}/update", body, media=media)
    with at_once():
        assert sent_and_ended(service.port, sent[:-1]) == []
    assert client.get(model).json()["sequence"] <= body.count(b"\n")  # of a stream perhaps what came whole
    if media == "application/json":
        assert client.get(model).json()["sequence"] == 0


def test_one_that_is_seen_to_have_gone_is_given_up(
    service: ServiceProcess, client: httpx.Client, model: str
) -> None:
    """A reset cannot be taken for the end of one side; its room is free for others."""
    for _ in range(300):
        with connect(service.port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(post(f"{model}/update", EXAMPLE))
    assert (
        client.post(
            f"{model}/update", content=EXAMPLE, headers={"content-type": "application/json"}
        ).status_code
        == 200
    )


def test_connections_that_were_ended_so_do_not_stay(service: ServiceProcess, model: str) -> None:
    before = open_files(service.pid)
    for _ in range(50):
        assert len(sent_and_ended(service.port, post(f"{model}/update", EXAMPLE))) == 1
    until(lambda: open_files(service.pid) <= before + 5)
