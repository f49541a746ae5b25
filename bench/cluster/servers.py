"""A cluster that is benched: PostgreSQL on a disk, and nodes beside it, each a process of its own."""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.running import Server, serving
from bench.service import NEVER_PAUSED

from nonzero_service.demo.process import free_port

sys.path.append(str(Path(__file__).parent.parent.parent / "tests"))

from machine import children
from postgres import Cluster

__all__ = ["DEFAULT", "UNDISTURBED", "Figure", "ask", "node", "pair", "sequence_of", "until_sequence"]

DEFAULT: Final = "/v1/models/default"

UNDISTURBED: Final[dict[str, Any]] = NEVER_PAUSED | {
    "snapshot_bytes": 1 << 40,
    "snapshot_seconds": 1e9,
    "journal_retention": "all",
}
"""Settings under which nothing but what is measured goes on."""


class Figure(NamedTuple):
    """A row of the report."""

    what: str
    figure: str
    aim: str = ""


@contextmanager
def node(database: str, name: str, directory: Path | None = None, **settings: Any) -> Iterator[Server]:
    """Run a node until it is no longer needed; yield it when it is ready."""
    at = f"127.0.0.1:{free_port()}"
    with serving(directory, journal=database, node=name, node_address=at, **settings) as server:
        yield server


@contextmanager
def pair(database: str, **settings: Any) -> Iterator[tuple[Server, Server]]:
    """Run one that writes and one that follows."""
    with ExitStack() as held:
        writer = held.enter_context(node(database, "a", **settings))
        while ask(writer, "GET", "/leader")[0] != 200:
            time.sleep(0.05)
        yield writer, held.enter_context(node(database, "b", **settings))


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    """Ask once, by a connection of its own; return the status and what is said."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request(method, path, body, {"content-type": kind})
        with connection.getresponse() as answer:
            content = answer.read()
        return answer.status, json.loads(content)
    finally:
        connection.close()


def sequence_of(server: Server) -> int:
    """Return how many examples a node has learned."""
    return int(ask(server, "GET", DEFAULT)[1]["sequence"])


def until_sequence(server: Server, sequence: int) -> None:
    """Wait until a node has learned so many examples."""
    while sequence_of(server) < sequence:
        time.sleep(0.05)


def processes_of(servers: Cluster) -> list[int]:
    """Return the processes of the database's servers that run now."""
    return [pid for one in servers.servers for pid in (one.pid, *children(one.pid))]


@contextmanager
def place() -> Iterator[Path]:
    """Have a directory on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
