"""What clients and operators are told while a cluster's database cannot commit, or has no primary."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from command_line import nonzero_here
from nodes import Node, Nodes
from plain_http import client_of
from postgres import Cluster
from service.conftest import Start
from waiting import until

WAITS = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%nonzero.rows%'"


@pytest.fixture
def nodes(breakable: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path, breakable, "ab", lease_seconds=2) as both:
        both.until_ready()
        yield both


def update(node: Node) -> tuple[int, str]:
    with client_of(node.url, timeout=20) as client:
        answer = client.post("/v1/models/default/update", json={"features": {"site": "news"}, "label": 1})
        return answer.status_code, answer.json().get("detail", "")


def leaders_told(node: Node) -> list[str]:
    with client_of(node.url) as client:
        return [
            line for line in client.get("/metrics").text.splitlines() if line.startswith("nonzero_leader_")
        ]


def test_a_database_without_its_standby_and_then_without_its_primary(
    nodes: Nodes, breakable: Cluster
) -> None:
    writer = until(nodes.writer)
    until(lambda: update(writer)[0] == 200)
    breakable.standby.kill()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(update, writer)
        until(lambda: breakable.primary.ask(f"SELECT pg_terminate_backend(pid) {WAITS}"))
        status, detail = waiting.result()
    assert status == 503
    assert detail.startswith("the outcome is unknown: the database ")
    assert "stopping" not in detail
    assert writer.process.lines("the service failed") == []

    def stuck() -> Any:
        return all(node.process.lines("the database answers, and commits nothing") for node in nodes)

    until(stuck)
    done = nonzero_here("cluster", "status", "--journal", nodes.database, "--wait", "0.5")
    assert done.returncode == 1
    assert "NO UPDATE IS ACKNOWLEDGED: commits wait for 1 of the standbys 'two', and 0 of" in done.stdout
    for node in nodes:
        assert node.url in done.stdout  # whole, though no terminal is as wide
        [line] = node.process.lines("the database answers, and commits nothing")
        assert "of the standbys 'two'" in line["reason"]

    breakable.standby.start()
    until(lambda: all(leaders_told(node) for node in nodes))
    [follower] = nodes.followers()
    breakable.primary.kill()
    until(lambda: not any(leaders_told(node) for node in nodes))
    with client_of(follower.url) as client:
        answer = client.get("/leader")
        assert (answer.status_code, answer.json()["leader"]) == (503, None)
        assert client.get("/v1/models/default").json()["replica"]["follows"] is None
    for node in nodes:
        status, detail = update(node)
        assert status == 503
        assert len(detail) < 300
    breakable.standby.promote()
    until(lambda: update(follower)[0] == 200)


def test_a_first_start_names_a_standby_that_has_another_name(postgres: Cluster, start: Start) -> None:
    """As the first one mostly has: what pg_basebackup writes gives none."""
    url = postgres.database()
    postgres.primary.configure(synchronous_standby_names="nobody")
    try:
        node = start(journal=url, node="a", lease_seconds=2)
        until(lambda: node.lines("the database answers, and commits nothing"), lambda: node.log)
        [line] = node.lines("the database answers, and commits nothing")
        assert line["reason"].startswith("commits wait for 1 of the standbys 'nobody', and 0 of them streams")
        done = nonzero_here("cluster", "status", "--journal", url, "--wait", "0.5")
        assert done.returncode == 1
        assert "yet: commits wait for 1 of the standbys 'nobody'" in done.stderr
    finally:
        postgres.primary.configure(synchronous_standby_names="")
    node.until_ready()
