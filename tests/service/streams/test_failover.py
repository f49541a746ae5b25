"""Of several nodes the one that writes reads the topic; who takes over goes on where the journal says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from kafka import Broker
from nodes import Nodes
from plain_http import client_of
from postgres import Cluster
from service.cluster.outcome import kept_by
from service.streams.test_sources import examples
from waiting import until


def sequence(url: str) -> int:
    with client_of(url) as client:
        found: int = client.get("/v1/models/default").json()["sequence"]
        return found


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
