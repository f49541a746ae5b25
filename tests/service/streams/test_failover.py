"""Of several nodes the one that writes reads the topic; who takes over goes on where the journal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka import Broker
from nodes import Node, Nodes
from plain_http import client_of
from postgres import Cluster
from service.cluster.outcome import kept_by
from service.cluster.shared_impressions import Taught
from service.cluster.shared_rows import SharedRows
from service.streams.test_joining import CORRECTION_MS, WAIT, WINDOW_MS, Traffic, hash_of, send
from service.streams.test_sources import examples
from waiting import until


def sequence(url: str) -> int:
    with client_of(url) as client:
        found: int = client.get("/v1/models/default").json()["sequence"]
        return found


@pytest.mark.sampled(1)
@pytest.mark.parametrize("stops", [False, True], ids=["killed", "stopped"])
def test_who_takes_over_goes_on(broker: Broker, postgres: Cluster, tmp_path: Path, *, stops: bool) -> None:
    topic = broker.topic(partitions=2)
    address = f"kafka://{broker.address}/{topic}?format=vw"
    with Nodes(tmp_path, postgres, "ab", source=address, bits=12, lease_seconds=1) as nodes:
        nodes.until_ready()
        first = nodes.writer()
        [second] = [node for node in nodes if node is not first]
        broker.produce(topic, examples(3000))
        until(lambda: sequence(first.url) > 0)
        broker.produce(topic, examples(3000, seed=2), partition=1)
        if stops:
            assert first.process.stop() == 0
        else:
            first.kill()
        broker.produce(topic, examples(1000, seed=3))
        until(lambda: second.leader() is not None)
        until(lambda: sequence(second.url) == 7000, lambda: (sequence(second.url), second.process.log[-3:]))
        first.start()
        until(first.is_ready)
        broker.produce(topic, examples(500, seed=4), partition=1)
        until(lambda: sequence(first.url) == sequence(second.url) == 7500)
        for node in nodes:  # one passes it on
            told = httpx.get(f"{node.url}/v1/models/default/source", trust_env=False).json()
            read = [(one["position"], one["messages"], one["examples"]) for one in told["partitions"]]
            assert read == [(4000, 4000, 4000), (3500, 3500, 3500)]
            assert (told["refused"], told["state"]) == (0, "reading")
        assert kept_by(first)[1] == kept_by(second)[1]


def source_of(node: Node) -> dict[str, Any]:
    with client_of(node.url) as client:
        told: dict[str, Any] = client.get("/v1/models/default/source").raise_for_status().json()
        return told


def test_who_takes_over_joins_clicks_with_what_another_has_read(
    broker: Broker, postgres: Cluster, tmp_path: Path
) -> None:
    """Clicks wait in the rows when their reader is killed; their impressions come to the one after it."""
    traffic = Traffic.of(600, 4)
    shown, clicks = broker.topic(partitions=2), broker.topic(partitions=3)
    middle = traffic.shown[300][0]

    def sent(*, early: bool) -> None:
        """Send what is before the middle, or behind it. Of one partition that is ten minutes earlier."""
        for part in range(2):
            own = [one for one in traffic.examples(part, 2) if (one[1] < middle - part * 600_000) == early]
            send(broker, shown, iter(own), part)
        for part in range(3):
            send(broker, clicks, (one for one in traffic.labels(part, 3) if (one[1] < middle) == early), part)

    settings = {
        "source": f"kafka://{broker.address}/{shown}?labels={clicks}&wait={WAIT}",
        "negatives": "at_once",
        "attribution_seconds": WINDOW_MS / 1000,
        "correction_seconds": CORRECTION_MS / 1000,
        "journal_retention": "all",
        "breaker": "off",
        "bits": 12,
        "lease_seconds": 1,
    }
    sent(early=True)
    with Nodes(tmp_path, postgres, "ab", **settings) as nodes:
        nodes.until_ready()
        first = nodes.writer()
        [second] = [node for node in nodes if node is not first]
        until(lambda: source_of(first)["event_time"]["waiting_labels"])
        first.kill()
        sent(early=False)
        everything = len(traffic.shown) + len(traffic.clicks)
        until(lambda: second.leader() is not None)
        until(
            lambda: source_of(second)["messages"] == everything,
            lambda: (source_of(second), second.process.log[-3:]),
        )
        position, digest = kept_by(second)
        rows = SharedRows(nodes.database)
        try:
            taught, folded = Taught(rows.read()), rows.fold({position})
        finally:
            rows.close()
    assert digest == folded[position].digest
    assert taught.kept == {hash_of(name): 1 for _, name in traffic.shown}
    assert taught.clicks == {hash_of(name): 1 for name in traffic.clicked}
