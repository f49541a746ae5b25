"""Of several nodes the one that writes reads the topic; who takes over goes on where the journal says."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka import Broker
from nodes import Node, Nodes
from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from plain_http import client_of
from postgres import Cluster
from service.cluster.outcome import kept_by
from service.cluster.shared_impressions import Taught
from service.cluster.shared_rows import SharedRows
from service.series import series
from service.streams.test_joining import CORRECTION_MS, WAIT, WINDOW_MS, Traffic, hash_of
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
        with client_of(nodes.writer().url) as client:
            client.post("/v1/models/default/snapshots").raise_for_status()
        assert kept_by(first)[1] == kept_by(second)[1]


def source_of(node: Node) -> dict[str, Any]:
    with client_of(node.url) as client:
        told: dict[str, Any] = client.get("/v1/models/default/source").raise_for_status().json()
        return told


@pytest.mark.parametrize("negatives", ["at_once", "window"])
def test_who_takes_over_joins_clicks_and_ends_windows_of_what_another_has_read(
    negatives: str, broker: Broker, postgres: Cluster, tmp_path: Path
) -> None:
    """The writer is killed within windows, and who takes over is too: all is learned as if by one.

    Each message is fetched alone. So that takes seconds, and no kill comes when all is read: event time would
    go on by the clock then, and end all windows.
    """
    traffic = Traffic.of(1000, 4)
    everything = len(traffic.shown) + len(traffic.clicks)
    shown, clicks = broker.topic(partitions=2), broker.topic(partitions=3)
    alone = broker.producer(linger_ms=0, batch_num_messages=1)
    for topic, parts, made in ((shown, 2, traffic.examples), (clicks, 3, traffic.labels)):
        for part in range(parts):
            values, times = zip(*made(part, parts), strict=True)
            broker.produce(topic, values, times=times, partition=part, producer=alone)
    (tmp_path / "properties").write_text("fetch.message.max.bytes=1\n")
    settings = {
        "source": f"kafka://{broker.address}/{shown}?labels={clicks}&wait={WAIT}",
        "source_config": str(tmp_path / "properties"),
        "negatives": negatives,
        "attribution_seconds": WINDOW_MS / 1000,
        "correction_seconds": CORRECTION_MS / 1000,
        "journal_retention": "all",
        "breaker": "off",
        "bits": 12,
        "lease_seconds": 1,
    }
    with Nodes(tmp_path, postgres, "ab", **settings) as nodes:
        writer = nodes.until_ready().writer()
        for part in (1, 2):
            until(partial(has_read, writer, part * everything // 6), partial(source_of, writer))
            writer.kill()
            killed, [writer] = writer, [node for node in nodes if node is not writer]
            until(writer.leader)
            killed.start()
            until(killed.is_ready)
        until(partial(has_read, writer, everything), partial(source_of, writer))
        until(partial(has_ended_all, writer), partial(source_of, writer))
        with client_of(writer.url) as client:
            client.post("/v1/models/default/snapshots").raise_for_status()
        # By then another may write, where this machine has much to do: it took the snapshot.
        kept = [snapshots_in(node.data_dir / "models/default/snapshots") for node in nodes]
        newest = max(chain.from_iterable(kept), key=lambda one: one.position)
        rows = SharedRows(nodes.database)
        try:
            taught, folded = Taught(rows.read()), rows.fold({newest.position})
        finally:
            rows.close()
        assert LogisticRegression.load(newest.path).digest() == folded[newest.position].digest
    everybody = {hash_of(name) for _, name in traffic.shown}
    in_time = {hash_of(name) for name in traffic.clicked_within(WINDOW_MS)}
    assert taught.kept == dict.fromkeys(everybody, 1)
    assert taught.clicks == {hash_of(name): 1 for name in traffic.clicked}
    # A window ends a little late, and a click that comes before that is in time.
    assert set(taught.negatives.values()) == {1}
    assert everybody - taught.clicks.keys() <= taught.negatives.keys()
    assert taught.negatives.keys() <= (everybody if negatives == "at_once" else everybody - in_time)


def has_read(node: Node, messages: int) -> bool:
    """Whether it has read so many messages; it may not know of its source yet."""
    with client_of(node.url) as client:
        answer = client.get("/v1/models/default/source")
    return answer.is_success and answer.json()["messages"] >= messages


def has_ended_all(node: Node) -> bool:
    """Whether its event time is that of the clock, and no prediction waits for a label any more."""
    behind = source_of(node)["event_time"]["behind_seconds"]
    with client_of(node.url) as client:
        return behind < 120 and series(client, 'nonzero_pending_labels{model="default"}') == 0
