"""The broker that tests run: its topics are as they are made. Others kill it, and stop it."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from kafka import QUIET, Broker
from waiting import SECONDS


def read(broker: Broker, topic: str, number: int, start: int = 0) -> list[tuple[int | None, bytes | None]]:
    with Consumer({"bootstrap.servers": broker.address, "group.id": "none", **QUIET}) as consumer:
        consumer.assign([TopicPartition(topic, 0, start)])
        found = consumer.consume(number, SECONDS)
    return [(message.offset(), message.value()) for message in found]


def test_topics_come_go_and_grow(broker: Broker) -> None:
    topic = broker.topic(partitions=2)
    broker.add_partitions(topic, 3)
    assert broker.partitions(topic) == [0, 1, 2]
    broker.produce(topic, [b"a"] * 10)
    broker.delete_records(topic, 7)
    assert len(read(broker, topic, 3, 7)) == 3
    broker.delete_topic(topic)
    assert broker.partitions(topic) == []
    broker.topic(topic)
