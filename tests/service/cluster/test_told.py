"""What nodes tell of their cluster: ``GET /leader``, metrics, the log, and ``nonzero cluster status``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command_line import nonzero_here
from nodes import Node, Nodes
from plain_http import client_of
from postgres import Cluster
from service.conftest import SERVE, ServiceProcess, Start, starting
from waiting import until

EXAMPLE = {"features": {"site": "news"}, "label": 1}


@pytest.fixture(scope="module")
def nodes(replicated: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("nodes"), replicated, "ab", lease_seconds=2) as both:
        both.until_ready()
        yield both


def text_of(node: Node) -> str:
    with client_of(node.url) as client:
        return client.get("/metrics").text


def told(node: Node) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for line in text_of(node).splitlines():
        if line.startswith(("nonzero_term", "nonzero_role", "nonzero_l", "nonzero_take", "nonzero_sync")):
            name, _, value = line.rpartition(" ")
            name, _, labels = name.partition("{")
            found.setdefault(name, {})[labels.strip("}")] = float(value)
    return found


def test_each_node_says_who_writes(nodes: Nodes) -> None:
    writer = until(nodes.writer)
    [follower] = nodes.followers()
    with client_of(writer.url) as client:
        answer = client.get("/leader")
        assert answer.status_code == 200
        said = answer.json()
        assert said["node"] == writer.name
        assert said["url"].rstrip("/") == writer.url
        assert said["term"] >= 1
    with client_of(follower.url) as client:

        def refused() -> Any:
            answer = client.get("/leader")
            return answer if answer.json().get("leader") else None

        answer = until(refused)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["leader"] == said
        assert f"{writer.name} does, at {said['url']}" in answer.json()["detail"]


def test_metrics_tell_the_term_the_role_and_the_standby(nodes: Nodes) -> None:
    writer = until(nodes.writer)
    [follower] = nodes.followers()
    until(lambda: "nonzero_synchronous_standbys" in told(writer))
    of_writer, of_follower = told(writer), told(follower)
    assert of_writer["nonzero_term"] == of_follower["nonzero_term"]
    assert of_writer["nonzero_role"]['role="writing"'] == of_follower["nonzero_role"]['role="following"'] == 1
    assert sum(of_writer["nonzero_role"].values()) == 1
    assert of_follower["nonzero_leader_info"] == {f'node="{writer.name}"': 1}
    assert of_writer["nonzero_lease_age_seconds"][""] < 2
    assert of_follower["nonzero_lease_age_seconds"][""] < 2
    assert of_writer["nonzero_takeovers_total"][""] == 1
    assert of_follower["nonzero_takeovers_total"][""] == 0
    assert of_writer["nonzero_synchronous_standbys"] == {"": 1}
    assert "nonzero_synchronous_standbys" not in of_follower


def test_the_metrics_that_the_page_names_are_told(nodes: Nodes) -> None:
    page = (Path(__file__).parents[3] / "docs/cluster.md").read_text()
    named = set(re.findall(r"`(nonzero_[a-z_]+)`", page))
    told_by = {line.split()[2] for node in nodes for line in text_of(node).splitlines() if "# TYPE" in line}
    assert len(named) >= 8
    assert named - told_by == set()


def test_the_status_shows_nodes_journals_and_standbys(nodes: Nodes) -> None:
    writer = until(nodes.writer)
    with client_of(writer.url) as client:
        assert client.post("/v1/models/default/update", json=EXAMPLE).status_code == 200
    url = nodes.database

    def told_all() -> Any:
        done = nonzero_here("cluster", "status", "--journal", url, "--json")
        found = json.loads(done.stdout)
        ready = len(found["nodes"]) == 2 and all(one["lag_examples"] == 0 for one in found["nodes"])
        return (done, found) if ready and found["models"]["default"]["sequence"] == 1 else None

    done, found = until(told_all)
    assert done.returncode == 0, found
    assert (found["leads"], found["on_two_machines"]) == (True, True)
    assert found["leader"]["node"] == writer.name
    assert [one["node"] for one in found["nodes"]] == ["a", "b"]
    assert {one["role"] for one in found["nodes"]} == {"writing", "following"}
    assert not any(one["silent"] for one in found["nodes"])
    [standby] = found["database"]["standbys"]
    assert (standby["name"], standby["sync_state"], standby["state"]) == ("two", "sync", "streaming")
    shown = nonzero_here("cluster", "status", "--journal", url)
    assert shown.returncode == 0
    for said in (f"{writer.name} writes", "default", "two", "is on two machines when it is acknowledged"):
        assert said in shown.stdout


def test_the_status_says_what_could_be_lost(nodes: Nodes) -> None:
    until(nodes.writer)
    url = nodes.database
    with psycopg.connect(url, autocommit=True, target_session_attrs="read-write") as line:
        name = line.info.dbname
        for level, status, said in (
            ("local", 3, "synchronous_commit is local: commits wait for no standby"),
            ("remote_write", 3, "in memory alone"),
            ("on", 0, "on two machines"),
        ):
            line.execute(f"ALTER DATABASE {name} SET synchronous_commit = {level}")
            done = nonzero_here("cluster", "status", "--journal", url)
            assert (done.returncode, said in done.stdout) == (status, True), done
        line.execute(f"ALTER DATABASE {name} RESET synchronous_commit")


def test_nobody_leads_a_database_that_no_node_has(database: str) -> None:
    done = nonzero_here("cluster", "status", "--journal", database)
    assert done.returncode == 1
    assert "no node has used the database" in done.stderr
    assert "Traceback" not in done.stderr


class WithoutClient(ServiceProcess):
    """A service where the extra is not installed."""

    program = "import sys; sys.modules['psycopg'] = None\n" + SERVE


def test_a_start_without_the_extra_names_it(tmp_path: Path) -> None:
    with starting(WithoutClient, tmp_path) as start:
        service = start(journal="postgresql://127.0.0.1/db", node="a")
        assert service.until_ended() == 1
    [line] = service.lines("the service cannot start")
    assert line["reason"].endswith("cannot be imported (psycopg): pip install 'nonzero-ctr[postgres]'")


PASSWORD = "Zq7-password-that-nobody-may-read"


@pytest.mark.parametrize(
    "journal",
    [
        "postgresql://clerk:x/{}@127.0.0.1:1/db",
        "postgresql://clerk:1/{}@127.0.0.1:1/db",
        "postgresql://clerk:x@{}@127.0.0.1:1/db",
        "postgresql://clerk:{}%@127.0.0.1:1/db",
    ],
)
def test_a_password_that_is_not_written_as_an_address_has_it_is_not_told(journal: str) -> None:
    done = nonzero_here("cluster", "status", "--journal", journal.format(PASSWORD))
    assert done.returncode == 1
    assert "journal cannot be read as the address of a database, such as " in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("journal", "said"),
    [
        ("postgresql://clerk:{}@127.0.0.1:1/db", "the database cannot be reached"),
        ("postgresql://clerk:x/{}@127.0.0.1:1/db", "cannot be read as the address of a database"),
        ("postgresql://127.0.0.1:1/db?password={}&sslmode=none", "cannot be reached"),
    ],
)
def test_no_password_is_told(start: Start, journal: str, said: str) -> None:
    service = start(journal=journal.format(PASSWORD), node="a", log_level="debug")
    until(lambda: any(said in json.dumps(line) for line in service.log), lambda: service.log)
    until(lambda: service.has_ended() or service.lines("listening"))
    if not service.has_ended():
        service.until_listening()
        with service.client() as client:
            for path in ("/openapi.json", "/leader", "/metrics", "/v1/models", "/readyz"):
                assert PASSWORD not in client.get(path).text
        service.stop()
    assert PASSWORD not in json.dumps(service.log)


def test_a_status_where_nobody_writes(nodes: Nodes) -> None:
    """And the last one's note goes with it."""
    for node in nodes:
        assert node.process.stop() == 0
    done = nonzero_here("cluster", "status", "--journal", nodes.database, "--json", "--wait", "0.3")
    found = json.loads(done.stdout)
    assert (done.returncode, found["leads"], found["leader"], found["nodes"]) == (1, False, None, [])
