"""A topic that is no longer what it was is refused, before one record of it is handed out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kafka import Broker
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.errors import (
    LogTruncatedError,
    OffsetLostError,
    SourceError,
    TopicMissingError,
    TopicRemadeError,
)
from nonzero_service.kafka.topic_reader import Lost
from service.kafka.collecting import Collected, reader_of, records_of


def read(broker: Broker, topic: str, number: int = 0, **options: Any) -> Collected:
    async def collect() -> Collected:
        async with reader_of(broker, topic, **options) as found:
            await found.records(number)
            return found

    return asyncio.run(collect())


async def refusal(found: Collected) -> SourceError:
    """Take until something is refused."""
    with pytest.raises(SourceError) as caught:
        await found.until(lambda _: False)
    return caught.value


def refused(broker: Broker, topic: str, **options: Any) -> tuple[SourceError, Collected]:
    """Return what is said of a topic which is not what was read."""

    async def collect() -> tuple[SourceError, Collected]:
        async with reader_of(broker, topic, **options) as found:
            return await refusal(found), found

    return asyncio.run(collect())


def remake(broker: Broker, topic: str, records: int, **options: Any) -> None:
    broker.delete_topic(topic)
    broker.topic(topic, **options)
    broker.produce(topic, [b"new"] * records)


def test_a_topic_that_is_not_there_is_refused(broker: Broker) -> None:
    error, _ = refused(broker, "nowhere")
    assert isinstance(error, TopicMissingError)
    assert "no topic 'nowhere'" in str(error)
    assert "create it" in str(error)


def test_a_topic_that_was_made_anew_is_refused(broker: Broker) -> None:
    """The new one has records at the offset where the old one was left: nothing else would tell."""
    topic = broker.topic()
    broker.produce(topic, [b"old"] * 3)
    before = read(broker, topic, 3)
    remake(broker, topic, 10)
    error, after = refused(broker, topic, after=before)
    assert isinstance(error, TopicRemadeError)
    assert (error.topic, error.was) == (topic, before.chunks[0].topic_id)
    assert f"the id {error.was}, and now has the id {error.now}" in str(error)
    assert f"topic_id={error.now}" in str(error)
    assert after.chunks == []
    # The way out.
    again = read(broker, topic, 10, after=before, topic_ids=[error.now])
    assert records_of(again.chunks) == [(0, offset, b"new") for offset in range(10)]
    assert {chunk.topic_id for chunk in again.chunks} == {error.now}
    # It is known then.
    broker.produce(topic, [b"more"])
    known = {topic: error.was}
    again = read(broker, topic, 1, known=known, positions=before.positions | again.positions)
    assert records_of(again.chunks) == [(0, 10, b"more")]


def test_a_topic_that_is_made_anew_while_it_is_read_is_refused(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"old"] * 3)

    async def collect() -> None:
        async with reader_of(broker, topic) as found:
            await found.records(3)
            remake(broker, topic, 1000)
            error = await refusal(found)
            assert isinstance(error, TopicRemadeError)
            assert (error.topic, error.was) == (topic, found.chunks[0].topic_id)
            assert error.now != error.was
            assert [value for *_, value in records_of(found.chunks)] == [b"old"] * 3

    asyncio.run(collect())


def test_a_topic_that_is_made_anew_with_less_is_refused_as_such(broker: Broker) -> None:
    """Its offsets are out of range, which is not what has to be mended."""
    topic = broker.topic()
    broker.produce(topic, [b"old"] * 30)

    async def collect() -> None:
        async with reader_of(broker, topic, lost="skip") as found:
            await found.records(30)
            remake(broker, topic, 3)
            assert isinstance(await refusal(found), TopicRemadeError)

    asyncio.run(collect())


def test_a_topic_that_is_deleted_while_it_is_read_is_refused(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"old"])

    async def collect() -> None:
        async with reader_of(broker, topic) as found:
            await found.records(1)
            broker.delete_topic(topic)
            assert isinstance(await refusal(found), TopicMissingError)

    asyncio.run(collect())


def test_records_that_are_gone_are_refused_or_told_of(broker: Broker) -> None:
    topic = broker.topic(partitions=2)
    broker.produce(topic, [b"a"] * 10)
    broker.produce(topic, [b"b"] * 10, partition=1)
    before = read(broker, topic, 20)
    broker.produce(topic, [b"c"] * 10)
    broker.produce(topic, [b"d"], partition=1)
    broker.delete_records(topic, 15)
    error, _ = refused(broker, topic, after=before)
    assert isinstance(error, OffsetLostError)
    assert (error.topic, error.partition, error.first, error.next) == (topic, 0, 10, 15)
    assert "the offsets 10 to 14 are gone" in str(error)
    assert "lost=skip" in str(error)
    after = read(broker, topic, 6, after=before, lost="skip")
    (told,) = [chunk for chunk in after.chunks if chunk.lost]
    assert isinstance(told.lost, Lost)
    assert told.lost[:2] == (10, 15)
    assert (told.partition, told.first, told.next, [*told.values]) == (0, 15, 15, [])
    assert sorted(records_of(after.chunks)) == [*((0, 15 + n, b"c") for n in range(5)), (1, 10, b"d")]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lost", ["refuse", "skip"])
def test_records_that_go_while_they_are_read_are_refused_or_told_of(broker: Broker, lost: str) -> None:
    topic = broker.topic(partitions=2)
    values = [b"%06d" % number for number in range(60_000)]
    broker.produce(topic, values)
    broker.produce(topic, [b"other"], partition=1)

    async def collect() -> None:
        # So little is held that most has not been fetched.
        few = ("fetch.message.max.bytes", "fetch.max.bytes", "message.max.bytes")
        properties = {"queued.max.messages.kbytes": 1, **dict.fromkeys(few, 1000)}
        config = KafkaConfig([broker.address], properties)
        async with reader_of(broker, topic, lost=lost, config=config, most_bytes=1) as found:
            await found.records(10)
            broker.delete_records(topic, 50_000)
            if lost == "refuse":
                error = await refusal(found)
                assert isinstance(error, OffsetLostError)
                first = error.first
                assert (error.partition, error.next) == (0, 50_000)
            else:
                broker.produce(topic, [b"last"], partition=1)
                await found.until(
                    lambda found: {(0, 59_999), (1, 1)} <= {r[:2] for r in records_of(found.chunks)}
                )
                (told,) = [chunk for chunk in found.chunks if chunk.lost]
                assert told.lost is not None
                first = told.lost.first
                assert (told.lost.next, told.first) == (50_000, 50_000)
            read = [offset for partition, offset, _ in records_of(found.chunks) if partition == 0]
            assert read == [*range(first), *([] if lost == "refuse" else range(50_000, 60_000))]

    asyncio.run(collect())


def test_what_retention_took_before_the_first_record_was_read_is_not_missed(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"a"] * 10)
    broker.delete_records(topic, 7)
    found = read(broker, topic, 3)
    assert [chunk.first for chunk in found.chunks] == [7]
    assert not any(chunk.lost for chunk in found.chunks)


def test_what_is_gone_behind_the_end_where_it_was_begun_is_missed(broker: Broker) -> None:
    """The journal says already that it is read from there: whoever goes on elsewhere does not follow that."""
    topic = broker.topic()
    broker.produce(topic, [b"old"] * 3)
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()

    async def collect() -> None:
        async with reader_of(broker, topic, start="latest", lost="skip") as found:
            assert [chunk[3:5] for chunk in await found.take()] == [(3, 3)]
            broker.produce(topic, [b"held"] * 5, producer=producer)  # nothing may be read of it yet
            broker.delete_records(topic, 6)
            producer.commit_transaction()
            assert await found.records(2) == [(0, 6, b"held"), (0, 7, b"held")]
            assert [chunk.lost[:2] for chunk in found.chunks if chunk.lost] == [(3, 6)]

    asyncio.run(collect())


def test_a_log_that_was_cut_is_refused(broker: Broker) -> None:
    """As by an unclean election: a replica that had less leads, and then takes others at those offsets."""
    topic = broker.topic(flush_messages=1)
    broker.produce(topic, [b"kept"] * 10)
    (log,) = broker.data.glob(f"{topic}-0/*.log")
    kept = log.stat().st_size
    broker.produce(topic, [b"lost"] * 10)
    before = read(broker, topic, 20)
    broker.kill()
    with log.open("r+b") as file:
        file.truncate(kept)
    broker.start()
    error, _ = refused(broker, topic, after=before, lost="skip")
    assert isinstance(error, LogTruncatedError)
    assert (error.position, error.end) == (20, 10)
    assert "ends at 10 before that: its log was cut" in str(error)
    # Longer again, it has other records at the offsets that were read: the leader's epoch tells.
    broker.produce(topic, [b"other"] * 30)
    error, after = refused(broker, topic, after=before, lost="skip")
    assert isinstance(error, LogTruncatedError)
    assert "has other records" in str(error)
    assert records_of(after.chunks) == []
