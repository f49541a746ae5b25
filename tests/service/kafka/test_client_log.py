"""What lets nobody in is an error, or said once; no secret is in either."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kafka import PASSWORD, USER, Broker
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.errors import SourceRefusedError
from service.kafka.collecting import reader_of
from waiting import until_in_loop


def sasl(broker: Broker, password: str) -> KafkaConfig:
    properties = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": password,
    }
    return KafkaConfig([broker.sasl], properties)


def test_who_has_the_password_is_let_in(broker: Broker, said: list[dict[str, Any]]) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"a"])

    async def read() -> None:
        async with reader_of(broker, topic, config=sasl(broker, PASSWORD)) as found:
            assert await found.records(1) == [(0, 0, b"a")]

    asyncio.run(read())
    assert said == []


def test_who_has_not_is_told_so(broker: Broker, said: list[dict[str, Any]]) -> None:
    """In the same words each time, however long it took, and at one place: it is tried for hours."""
    topic, wrong = broker.topic(), "a wrong one of the tests"
    told: set[str] = set()

    async def read() -> None:
        async with reader_of(broker, topic, config=sasl(broker, wrong)) as found:
            with pytest.raises(SourceRefusedError, match=r"do not let us in: .*Authentication") as caught:
                await found.take()
            assert wrong not in str(caught.value)
            assert "the file that source_config names" in str(caught.value)
            assert "ms in state" not in str(caught.value)
            told.add(str(caught.value))

    for _ in range(3):
        asyncio.run(read())
    assert len(told) == 1
    assert said == []  # the error tells of it


def test_a_broker_that_speaks_no_tls_is_told_of(broker: Broker, said: list[dict[str, Any]]) -> None:
    topic = broker.topic()

    async def read() -> None:
        config = KafkaConfig([broker.address], {"security.protocol": "SSL"})
        async with reader_of(broker, topic, config=config) as found:
            await until_in_loop(lambda: said)
            assert not found.reader.is_up

    asyncio.run(read())
    assert "SSL" in said[0]["reason"]


def test_tls_is_spoken_with_a_broker_that_is_known(broker: Broker) -> None:
    if broker.certificate is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    topic, place = broker.topic(), str(broker.certificate[0])
    broker.produce(topic, [b"a"])

    async def read() -> None:
        known = KafkaConfig([broker.tls], {"security.protocol": "SSL", "ssl.ca.location": place})
        async with reader_of(broker, topic, config=known) as found:
            assert await found.records(1) == [(0, 0, b"a")]
        unknown = KafkaConfig([broker.tls], {"security.protocol": "SSL"})
        async with reader_of(broker, topic, config=unknown) as found:
            with pytest.raises(SourceRefusedError, match="certificate verify failed"):
                await found.take()

    asyncio.run(read())


def test_a_quota_is_told_of_once(broker: Broker, said: list[dict[str, Any]]) -> None:
    topic = broker.topic()
    broker.produce(topic, [bytes(100_000)] * 20, producer=broker.producer(batch_size=150_000, linger_ms=0))
    broker.set_quota("nonzero", 190_000)
    try:

        async def read() -> None:
            async with reader_of(broker, topic) as found:
                await found.records(20)
                await until_in_loop(lambda: said)

        asyncio.run(read())
    finally:
        broker.set_quota("nonzero", None)
    [line] = said
    assert line["event"] == "the brokers hold the client back: it has a quota"
    assert line["seconds"] > 0
