"""No token and no body comes into the log, whichever way a request fails."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from plain_http import client_of
from service.conftest import FreshService
from service.workers.processes import Connections, until_replaced, workers
from waiting import SECONDS, until

TOKEN = "Zq7-token-that-nobody-may-read"
UNKNOWN = "Zq7-token-that-nobody-knows"
BODY = "Zq7-body"
MARKS = ("Zq7", "WnE3")  # the second is its base64

PREDICT, UPDATE, LABELS = (f"/v1/models/default/{action}" for action in ("predict", "update", "labels"))
JSON, VW, NDJSON = "application/json", "text/x-vw", "application/x-ndjson"

DEFECT = """
import asyncio, gc, sys, threading
if "nonzero_service" in " ".join(sys.orig_argv):
    from nonzero_service.bodies.reading import Bodies

    batch_of, stream = Bodies.batch_of, Bodies.stream

    def failing_batch_of(self, body, *more):
        if b"in-thread" in body:
            raise ValueError(f"cannot use {body!r}")
        return batch_of(self, body, *more)

    async def fail(body):
        raise ValueError(body)

    async def json(self, headers, receive, read=Bodies.json):
        body = await read(self, headers, receive)
        if b"in-route" in body:
            raise RuntimeError(body)
        if b"in-task" in body:
            asyncio.get_running_loop().create_task(fail(body))
        if b"in-callback" in body:
            asyncio.get_running_loop().call_soon(int, body)
        if b"beside" in body:
            threading.Thread(target=int, args=(body,)).start()
        return body

    async def failing_stream(self, headers, receive, *more, **named):
        async for piece in stream(self, headers, receive, *more, **named):
            yield piece
            raise KeyError(repr(headers), piece)

    Bodies.batch_of, Bodies.json = failing_batch_of, json
    if "DEFECTIVE_STREAMS" in __import__("os").environ:
        Bodies.stream = failing_stream
"""


class Guarded(FreshService):
    """A service that knows one token, and whose processes have defects, from their start."""

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return client_of(self.url, headers=headers)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[..., Guarded]]:
    (tmp_path / "tokens").write_text(f"admin,predict,update {TOKEN}\n")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "sitecustomize.py").write_text(DEFECT)
    started: list[Guarded] = []

    def start(data_dir: Path | None = None, defective_streams: bool = False, **settings: object) -> Guarded:
        flags = {"token_file": str(tmp_path / "tokens"), "log_level": "debug", **settings}
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        Guarded.environment = {"PYTHONPATH": path} | ({"DEFECTIVE_STREAMS": "1"} if defective_streams else {})
        started.append(Guarded(data_dir or tmp_path / "data", **flags))
        started[-1].until_ready()
        return started[-1]

    yield start
    for service in started:
        service.stop(signal.SIGKILL)


def refused(client: httpx.Client) -> None:
    """Send what is answered with every kind of refusal."""
    example = {"features": {"site": BODY}, "label": 1, "id": BODY}
    requests: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", PREDICT, {"content-type": JSON, "authorization": f"Bearer {UNKNOWN}"}, b"{}"),
        ("POST", PREDICT, {"content-type": JSON, "authorization": f"Basic {UNKNOWN}"}, b"{}"),
        ("POST", PREDICT, {"content-type": JSON}, f'{{"{BODY}'.encode()),
        ("POST", PREDICT, {"content-type": JSON}, json.dumps({"features": {"a": [BODY]}}).encode()),
        ("POST", PREDICT, {"content-type": "text/html"}, BODY.encode()),
        ("POST", PREDICT, {"content-type": JSON, "content-encoding": "gzip"}, BODY.encode()),
        (
            "POST",
            UPDATE,
            {"content-type": JSON},
            json.dumps({"features": {BODY: 1e300}, "label": 7}).encode(),
        ),
        ("POST", UPDATE, {"content-type": VW}, f"1 |f {BODY}:nan\n{BODY}\n".encode()),
        ("POST", UPDATE, {"content-type": NDJSON}, f'{{"{BODY}": 1}}\n'.encode()),
        ("POST", UPDATE, {"content-type": "text/csv"}, f"click,{BODY}\n{BODY},{BODY}\n".encode()),
        ("POST", UPDATE, {"content-type": "text/csv"}, f"{BODY}\n{BODY}\n".encode()),
        ("POST", UPDATE, {"content-type": JSON, "idempotency-key": "k"}, json.dumps(example).encode()),
        ("POST", UPDATE, {"content-type": JSON, "idempotency-key": "k"}, json.dumps([example]).encode()),
        ("POST", LABELS, {"content-type": JSON}, json.dumps({"id": BODY, "label": BODY}).encode()),
        ("POST", LABELS, {"content-type": JSON}, json.dumps({"id": BODY, "label": 1}).encode()),
        ("POST", "/v1/models/default/remedy", {"content-type": JSON}, f'{{"{BODY}": 1}}'.encode()),
        ("PUT", "/v1/models/other", {"content-type": JSON}, f'{{"bits": "{BODY}"}}'.encode()),
        ("PUT", "/v1/models/other", {"content-type": "application/vnd.safetensors"}, BODY.encode() * 99),
        ("POST", f"{UPDATE}?strict={BODY}", {"content-type": JSON}, b"{}"),
        ("GET", "/nowhere", {"cookie": BODY}, BODY.encode()),
        ("POST", PREDICT, {"content-type": JSON}, BODY.encode() * 400),
    ]
    for method, path, headers, body in requests:
        answer = client.request(method, path, headers=headers, content=body)
        assert answer.status_code in {200, *range(400, 500)}, (path, answer.text)


def defects(client: httpx.Client) -> None:
    """Send what meets a defect."""
    for where, status in [
        ("in-thread", 500),
        ("in-route", 500),
        ("in-task", 200),
        ("in-callback", 200),
        ("beside", 200),
    ]:
        content = {"examples": [{"features": {"site": BODY, "where": where}}] * 2}
        answer = client.post(PREDICT, json=content)
        assert answer.status_code == status, answer.text


def broken_off(service: Guarded) -> None:
    """Send half a request, of several kinds."""
    head = f"POST {UPDATE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: {VW}\r\n"
    for data in (
        f"{head}content-length: 999\r\n\r\n1 |f {BODY}\n",
        f"{head}transfer-encoding: chunked\r\n\r\n9\r\n1 |f {BODY}",
        f"{head}transfer-encoding: chunked\r\n\r\n{BODY}\r\n",
        f"{head}{BODY}\r\n\r\n",
        f"{head}content-length: {BODY}\r\n\r\n",
        f"{BODY} {UNKNOWN}\r\n\r\n",
    ):
        with socket.create_connection((service.host, service.port), timeout=5) as connection:
            connection.sendall(data.encode())
            time.sleep(0.05)


@contextmanager
def streaming(client: httpx.Client, path: str) -> Iterator[http.client.HTTPConnection]:
    """Begin a stream that does not end."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=20)
    connection.putrequest("POST", path)
    for name, value in {
        "authorization": f"Bearer {TOKEN}",
        "content-type": VW,
        "content-length": "999999",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(f"1 |f {BODY}\n".encode() * 100)
    time.sleep(0.1)
    try:
        yield connection
    finally:
        connection.close()


def text_of(service: Guarded) -> str:
    return "\n".join(map(json.dumps, list(service.log)))


def check(service: Guarded, *events: str) -> None:
    """The log has these events, and no mark."""
    service.process.wait(SECONDS)
    until(lambda: all(event in text_of(service) for event in events), lambda: text_of(service))
    text = text_of(service)
    for mark in MARKS:
        assert mark not in text, text[max(0, text.find(mark) - 2000) :][:2500]
    assert not [line for line in service.log if line["event"] == "text"]


def test_refusals_defects_and_killed_processes(guarded: Callable[..., Guarded]) -> None:
    service = guarded(workers=3, max_body_bytes=2048)
    with Connections(service) as clients:
        for client in clients:
            refused(client)
            defects(client)
        broken_off(service)
        [one, _] = workers(service).values()
        with streaming(clients[1], PREDICT), streaming(clients[0], UPDATE):
            os.kill(one, signal.SIGKILL)
            until_replaced(service, one)
    with Connections(service) as clients:
        opened = [streaming(client, path) for client in clients for path in (UPDATE, PREDICT) * 3]
        for connection in opened:
            connection.__enter__()
        service.process.kill()
        with suppress(httpx.TransportError):
            clients[1].post(UPDATE, json={"features": {"site": BODY}, "label": 1})
        time.sleep(0.3)
        for connection in opened:
            connection.__exit__(None, None, None)
    check(service, "the service failed", "a worker has ended", "a thread failed", "stopping", "refused")


def test_a_full_disk_and_streams_that_fail(guarded: Callable[..., Guarded], small_disk: Path) -> None:
    service = guarded(small_disk / "data", defective_streams=True, bits=8, learning_rate=0.1)
    with service.client() as client:
        with suppress(httpx.TransportError):
            client.post(UPDATE, content=f"1 |f {BODY}\n".encode() * 10, headers={"content-type": VW})
        with suppress(httpx.TransportError):
            client.post(PREDICT, content=f"1 |f {BODY}\n".encode() * 10, headers={"content-type": VW})
        with (small_disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        statuses = set()
        for n in range(40):
            example = {"features": {f"{BODY}-{n}-{m}": 1 for m in range(200)}}
            statuses.add(client.post(UPDATE, json=example | {"label": 1}).status_code)
            client.post(PREDICT, json={"examples": [example | {"id": f"{BODY}-{n}"}]})
            client.post(LABELS, json={"id": f"{BODY}-{n}", "label": 1})
        client.post("/v1/models/default/snapshots")
        assert 507 in statuses
    service.stop()
    check(service, "the service failed", '"status": 507')
