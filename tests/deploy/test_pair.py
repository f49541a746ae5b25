"""deploy/pair.sh: two nodes and two servers on one machine, of which one node is killed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from command_line import COMMAND
from machine import free_port, has_ended
from plain_http import client_of
from postgres import programs
from waiting import SECONDS, until

SCRIPT = Path(__file__).parents[2] / "deploy/pair.sh"
PORTS = 6
"""The first, and the five after it."""


@pytest.fixture
def place() -> Iterator[Path]:
    programs()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nonzero-", dir=memory, ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        command = Path(directory, "nonzero")
        command.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, COMMAND))} "$@"\n')
        command.chmod(0o755)
        yield Path(directory)


def free_ports() -> int:
    """Return the first of as many free ports as the pair takes."""

    def found() -> int:
        first = free_port()
        for port in range(first, first + PORTS):
            with socket.socket() as one:
                try:
                    one.bind(("127.0.0.1", port))
                except OSError:
                    return 0
        return first

    return until(found)


class Pair:
    """What runs, by what the script says of it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process = process
        self.said = said
        self.url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"

    def text(self) -> str:
        return self.said.read_text(errors="replace")

    def node(self, name: str) -> int:
        """Return the process of a node."""
        [pid] = re.findall(rf"Node {name} is process (\d+),", self.text())
        return int(pid)

    def answer(self, node: int, method: str, path: str, **request: object) -> httpx.Response:
        """Ask a node until it answers, with anything but that it cannot now."""

        def asked() -> httpx.Response | None:
            assert self.process.poll() is None, self.text()
            with suppress(httpx.TransportError), client_of(self.url[node]) as client:
                answer = client.request(method, path, **request)  # type: ignore[arg-type]
                return None if answer.status_code == 503 else answer
            return None

        answer = until(asked, self.text)
        assert answer is not None
        return answer


@contextmanager
def pair(place: Path, port: int) -> Iterator[Pair]:
    said = place / "said"
    environment = {
        **os.environ,
        "PLACE": str(place / "kept"),
        "PORT": str(port),
        "NONZERO": str(place / "nonzero"),
        "NONZERO_BITS": "8",
        "NONZERO_LEASE_SECONDS": "1",
    }
    with said.open("wb") as file:
        process = subprocess.Popen(
            [SCRIPT], env=environment, cwd=place, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        running = Pair(port, process, said)
        yield running
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0, running.text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(SECONDS)


def test_one_of_two_nodes_is_killed_and_nothing_is_lost(place: Path) -> None:
    port = free_ports()
    update = {
        "json": {"features": {"site": "news"}, "label": 1},
        "headers": {"idempotency-key": "once"},
    }
    path = "/v1/models/default"
    with pair(place, port) as running:
        for node in range(2):
            assert running.answer(node, "GET", "/readyz").json() == {"status": "ready"}
        learned = running.answer(1, "POST", f"{path}/update", **update)
        assert learned.json()["sequence"] == 1
        nodes = [running.node(name) for name in ("a", "b")]
        writer = next(k for k in range(2) if "this node writes" in said_by("ab"[k], running))
        os.kill(nodes[writer], signal.SIGKILL)
        again = running.answer(1 - writer, "POST", f"{path}/update", **update)
        assert again.json() == learned.json() | {"replayed": 1}
    assert all(map(has_ended, nodes))
    for used in range(port, port + PORTS):
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.1", used)) != 0


def said_by(node: str, running: Pair) -> str:
    return "\n".join(line for line in running.text().splitlines() if f'"node":"{node}"' in line)
