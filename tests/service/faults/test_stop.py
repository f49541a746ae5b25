"""SIGTERM, and a second service on the same directory."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH, Clients
from service.faults.invariants import Oracle
from waiting import SECONDS, until

LINES = [f"{1 if j % 3 else -1} |f site{j % 11}\n".encode() for j in range(4_000)]


def begin(service: ServiceProcess, key: str) -> socket.socket:
    """Send the first half of a stream."""
    body = b"".join(LINES)
    connection = socket.create_connection((service.host, service.port))
    head = (
        f"POST {PATH}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\nconnection: close\r\n"
        f"idempotency-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + b"".join(LINES[:2_000]))
    return connection


def listens(service: ServiceProcess) -> bool:
    try:
        socket.create_connection((service.host, service.port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_no_request_in_flight_fails_and_nothing_acknowledged_is_lost(serve: Start, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    directory = data_dir / "models" / "default"
    # Streams that set in one after another are a jump: the breaker would hold what they bring.
    service = serve(
        data_dir, journal_retention="all", grace_seconds=10 * SECONDS, breaker="off"
    ).until_ready()
    clients = Clients(4)
    with service.client() as client:
        begun = [begin(service, f"stream-{n}") for n in range(4)]
        until(lambda: client.get(PATH).json()["sequence"] == 4 * 2_000)
    clients.start(service)
    until(lambda: len(clients.acknowledged()) >= 20)
    service.process.send_signal(signal.SIGTERM)
    until(lambda: not listens(service))
    for connection in begun:
        with connection:
            connection.sendall(b"".join(LINES[2_000:]))
            answer = b""
            while data := connection.recv(4096):
                answer += data
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"accepted":4000' in answer
    assert service.until_ended() == 0
    clients.stop()

    folded = Oracle(directory).fold()
    newest = snapshots_in(directory / "snapshots")[0]
    assert LogisticRegression.load(newest.path).digest() == folded.digest()
    acknowledged = sum(examples for examples, _ in clients.acknowledged().values())
    assert 0 <= folded.examples - 16_000 - acknowledged <= sum(clients.in_flight().values())


def test_a_second_service_is_refused_by_name(serve: Start, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = serve(data_dir).until_ready()
    second = serve(data_dir)
    assert second.until_ended() == 1
    assert any(f"process {first.pid}" in str(line) for line in second.log)
    with first.client() as client:
        assert client.post(f"{PATH}/update", json={"features": {}, "label": 1}).status_code == 200
    assert first.stop() == 0
    assert serve(data_dir).until_ready().stop() == 0
