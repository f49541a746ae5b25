"""Real nodes over a real database: they follow, are read, and take over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from nodes import Node, Nodes
from nonzero import LogisticRegression
from plain_http import client_of
from postgres import Cluster
from waiting import until

MODEL = "/v1/models/default"


@pytest.fixture(scope="module")
def nodes(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes for all tests here: each leaves both running."""
    place = tmp_path_factory.mktemp("nodes")
    with Nodes(place, postgres, "ab", bits=12, lease_seconds=1, breaker="off") as some:
        yield some.until_ready()


def ask(node: Node, method: str, path: str, **kwargs: Any) -> httpx.Response:
    with client_of(node.url, timeout=10) as client:
        return client.request(method, path, **kwargs)


def update(node: Node, key: str, label: int = 1, site: str = "news") -> dict[str, Any]:
    """Learn from an example, through any node; it is tried again until it is answered."""

    def tried() -> dict[str, Any] | None:
        try:
            answer = ask(
                node,
                "POST",
                f"{MODEL}/update",
                json={"features": {"site": site}, "label": label},
                headers={"Idempotency-Key": key},
            )
        except httpx.TransportError:
            return None
        assert answer.status_code in (200, 503), answer.text
        return answer.json() if answer.status_code == 200 else None

    found = until(tried, node.process.failures)
    assert found is not None
    return found


def predicted(node: Node, sequence: int) -> dict[str, Any]:
    """Predict by a model that has learned so much; it is asked again until it has."""

    def tried() -> dict[str, Any] | None:
        headers = {"Nonzero-Min-Sequence": str(sequence)}
        body = {"features": {"site": "news"}}
        answer = ask(node, "POST", f"{MODEL}/predict", json=body, headers=headers)
        assert answer.status_code in (200, 503), answer.text
        return answer.json() if answer.status_code == 200 else None

    found = until(tried, node.process.failures)
    assert found is not None
    return found


def digest(node: Node) -> str:
    """The digest of the model that a node has, by a snapshot that it takes of it at a stop."""
    node.process.child.terminate()
    until(node.process.has_ended)
    newest = max((node.data_dir / "models/default/snapshots").glob("*.safetensors"))
    return LogisticRegression.load(newest).digest()


def sequence(node: Node) -> int:
    found: int = ask(node, "GET", MODEL).json()["sequence"]
    return found


def test_what_is_written_anywhere_is_read_everywhere(nodes: Nodes) -> None:
    writer, [follower] = nodes.writer(), nodes.followers()
    begun = sequence(writer)
    for number in range(20):
        answer = update(nodes[number % 2], f"k{number}", number % 2)
        assert answer["sequence"] == begun + number + 1
    read = [predicted(one, begun + 20) for one in (writer, follower)]
    assert read[0] == read[1]
    assert update(follower, "k3")["sequence"] == begun + 4, "a key that was known is answered as it was"
    metrics = ask(follower, "GET", "/metrics").text
    assert 'nonzero_replica_lag_examples{model="default"} 0' in metrics
    assert "nonzero_replica_lag_seconds" not in [
        line.partition("{")[0] for line in ask(writer, "GET", "/metrics").text.splitlines()
    ]
    assert ask(follower, "PUT", "/v1/models/one", json={"bits": 8}).status_code == 201
    until(lambda: ask(writer, "GET", "/v1/models/one").status_code == 200)
    until((follower.data_dir / "models/one/model.json").exists)
    refused = ask(writer, "PUT", "/v1/models/two", json={"follows": "default"})
    assert refused.status_code == 409
    assert "journal of its own" in refused.json()["detail"]


def test_a_client_may_ask_any_node_for_anything(nodes: Nodes) -> None:
    """Whatever node it asks, it reads what it has written, and labels what it was told."""
    for n in range(20):
        one, other = nodes[n % 2], nodes[(n + 1) % 2]
        learned = update(one, f"any-{n}", n % 2)["sequence"]
        told = [predicted(node, learned) for node in (other, one)]
        assert told[0] == told[1]
        assert told[0]["sequence"] == learned
        example = {"features": {"site": f"s{n % 3}"}, "id": f"imp-{n}"}
        assert ask(one, "POST", f"{MODEL}/predict", json=example).status_code == 200
        labelled = ask(one, "POST", f"{MODEL}/labels", json={"id": f"imp-{n}", "label": 1})
        assert labelled.status_code == 200, labelled.text


def test_another_node_takes_over(nodes: Nodes) -> None:
    """And the writer comes back as one that follows, with the same bits. All else: ``test_faults.py``."""
    begun = sequence(nodes.writer())
    for number in range(10):
        update(nodes[0], f"t{number}", number % 2)
    writer, [follower] = nodes.writer(), nodes.followers()
    leader = writer.leader()
    assert leader is not None
    killed = time.monotonic()
    writer.kill()
    assert update(follower, "t10")["sequence"] == begun + 11
    assert time.monotonic() - killed < 5
    assert update(follower, "t4", 0)["sequence"] == begun + 5
    after = until(follower.leader)
    assert after is not None
    assert after.term > leader.term
    writer.start()
    until(writer.is_ready)
    until(lambda: sequence(writer) == begun + 11)
    assert writer.leader() is None
    assert digest(writer) == digest(follower)
    for node in nodes:
        node.start()
    nodes.until_ready()
