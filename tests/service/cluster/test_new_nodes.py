"""Real nodes whose disks are empty, or of something else: what they have is in the database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes import Node, Nodes
from nonzero import LogisticRegression
from plain_http import client_of
from postgres import Cluster
from service.uninterrupted import batch
from waiting import until

BINARY = {"content-type": "application/vnd.safetensors"}
PREDICTED = {"examples": [{"features": {"site": f"s{j}"}} for j in range(9)]}


@pytest.fixture(scope="module")
def nodes(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes for all tests here: each has models of its own, and leaves both running."""
    place = tmp_path_factory.mktemp("nodes")
    with Nodes(place, postgres, "ab", bits=10, lease_seconds=1, breaker="off") as some:
        yield some.until_ready()


def ask(node: Node, method: str, path: str, **kwargs: Any) -> httpx.Response:
    with client_of(node.url, timeout=10) as client:
        return client.request(method, path, **kwargs)


def update(node: Node, model: str, rows: int = 20) -> int:
    examples = [{"features": {"site": f"s{j % 7}"}, "label": j % 2} for j in range(rows)]
    sequence: int = ready(node, "POST", f"{model}/update", json={"examples": examples}).json()["sequence"]
    return sequence


def ready(node: Node, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """Return what a node answers when it can: where it is to write it may not do so yet."""

    def tried() -> list[httpx.Response]:
        answer = ask(node, method, path, **kwargs)
        assert answer.is_success or answer.status_code == 503, answer.text
        return [answer] if answer.is_success else []

    [answer] = until(tried, node.process.failures)
    return answer


def predicted(node: Node, model: str, sequence: int) -> Any:
    """Return what a node predicts when it has learned so much."""
    headers = {"Nonzero-Min-Sequence": str(sequence)}

    def tried() -> Any:
        answer = ask(node, "POST", f"{model}/predict", json=PREDICTED, headers=headers)
        return answer.json() if answer.status_code == 200 else None

    return until(tried, node.process.failures)


def events(node: Node) -> list[str]:
    return [line["event"] for line in node.process.log]


def test_a_node_with_an_empty_disk(nodes: Nodes, tmp_path: Path) -> None:
    """What a file brought comes from the snapshot that all share; what came since, from the rows."""
    trained = "/v1/models/trained"
    model = LogisticRegression(10)
    model.learn(batch(1))
    model.save(tmp_path / "trained")
    writer, [other] = nodes.writer(), nodes.followers()
    file = (tmp_path / "trained").read_bytes()
    assert ready(other, "PUT", trained, content=file, headers=BINARY).status_code == 201
    sequence = update(writer, trained)
    assert sequence == model.examples + 20
    expected = predicted(writer, trained, sequence)
    other.kill()
    shutil.rmtree(other.data_dir)
    until(other.start().is_ready, other.process.failures)
    assert predicted(other, trained, sequence) == expected
    assert "fetched a snapshot" in events(other)
    # It takes over, and the other one comes back with an empty disk.
    writer.kill()
    shutil.rmtree(writer.data_dir)
    until(lambda: other.leader() is not None)
    sequence = update(other, trained)
    until(writer.start().is_ready, writer.process.failures)
    assert predicted(writer, trained, sequence) == predicted(other, trained, sequence)
    metrics = ask(other, "GET", "/metrics").text
    assert re.search(r'nonzero_shared_snapshot_failures_total{model="trained"} 0', metrics)


def test_a_model_that_was_made_anew_while_a_node_was_away(nodes: Nodes) -> None:
    clicks = "/v1/models/clicks"
    writer, [other] = nodes.writer(), nodes.followers()
    assert ready(writer, "PUT", clicks, json={"bits": 9}).status_code == 201
    predicted(other, clicks, update(writer, clicks))
    identity = other.data_dir / "models/clicks/id"
    until(identity.exists)  # until it has the model, the writer answers for it
    before = identity.read_text()
    other.kill()
    assert ask(writer, "DELETE", clicks).status_code == 204
    assert not (writer.data_dir / "models/clicks").exists()
    assert ask(writer, "PUT", clicks, json={"bits": 8}).status_code == 201
    sequence = update(writer, clicks, 3)
    until(other.start().is_ready, other.process.failures)
    assert predicted(other, clicks, sequence) == predicted(writer, clicks, sequence)
    assert ask(other, "GET", clicks).json()["sequence"] == 3
    until(lambda: identity.read_text() != before)
    names = [path.name for path in (other.data_dir / "models").iterdir() if "clicks" in path.name]
    assert names == ["clicks"]


def test_a_directory_has_one_node(nodes: Nodes) -> None:
    one, two = nodes
    two.kill()
    shutil.rmtree(two.data_dir)
    two.data_dir.symlink_to(one.data_dir)
    two.start()
    assert until(lambda: two.process.child.poll()) == 1
    assert "is in use by process" in str(two.process.log)
    two.data_dir.unlink()
    two.start()
    nodes.until_ready()
