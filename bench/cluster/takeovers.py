"""How long nobody acknowledges an update after a node, or the database, has failed; by default settings."""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from bench.cluster.servers import DEFAULT, Figure, place

from nodes import Node, Nodes
from postgres import Cluster, postgresql

AIM = 10.0
ANSWER_SECONDS = 3.0
PAUSE = 0.02
"""Before an update that was not acknowledged is sent again."""

Fault = Callable[[Cluster, Node], AbstractContextManager[None]]


@contextmanager
def killed(_: Cluster, writer: Node) -> Iterator[None]:
    writer.kill()
    yield
    writer.start()


@contextmanager
def stopped(_: Cluster, writer: Node) -> Iterator[None]:
    writer.stop_signal()
    yield
    writer.cont()


@contextmanager
def told_to_stop(_: Cluster, writer: Node) -> Iterator[None]:
    writer.process.process.terminate()
    yield
    assert writer.process.until_ended() == 0
    writer.start()


@contextmanager
def cut_off(_: Cluster, writer: Node) -> Iterator[None]:
    writer.link.stall()
    yield
    writer.link.heal()


@contextmanager
def database_fails_over(servers: Cluster, _: Node) -> Iterator[None]:
    servers.fail_over()
    yield
    servers.rejoin()


FAULTS: dict[str, Fault] = {
    "SIGTERM": told_to_stop,
    "SIGKILL": killed,
    "SIGSTOP": stopped,
    "cut off from the database, which says nothing": cut_off,
    "the primary is killed, and the standby promoted": database_fails_over,
}


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield the seconds of each fault, from when it is done until an update that follows is acknowledged."""
    keys = itertools.count()
    with (
        postgresql(standby=True, on_disk=True) as servers,
        place() as directory,
        Nodes(directory, servers, "ab", breaker="off") as nodes,
    ):
        nodes.until_ready()
        waits: dict[str, list[float]] = {name: [] for name in FAULTS}
        for _ in range(chosen.times):
            for name, fault in FAULTS.items():
                writer = nodes.writer()
                others = [node for node in nodes if node is not writer]
                acknowledged(others, next(keys))  # the way through the other is open
                begun = time.monotonic()
                with fault(servers, writer):
                    acknowledged(others, next(keys))
                    waits[name].append(time.monotonic() - begun)
                nodes.until_ready()
        for name, seconds in waits.items():
            yield Figure(
                f"until another update is acknowledged: {name}",
                f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}",
                f"{AIM:g} s",
            )


def acknowledged(nodes: list[Node], key: int) -> None:
    """Send an update to nodes by turns until it is acknowledged."""
    body = json.dumps({"features": {"site": "news"}, "label": 1}).encode()
    headers = {"content-type": "application/json", "idempotency-key": f"bench-{key}"}
    for node in itertools.cycle(nodes):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=ANSWER_SECONDS)
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", f"{DEFAULT}/update", body, headers)
            if connection.getresponse().status == 200:
                return
        connection.close()
        time.sleep(PAUSE)
