"""SIGTERM, and a second service on the same directory."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from service.faults.clients import PATH, Clients
from service.faults.forked import ForkedService, Forking
from service.faults.invariants import Oracle

LINES = [f"{1 if j % 3 else -1} |f site{j % 11}\n".encode() for j in range(4_000)]


def begin(service: ForkedService, key: str) -> socket.socket:
    """Send the first half of a stream."""
    body = b"".join(LINES)
    connection = socket.create_connection((service.host, service.port))
    head = (
        f"POST {PATH}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\nconnection: close\r\n"
        f"idempotency-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + b"".join(LINES[:2_000]))
    return connection


def test_no_request_in_flight_fails_and_nothing_acknowledged_is_lost(
    services: Forking, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    directory = data_dir / "models" / "default"
    service = services.serve(data_dir, journal_retention="all", grace_seconds=10).until_ready()
    clients = Clients(4)
    with service.client() as client:
        begun = [begin(service, f"stream-{n}") for n in range(4)]
        while client.get(PATH).json()["sequence"] < 4 * 2_000:
            time.sleep(0.005)
    clients.start(service)
    while len(clients.acknowledged()) < 20:
        time.sleep(0.005)
    stopped = time.monotonic()
    service.tell(signal.SIGTERM)
    time.sleep(0.2)
    for connection in begun:
        with connection:
            connection.sendall(b"".join(LINES[2_000:]))
            answer = b""
            while data := connection.recv(4096):
                answer += data
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"accepted":4000' in answer
    assert service.end(None) == 0
    assert time.monotonic() - stopped < 10
    clients.stop()

    folded = Oracle(directory).fold()
    newest = snapshots_in(directory / "snapshots")[0]
    assert LogisticRegression.load(newest.path).digest() == folded.digest()
    acknowledged = sum(examples for examples, _ in clients.acknowledged().values())
    assert 0 <= folded.examples - 16_000 - acknowledged <= sum(clients.in_flight().values())


def test_a_second_service_is_refused_by_name(services: Forking, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = services.serve(data_dir).until_ready()
    second = services.serve(data_dir)
    assert second.end(None) == 1
    assert any(f"process {first.pid}" in str(line) for line in second.log())
    with first.client() as client:
        assert client.post(f"{PATH}/update", json={"features": {}, "label": 1}).status_code == 200
    assert first.end(signal.SIGTERM) == 0
    assert services.serve(data_dir).until_ready().end(signal.SIGTERM) == 0
