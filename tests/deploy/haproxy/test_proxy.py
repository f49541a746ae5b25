"""The proxy of ``compose.cluster.yaml``, by its own file: Debian's HAProxy, in front of two services."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from machine import free_port
from plain_http import client_of
from service.conftest import ServiceProcess, Start
from service.safety.raw import connect, read_all, read_until
from waiting import until

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/haproxy"
UPDATE = "/v1/models/default/update"
PREDICT = "/v1/models/default/predict"
EXAMPLE = {"features": {"site": "news"}}


@contextmanager
def proxying(place: Path, a: str, b: str) -> Iterator[str]:
    """Run the proxy in front of two addresses; give its own, once it answers."""
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("HAProxy is not installed: apt-get install haproxy")
    port = free_port()
    environment = {"NONZERO_AT": f"127.0.0.1:{port}", "NONZERO_A": a, "NONZERO_B": b}
    log = place / "haproxy.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [program, "-db", "-f", FOLDER / "haproxy.cfg"], env=environment, stdout=said, stderr=said
        ) as process,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        try:
            until(lambda: process.poll() is not None or answers(client, "/proxy"))
            assert process.poll() is None, log.read_text()
            assert "[WARNING]" not in log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def pair(start: Start, tmp_path: Path) -> tuple[ServiceProcess, ServiceProcess]:
    """Two services with journals of their own: to the proxy they are what two nodes are."""
    both = start(tmp_path / "a", bits=8), start(tmp_path / "b", bits=8)
    return both[0].until_ready(), both[1].until_ready()


def address(service: ServiceProcess) -> str:
    return f"{service.host}:{service.port}"


def served(service: ServiceProcess) -> int:
    """Return how many predictions a service has answered."""
    with service.client() as client:
        found = re.findall(
            r'^nonzero_requests_total\{.*route="[^"]*predict".*\} (\d+)', client.get("/metrics").text, re.M
        )
    return sum(map(int, found))


def test_predictions_are_spread_and_go_on_when_a_node_ends(
    pair: tuple[ServiceProcess, ServiceProcess], tmp_path: Path
) -> None:
    with proxying(tmp_path, *map(address, pair)) as url, client_of(url) as client:
        until(lambda: answers(client, "/readyz"))
        for _ in range(20):
            with client_of(url) as other:
                assert other.post(PREDICT, json=EXAMPLE).status_code == 200
        each = [served(service) for service in pair]
        assert sum(each) == 20
        assert min(each) >= 5, each  # the one that has fewer connections: one may end late
        pair[0].kill()
        # The first that finds the door closed goes to the other node; no client sees it.
        statuses = Counter(client.post(PREDICT, json=EXAMPLE).status_code for _ in range(20))
        assert statuses == {200: 20}
        pair[1].kill()
        answer = until(lambda: refused(client))
        assert answer is not None
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["status"] == 503
        assert answers(client, "/proxy")  # its own health


def refused(client: httpx.Client) -> httpx.Response | None:
    answer = client.post(PREDICT, json=EXAMPLE)
    return answer if answer.headers["content-type"] == "application/problem+json" else None


class Node(ThreadingHTTPServer):
    """What a test needs of a node that no service does when asked: it is not ready, or ends in a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), NodeAnswers)
        self.is_ready = False
        self.received = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class NodeAnswers(BaseHTTPRequestHandler):
    server: Node

    def do_GET(self) -> None:
        """Answer the proxy's check."""
        assert self.path == "/readyz"
        self.send_response(200 if self.server.is_ready else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """End in the middle of a request: whether it was applied, nobody knows."""
        self.server.received += 1
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_node_that_is_not_ready_gets_nothing_and_nothing_is_sent_twice(
    pair: tuple[ServiceProcess, ServiceProcess], node: Node, tmp_path: Path
) -> None:
    update = {**EXAMPLE, "label": 1}
    with (
        proxying(tmp_path, address(pair[0]), node.address) as url,
        client_of(url) as client,
        pair[0].client() as itself,
    ):
        until(lambda: "is DOWN" in (tmp_path / "haproxy.log").read_text())
        statuses = [client.post(UPDATE, json=update).status_code for _ in range(6)]
        assert node.received == 0
        node.is_ready = True

        def is_lost() -> bool:
            # On a connection that had an answer before, it would close that instead of answering.
            with client_of(url) as other:
                statuses.append(other.post(UPDATE, json=update).status_code)
            return statuses[-1] != 200

        until(is_lost)
        assert statuses[-1] == 502
        assert node.received == 1
        # The other has those that were answered, and not the one that was lost.
        assert itself.get("/v1/models/default").json()["sequence"] == statuses.count(200) == len(statuses) - 1


def test_streams_go_through_it_as_they_come(
    pair: tuple[ServiceProcess, ServiceProcess], tmp_path: Path
) -> None:
    """Half of a stream is answered before the other half is sent."""
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\nconnection: close\r\n"
    line = b" | site=news\n"
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    with proxying(tmp_path, *map(address, pair)) as url, client_of(url) as client:
        until(lambda: answers(client, "/readyz"))
        with connect(httpx.URL(url).port or 0) as connection:
            connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk)
            received = read_until(connection, b"probability")
            connection.sendall(chunk + b"0\r\n\r\n")
            received += read_all(connection)
    assert received.count(b"probability") == 2
