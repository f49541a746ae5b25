"""Partitions whose leader has changed: brokers are asked for it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest

from kafka import Broker
from nonzero_service.kafka.topics import TopicQueries
from service.kafka.collecting import reader_of


def change_leader(broker: Broker) -> None:
    """Have the broker not heard of for a while: the leader is chosen anew, under another epoch."""
    broker.stop_signal()
    time.sleep(1.5)  # the session ends after a second
    broker.cont()
    time.sleep(1)  # it is let in again


def test_a_leader_that_changes_while_places_are_looked_for_is_asked(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"there"])
    ask, left = TopicQueries.starts, [broker]

    def starts(self: TopicQueries, partitions: Iterable[tuple[str, int]]) -> Any:
        while left:  # the client knows a leader by now, and asks that one
            change_leader(left.pop())
        return ask(self, partitions)

    monkeypatch.setattr(TopicQueries, "starts", starts)

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            assert await found.records(1) == [(0, 0, b"there")]

    asyncio.run(asyncio.wait_for(read(), 30))
