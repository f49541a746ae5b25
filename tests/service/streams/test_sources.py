"""Models that learn from topics of a real broker, in a real service."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from kafka import Broker
from service.conftest import ServiceProcess, Start
from waiting import until


def examples(n: int, seed: int = 1) -> Iterator[bytes]:
    rng = random.Random(seed)
    for k in range(n):
        yield b"%d |site s%d |ad a%d u%d" % (rng.random() < 0.2, rng.randrange(20), rng.randrange(50), k)


def source(running: ServiceProcess, model: str = "default") -> dict[str, Any]:
    with running.client() as client:
        answer = client.get(f"/v1/models/{model}/source")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


def until_read(running: ServiceProcess, messages: int, model: str = "default") -> dict[str, Any]:
    until(
        lambda: source(running, model)["messages"] == messages, lambda: (source(running, model), running.log)
    )
    return source(running, model)


def test_examples_of_two_partitions_are_learned_from(broker: Broker, start: Start) -> None:
    topic = broker.topic(partitions=2)
    broker.produce(topic, examples(500))
    running = start(source=f"kafka://{broker.address}/{topic}?format=vw&model=ads").until_ready()
    until_read(running, 500, "ads")
    broker.produce(
        topic, [b"1 |a b\n0 |a c\n", b"0 |a d\nnonsense", None, b""], partition=1
    )  # a blank line of VW text holds no example
    told = until_read(running, 504, "ads")
    assert (told["examples"], told["refused"], told["state"], told["reason"]) == (503, 1, "reading", None)
    places = [(one["partition"], one["position"], one["messages"]) for one in told["partitions"]]
    assert places == [(0, 500, 500), (1, 4, 4)]
    assert [(one["offset"], one["line"]) for one in told["refusals"]] == [(1, 2)]
    with running.client() as client:
        assert client.get("/v1/models/ads").json()["sequence"] == 503
        assert client.get("/v1/models/default").json()["sequence"] == 0
        refused = client.get("/v1/models/default/source")
        assert (refused.status_code, "--source" in refused.json()["detail"]) == (404, True)
    assert running.stop() == 0
    assert "nonsense" not in str(running.log)  # what stands in a message is nothing for a log
