"""Nodes that copy snapshots to an object store: the one that writes does, whoever that is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from links import Link
from nodes import Node, Nodes
from nonzero import LogisticRegression
from object_store import ObjectStore
from plain_http import client_of
from postgres import Cluster
from service.cluster.outcome import kept_by
from service.cluster.shared_rows import SharedRows
from waiting import until

PATH = "/v1/models/default"
BINARY = {"content-type": "application/vnd.safetensors"}


@pytest.fixture
def way(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """The way of the nodes to the store, which can be held up."""
    port = urlsplit(object_store.endpoint).port
    assert port is not None
    with Link([port]) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{link.ports[0]}")
        yield link


def learn(node: Node, seed: int) -> None:
    rows = [{"features": {"site": f"s{(j + seed) % 9}"}, "label": j % 2} for j in range(100)]

    def done() -> bool:
        with client_of(node.url) as client:
            answer = client.post(f"{PATH}/update", json={"examples": rows})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    until(done, node.process.failures)


def snapshot(node: Node) -> None:
    with client_of(node.url) as client:
        client.post(f"{PATH}/snapshots").raise_for_status()


def name_of(position: int) -> str:
    return f"snapshots/default/{position:020d}.safetensors"


def copied(node: Node) -> list[int]:
    return [line["position"] for line in node.process.lines("snapshot stored")]


def test_who_writes_copies_and_who_takes_over_goes_on(
    postgres: Cluster, object_store: ObjectStore, way: Link, tmp_path: Path
) -> None:
    store = f"{object_store.url}/snapshots"
    settings: dict[str, Any] = {
        "bits": 8,
        "lease_seconds": 1,
        "journal_retention": "all",
        "breaker": "off",
    }
    with Nodes(tmp_path, postgres, "ab", snapshot_store=store, **settings) as nodes:
        nodes.until_ready()
        first = nodes.writer()
        [second] = nodes.followers()
        for seed in (1, 2):
            learn(first, seed)
            snapshot(first)
            until(partial(object_store.has, name_of(seed + 1)))
        until(lambda: copied(first) == [2, 3])
        assert copied(second) == []
        until(lambda: said_of_store(first) == 0)
        assert said_of_store(second) is None
        # One that comes with an empty disk has it all of the database, and leaves the store alone.
        third = Node("c", tmp_path / "c", nodes.database, snapshot_store=store, **settings)
        try:
            third.start()
            until(lambda: third.is_ready() and sequence(third) == 200)
            assert copied(third) == []
            assert third.process.stop() == 0
        finally:
            third.close()
        # The writer is killed while it copies: of that nothing is seen.
        learn(first, 3)
        way.stall(there=False)
        snapshot(first)
        begun = latest(first)
        until(object_store.uploads)  # it has begun, and waits for the answer
        first.kill()
        way.heal()
        until(lambda: second.leader() is not None)
        learn(second, 4)
        snapshot(second)
        newest = latest(second)
        until(partial(object_store.has, name_of(newest)))
        assert not object_store.has(name_of(begun))
        first.start()
        until(first.is_ready)
        learn(first, 5)  # which it passes on
        snapshot(first)
        newer = latest(second)
        until(lambda: object_store.keys() == [name_of(newest), name_of(newer)], second.process.failures)
        assert copied(first) == []
        positions = [newest, newer]
        rows = SharedRows(nodes.database)
        try:
            folded = rows.fold(set(positions))
        finally:
            rows.close()
        for position in positions:
            stored = LogisticRegression.load(f"{object_store.url}/{name_of(position)}")
            assert stored.digest() == folded[position].digest
        assert not first.process.failures()
        kept_by(second)
    # The database is lost too: a new one, and a file of the store by any of its nodes.
    body, place = object_store.get(name_of(positions[-1])), tmp_path / "anew"
    place.mkdir()
    with Nodes(place, postgres, "a", **settings) as anew:
        node = anew.until_ready().writer()
        with client_of(node.url) as client:
            client.put("/v1/models/again", content=body, headers=BINARY).raise_for_status()
            client.post("/v1/models/again/snapshots").raise_for_status()
            made = client.get("/v1/models/again/snapshots/latest").content
        (tmp_path / "again").write_bytes(made)
    assert LogisticRegression.load(tmp_path / "again").digest() == folded[positions[-1]].digest


def said_of_store(node: Node) -> float | None:
    """Return the age of what is in the store; None where the node does not say."""
    with client_of(node.url) as client:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith("nonzero_snapshot_store_age_seconds{"):
                return float(line.rpartition(" ")[2])
    return None


def sequence(node: Node) -> int:
    try:
        with client_of(node.url) as client:
            found: int = client.get(PATH).raise_for_status().json()["sequence"]
            return found
    except httpx.HTTPError:
        return -1


def latest(node: Node) -> int:
    return int(max(path.stem for path in (node.data_dir / "models/default/snapshots").glob("*.safetensors")))
