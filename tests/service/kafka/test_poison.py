"""What nothing could be learned from goes to a topic of its own, and says where it came from."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from kafka import QUIET, Broker
from nonzero_service.kafka import client_log
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.errors import BrokerUnreachableError, TopicMissingError
from nonzero_service.kafka.poison import PoisonTopic
from nonzero_service.kafka.topic_reader import Chunk
from nonzero_service.kafka.values import Values
from waiting import SECONDS, until_in_loop


def chunk(*values: bytes | None) -> Chunk:
    offsets = 100 + 2 * np.arange(len(values))
    return Chunk("clicks", "id-of-clicks", 3, 90, 200, 0, offsets, offsets, Values(values))


def sent(broker: Broker, topic: str, number: int) -> list[Message[Any, Any]]:
    with Consumer({"bootstrap.servers": broker.address, "group.id": "none", **QUIET}) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return consumer.consume(number, SECONDS)


def test_messages_are_there_when_it_returns(broker: Broker) -> None:
    topic = broker.topic()
    poison = PoisonTopic(KafkaConfig([broker.address]), topic)
    messages = chunk(b"good", b"bad", None)
    asyncio.run(poison.send(messages, {}))
    asyncio.run(poison.send(messages, {102: "line 1: no label\né", 104: "nothing"}))
    asyncio.run(poison.send(messages, {102: "x" * 10_000}))
    one, two, again = sent(broker, topic, 3)
    assert [message.value() for message in (one, two, again)] == [b"bad", None, b"bad"]
    assert one.key() == again.key() == b"id-of-clicks/3/102"
    assert dict(one.headers() or []) == {
        "nonzero-topic": b"clicks",
        "nonzero-topic-id": b"id-of-clicks",
        "nonzero-partition": b"3",
        "nonzero-offset": b"102",
        "nonzero-reason": "line 1: no label\né".encode(),
    }
    assert len(dict(again.headers() or [])["nonzero-reason"] or b"") == 2000


def test_one_that_is_too_large_goes_without_its_value(broker: Broker) -> None:
    topic = broker.topic(max_message_bytes=1000)
    poison = PoisonTopic(KafkaConfig([broker.address]), topic)
    asyncio.run(poison.send(chunk(bytes(2000), b"small"), {100: "large", 102: "small"}))
    found = {message.key(): message for message in sent(broker, topic, 2)}
    large = found[b"id-of-clicks/3/100"]
    assert not large.value()
    assert dict(large.headers() or [])["nonzero-value"] == b"too large"
    assert found[b"id-of-clicks/3/102"].value() == b"small"


def test_what_cannot_be_sent_is_an_error(broker: Broker) -> None:
    soon = KafkaConfig([broker.address], {"topic.metadata.propagation.max.ms": 100})
    with pytest.raises(TopicMissingError, match="no topic 'nowhere'"):
        asyncio.run(PoisonTopic(soon, "nowhere").send(chunk(b"bad"), {100: "bad"}))
    topic = broker.topic()
    poison = PoisonTopic(KafkaConfig([broker.address], {"message.timeout.ms": 1000}), topic)
    broker.stop_signal()
    try:
        with pytest.raises(BrokerUnreachableError, match=f"could not be sent to topic '{topic}'"):
            asyncio.run(poison.send(chunk(b"bad"), {100: "bad"}))
    finally:
        broker.cont()
    until = time.monotonic() + SECONDS
    while not sent_by(poison):  # one that has stood still may take more than its second for the first
        assert time.monotonic() < until


def sent_by(poison: PoisonTopic) -> bool:
    with suppress(BrokerUnreachableError):
        asyncio.run(poison.send(chunk(b"bad"), {100: "bad"}))
        return True
    return False


def test_each_absence_of_the_brokers_is_told_of(
    broker: Broker, said: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_log, "CALM_SECONDS", 0.0)
    poison = PoisonTopic(KafkaConfig([broker.address]), broker.topic())
    messages = chunk(b"bad")

    async def send_through_an_absence() -> None:
        await poison.send(messages, {100: "bad"})
        broker.kill()
        sending = asyncio.create_task(poison.send(messages, {100: "bad"}))
        told = len(said)
        await until_in_loop(lambda: len(said) > told)
        broker.start()
        await asyncio.wait_for(sending, SECONDS)

    for _ in range(2):
        asyncio.run(send_through_an_absence())
    assert [line["log_level"] for line in said] == ["warning", "info"] * 2


def test_who_closes_it_waits_for_no_broker(broker: Broker) -> None:
    topic = broker.topic()
    poison = PoisonTopic(KafkaConfig([broker.address]), topic)

    async def close_meanwhile() -> None:
        await poison.send(chunk(b"first"), {100: "bad"})
        broker.stop_signal()
        sending = asyncio.create_task(poison.send(chunk(b"second"), {100: "bad"}))
        await until_in_loop(lambda: len(poison._producer or ()))
        begun = time.monotonic()
        await poison.close()
        with pytest.raises(BrokerUnreachableError):
            await asyncio.wait_for(sending, SECONDS)
        assert time.monotonic() - begun < MESSAGE_SECONDS / 2

    asyncio.run(close_meanwhile())
    broker.cont()
    asyncio.run(poison.send(chunk(b"third"), {100: "bad"}))
    assert sent(broker, topic, 2)[-1].value() in (b"second", b"third")


MESSAGE_SECONDS = 30
"""So long a message is tried to be sent."""
