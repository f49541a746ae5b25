"""Real nodes over a real database: they follow, are read, and take over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes import Node, Nodes
from nonzero import LogisticRegression
from plain_http import client_of
from postgres import Cluster
from waiting import until

MODEL = "/v1/models/default"


@pytest.fixture
def nodes(postgres: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path, postgres, "ab", bits=12, lease_seconds=1, breaker="off") as some:
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
    for number in range(20):
        answer = update(nodes[number % 2], f"k{number}", number % 2)
        assert answer["sequence"] == number + 1
    read = [predicted(one, 20) for one in (writer, follower)]
    assert read[0] == read[1]
    assert update(follower, "k3")["sequence"] == 4, "a key that was known is answered as it was"
    metrics = ask(follower, "GET", "/metrics").text
    assert 'nonzero_replica_lag_examples{model="default"} 0' in metrics
    assert "nonzero_replica_lag_seconds" not in [
        line.partition("{")[0] for line in ask(writer, "GET", "/metrics").text.splitlines()
    ]
    assert ask(follower, "PUT", "/v1/models/one", json={"bits": 8}).status_code == 201
    until(lambda: ask(writer, "GET", "/v1/models/one").status_code == 200)
    until(lambda: (follower.data_dir / "models/one/model.json").exists())
    refused = ask(writer, "PUT", "/v1/models/two", json={"follows": "default"})
    assert refused.status_code == 409
    assert "journal of its own" in refused.json()["detail"]


@pytest.mark.parametrize("how", ["kill", "stop_signal", "terminate"])
def test_another_node_takes_over(nodes: Nodes, how: str) -> None:
    """Whatever becomes of the writer; and it comes back as one that follows, with the same bits."""
    for number in range(10):
        update(nodes[0], f"k{number}", number % 2)
    writer, [follower] = nodes.writer(), nodes.followers()
    term = writer.leader().term  # type: ignore[union-attr]
    begun = time.monotonic()
    if how == "terminate":
        writer.process.child.terminate()
    else:
        getattr(writer, how)()
    assert update(follower, "k10")["sequence"] == 11
    assert time.monotonic() - begun < 5
    assert update(follower, "k4", 0)["sequence"] == 5
    assert until(follower.leader).term > term  # type: ignore[union-attr]
    if how == "stop_signal":
        writer.cont()
    else:
        until(writer.process.has_ended)
        writer.start()
    until(writer.is_ready)
    until(lambda: sequence(writer) == 11)
    assert writer.leader() is None
    assert digest(writer) == digest(follower)
