"""What is answered inline is answered as by a task, and once, whatever fails."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.settings import Settings
from service.conftest import SERVE, ServiceProcess
from waiting import until

GOOD = b'{"features": {"site": "news"}, "label": 1}'
JSON = "content-type: application/json"

REQUESTS = {
    "one example": ([JSON], GOOD),
    "with spaces and lines": ([JSON], b' {"features":\n {"site": "news"},\r\n "label": 0}\n'),
    "with a charset": (["content-type: application/json; charset=utf-8"], GOOD),
    "with an id of its own": ([JSON, "x-request-id: click-17"], GOOD),
    "with a request id that is none": ([JSON, "x-request-id: click 17"], GOOD),
    "an example with an id": ([JSON], b'{"features": {"site": "news"}, "label": 1, "id": "a"}'),
    "a list": ([JSON], b'{"examples": [%b, %b]}' % (GOOD, GOOD)),
    "cut off": ([JSON], GOOD[:-1]),
    "a feature that is none": ([JSON], b'{"features": {"site": null}, "label": 1}'),
    "a slot outside the table": ([JSON], b'{"indices": [70000], "label": 1}'),
    "without a label": ([JSON], b'{"features": {}}'),
    "empty": ([JSON], b""),
    "another charset": (["content-type: application/json; charset=latin-1"], GOOD),
    "another type": (["content-type: text/html"], GOOD),
    "an encoding that is not read": ([JSON, "content-encoding: br"], GOOD),
    "the last of its connection": ([JSON, "connection: close"], GOOD),
}


def answer(service: Any, path: str, headers: list[str], body: bytes, *, whole: bool) -> tuple[Any, ...]:
    """Send a request in one piece or in two; return what was answered, but for what each has of its own."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", *headers, f"content-length: {len(body)}", "", ""]
    head = "\r\n".join(lines).encode()
    with socket.create_connection((service.host, service.port)) as connection:
        connection.settimeout(30)
        if whole:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            time.sleep(0.02)
            connection.sendall(body)
        with connection.makefile("rb") as stream:
            status = stream.readline()
            said = [line.split(b": ", 1) for line in iter(lambda: stream.readline().strip(), b"")]
            told = json.loads(stream.read(int(dict(said)[b"content-length"])))
    if not any("click-17" in line for line in headers):
        told.pop("request_id", None)
    # Each has an id of its own, or learns after the other.
    for name in ("sequence", "predictions"):
        told.pop(name, None)
    own = (b"date", b"content-length", b"x-request-id")
    kept = [value if name not in own or value == b"click-17" else b"" for name, value in said]
    return status, [name for name, _ in said], kept, told


@pytest.mark.parametrize("action", ["predict", "update", "explain"])
def test_both_ways_answer_alike(service: Any, model: str, action: str) -> None:
    path = f"{model}/{action}"
    for name, (headers, body) in REQUESTS.items():
        inline, by_task = (answer(service, path, headers, body, whole=whole) for whole in (True, False))
        assert inline == by_task, name


def test_what_is_pipelined_is_answered_in_order(service: Any, model: str) -> None:
    head = f"POST {model}/%s HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ncontent-length: {len(GOOD)}\r\n%s\r\n"
    actions = ["update", "predict", "update", "explain", "predict", "update"]
    sent = b"".join((head % (action, "")).encode() + GOOD for action in actions)
    with socket.create_connection((service.host, service.port)) as connection:
        connection.settimeout(30)
        connection.sendall(sent + (head % ("predict", "connection: close\r\n")).encode() + GOOD)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    bodies = [part.split(b"HTTP/1.1")[0] for part in received.split(b"\r\n\r\n")[1:]]
    answers = [json.loads(body) for body in bodies]
    assert ["accepted" in one for one in answers] == [action == "update" for action in [*actions, "predict"]]
    sequences = [one["sequence"] for one in answers if "sequence" in one]
    assert sequences == [1, 1, 2, 2, 2, 3, 3]


def test_clients_that_go_at_once_leave_their_room_to_others(
    service: Any, client: httpx.Client, model: str
) -> None:
    head = f"POST {model}/update HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ncontent-length: {len(GOOD)}\r\n\r\n"
    most = Settings.model_fields["max_requests"].default
    for _ in range(most + 1):
        with socket.create_connection((service.host, service.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(head.encode() + GOOD)
    answered = client.post(f"{model}/update", content=GOOD, headers={"content-type": "application/json"})
    assert answered.status_code == 200


BREAK_AFTER_QUEUEING = """
from nonzero_service.errors import QueueFullError
from nonzero_service.writer.learner import ModelLearner

queue = ModelLearner.gather_for

def broken(learner, waiter, body):
    queue(learner, waiter, body)
    if b"broken" in body:
        raise RuntimeError("after queueing")
    if b"full" in body:
        raise QueueFullError("full after queueing")

ModelLearner.gather_for = broken
"""

BREAK_ANSWERS = """
from nonzero_service.http.cycle import RequestCycle

answer = RequestCycle.answer_json

def broken(cycle, status, body, request_id):
    if b"broken" in cycle.body:
        raise RuntimeError("no answer")
    answer(cycle, status, body, request_id)

RequestCycle.answer_json = broken
"""

BREAK_LOOKS = """
from nonzero_service.models.names import FieldNames

def broken(*_):
    raise RuntimeError("dictionary changed size during iteration")

FieldNames._found = staticmethod(broken)
"""


class Broken(ServiceProcess):
    """A service in which something fails that nobody expects to."""

    def __init__(self, data_dir: Path, change: str) -> None:
        self.program = change + SERVE
        super().__init__(data_dir, bits=10, max_requests=8)


@pytest.fixture
def broken(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broken]:
    running = Broken(tmp_path / "data", request.param)
    running.until_ready()
    yield running
    running.stop(signal.SIGKILL)


def learned(client: httpx.Client) -> int:
    """Have all be applied that came before; return of how many examples it was learned."""
    client.post("/v1/models/default/snapshots")
    return int(client.get("/v1/models/default").json()["sequence"])


@pytest.mark.parametrize("broken", [BREAK_AFTER_QUEUEING], indirect=True)
def test_what_fails_after_queueing_is_answered_once_and_not_learned_twice(broken: Broken) -> None:
    with broken.client() as client:
        for n, (site, status) in enumerate([("broken", 500), ("full", 503), ("broken", 500)], 1):
            body = b'{"features": {"site": "%b"}, "label": 1}' % site.encode()
            line, names, _, told = answer(broken, "/v1/models/default/update", [JSON], body, whole=True)
            assert int(line.split()[1]) == told["status"] == status
            assert (b"retry-after" in names) == (status == 503)
            assert learned(client) <= n
        before = learned(client)
        assert b"200" in answer(broken, "/v1/models/default/update", [JSON], GOOD, whole=True)[0]
        assert learned(client) == before + 1


@pytest.mark.parametrize("broken", [BREAK_AFTER_QUEUEING], indirect=True)
def test_what_follows_a_failure_after_queueing_has_its_own_answer(broken: Broken) -> None:
    bad = GOOD.replace(b"news", b"broken")
    head = f"POST /v1/models/default/update HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ncontent-length: %d\r\n"
    sent = b"".join((head % len(body)).encode() + b"\r\n" + body for body in (bad, GOOD, bad))
    with socket.create_connection((broken.host, broken.port)) as connection:
        connection.settimeout(30)
        connection.sendall(sent + (head % len(GOOD) + "connection: close\r\n\r\n").encode() + GOOD)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert [int(part[1:4]) for part in received.split(b"HTTP/1.1")[1:]] == [500, 200, 500, 200]
    until(lambda: len(broken.lines("the service failed")) == 2)


@pytest.mark.parametrize("broken", [BREAK_LOOKS], indirect=True)
def test_a_look_that_fails_changes_no_answer(broken: Broken) -> None:
    with broken.client() as client:
        for n, whole in enumerate([True, False, True], 1):
            status, *_, told = answer(broken, "/v1/models/default/update", [JSON], GOOD, whole=whole)
            assert b"200" in status
            assert told["accepted"] == 1
            assert learned(client) == n
    assert any(line.get("event") == "something incidental failed" for line in broken.log)


@pytest.mark.parametrize("broken", [BREAK_ANSWERS], indirect=True)
@pytest.mark.parametrize("action", ["predict", "update"])
def test_an_answer_that_fails_leaves_its_room_to_others(broken: Broken, action: str) -> None:
    body = GOOD.replace(b"news", b"broken")
    path = f"/v1/models/default/{action}"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ncontent-length: {len(body)}\r\n\r\n"
    for _ in range(9):
        with socket.create_connection((broken.host, broken.port)) as connection:
            connection.settimeout(30)
            connection.sendall(head.encode() + body)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1 << 16) == b""
    assert b"200" in answer(broken, path, [JSON], GOOD, whole=True)[0]
