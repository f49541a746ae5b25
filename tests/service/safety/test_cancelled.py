"""Whenever its client goes, what a request was let in with is given back: the next finds all the room."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from random import Random

import httpx
import pytest

from nonzero_service.http.admission import SHARE
from service.conftest import Start
from service.safety.raw import answers, connect, read_all
from service.series import series
from waiting import until

REQUESTS = 16
NBYTES = 4 << 20
LIMITS = {"max_requests": REQUESTS, "in_flight_bytes": NBYTES, "max_body_bytes": NBYTES, "breaker": "off"}

EXAMPLE = b'{"features": {"site": "news"}, "label": 1}'
PLAIN = b'{"features": {"site": "news"}}'
JSON, LINES = b"application/json", b"text/x-vw"
BODIES = {
    "one update": (b"update", JSON, EXAMPLE),
    "many updates": (b"update", JSON, b'{"examples": [%b]}' % b", ".join([EXAMPLE] * 500)),
    "an update without end": (b"update", LINES, b"1 | a b c\n" * 60_000),
    "one prediction": (b"predict", JSON, PLAIN),
    "one to be kept": (b"predict", JSON, b'{"features": {"site": "news"}, "id": "one"}'),
    "many predictions": (b"predict", LINES, b"|f a b c\n" * 60_000),
    "a label": (b"labels", JSON, b'{"id": "one", "label": 1}'),
    "an explanation": (b"explain", JSON, PLAIN),
    "nonsense": (b"update", JSON, b"{" * 100_000),
}
STAGES = ("within the head", "after the head", "within the body", "before the answer", "within the answer")


def whole(kind: str, random: Random) -> tuple[bytes, bytes]:
    """Return a request's head and its body, as either may be framed."""
    path, media, body = BODIES[kind]
    head = b"POST /v1/models/default/%b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\n" % (path, media)
    if random.random() < 0.2:
        head += b"idempotency-key: %d\r\n" % random.randrange(20)
    if random.random() < 0.5:
        return head + b"content-length: %d\r\n\r\n" % len(body), body
    return head + b"transfer-encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def go(port: int, kind: str, stage: str, random: Random) -> None:
    """Send a request, several at once too, and go at some stage of the last, by a reset or an end."""
    head, body = whole(kind, random)
    sent = {
        "within the head": head[: random.randrange(1, len(head) - 2)],
        "after the head": head,
        "within the body": head + body[: random.randrange(1, len(body) - 1)],
    }.get(stage, head + body)
    with connect(port) as connection:
        if random.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.sendall((head + body) * random.randrange(2) + sent)
            if stage == "within the answer":
                connection.recv(20)
        except ConnectionError:
            pass  # it was refused, and ended: there were too many


@pytest.fixture(params=[1, 2])
def served(request: pytest.FixtureRequest, start: Start) -> Iterator[tuple[int, httpx.Client]]:
    """The port of a service of so many processes, and a client of it."""
    service = start(workers=request.param, **LIMITS).until_ready()
    with service.client() as client:
        yield service.port, client
    assert service.stop() == 0
    assert not service.failures()


def in_flight(client: httpx.Client) -> tuple[float, float]:
    return series(client, "nonzero_requests_in_flight"), series(client, "nonzero_in_flight_bytes")


def test_what_is_held_is_told_and_given_back(served: tuple[int, httpx.Client]) -> None:
    port, client = served
    assert in_flight(client) == (0, 0)
    head = b"POST /v1/models/default/predict HTTP/1.1\r\nhost: localhost\r\n"
    head += b"content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    held = [connect(port) for _ in range(5)]
    for connection in held:
        connection.sendall(head + b"{")
    until(lambda: in_flight(client) == (5, 5000), lambda: in_flight(client))
    for connection in held:
        connection.close()
    until(lambda: in_flight(client) == (0, 0), lambda: in_flight(client))


@pytest.mark.sampled(1)
def test_clients_that_go_at_any_stage_leave_no_room_taken(served: tuple[int, httpx.Client]) -> None:
    port, client = served

    def visit(number: int) -> None:
        random = Random(number)
        for kind in random.sample([*BODIES], len(BODIES)):
            for stage in random.sample(STAGES, len(STAGES)):
                go(port, kind, stage, random)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: in_flight(client) == (0, 0), lambda: in_flight(client))
    until(lambda: series(client, "nonzero_model_queued_bytes") == 0)
    assert series(client, "nonzero_requests_total") > len(threads) * len(BODIES)

    # All the room that updates have is there again, in whichever process.
    head, body = b"POST /v1/models/default/update HTTP/1.1\r\nhost: localhost\r\n", EXAMPLE
    head += b"connection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    waiting = [connect(port) for _ in range(int(SHARE * REQUESTS))]
    for connection in waiting:
        connection.sendall(head)
    until(lambda: in_flight(client)[0] == len(waiting), lambda: in_flight(client))
    for connection in waiting:
        connection.sendall(body)
        [answer] = answers(read_all(connection))
        assert answer.status == 200, answer
        connection.close()
    until(lambda: in_flight(client) == (0, 0), lambda: in_flight(client))
