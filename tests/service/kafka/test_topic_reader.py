"""Topics are read so that each record comes once, whatever lies between them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafka import QUIET, Broker
from nonzero_service.errors import ClosedError
from nonzero_service.kafka import client_log, lag, topic_reader, topic_watch
from nonzero_service.kafka.errors import TopicMissingError
from nonzero_service.kafka.gathering import MOST_RECORDS
from nonzero_service.kafka.records import RECORD_BYTES
from nonzero_service.kafka.topics import TopicQueries
from service.kafka.collecting import Collected, reader_of, records_of
from waiting import SECONDS, until, until_in_loop


def read_all(broker: Broker, topic: str, number: int, **options: Any) -> Collected:
    async def read() -> Collected:
        async with reader_of(broker, topic, **options) as found:
            await found.records(number)
            return found

    return asyncio.run(read())


def test_records_come_as_they_were_sent(broker: Broker) -> None:
    topic = broker.topic(max_message_bytes=2**20)
    large = bytes(range(256)) * 3600
    values = [b"one", None, b"", large, b"two\nlines"]
    times = [int(time.time() * 1000) - ago for ago in (5000, 4000, 6000, 0, 1)]
    broker.produce(topic, values, times=times)
    found = read_all(broker, topic, 5)
    assert records_of(found.chunks) == list(zip([0] * 5, range(5), values, strict=True))
    assert [time for chunk in found.chunks for time in chunk.times.tolist()] == times
    (chunk,) = {(chunk.topic, len(chunk.topic_id), chunk.epoch) for chunk in found.chunks}
    assert chunk == (topic, 22, 0)


def test_times_need_not_be_read(broker: Broker) -> None:
    topic = broker.topic()
    times = [int(time.time() * 1000) - ago for ago in (1, 3, 2)]
    broker.produce(topic, [b"a", b"b", b"c"], times=times)
    chunks = read_all(broker, topic, 3, times=False).chunks
    for chunk in chunks:  # the last one's stands for all
        assert chunk.times.tolist() == [times[chunk.next - 1]] * len(chunk.values)


def test_partitions_of_several_topics_are_read_beside_each_other(broker: Broker) -> None:
    one, two = broker.topic(partitions=3), broker.topic()
    for partition in range(3):
        broker.produce(one, [b"%d" % number for number in range(500)], partition=partition)
    broker.produce(two, [b"other"] * 500)

    async def read() -> Collected:
        async with reader_of(broker, one, two) as found:
            await found.records(2000)
            return found

    found = asyncio.run(read())
    for topic, partition, value in [(one, 0, None), (one, 1, None), (one, 2, None), (two, 0, b"other")]:
        own = [chunk for chunk in found.chunks if (chunk.topic, chunk.partition) == (topic, partition)]
        wanted = [(partition, number, value or b"%d" % number) for number in range(500)]
        assert records_of(own) == wanted
        assert len({chunk.topic_id for chunk in own}) == 1


def test_reading_goes_on_where_it_ended(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"a", b"b"])
    before = read_all(broker, topic, 2)
    broker.produce(topic, [b"c"])
    after = read_all(broker, topic, 1, after=before)
    assert records_of(after.chunks) == [(0, 2, b"c")]
    assert after.chunks[0].first == before.chunks[-1].next


def test_what_is_aborted_is_not_read_and_markers_move_the_position(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    for values, end in [
        ([b"a", b"b"], producer.commit_transaction),
        ([b"no"] * 3, producer.abort_transaction),
        ([b"c"], producer.commit_transaction),
        ([b"nor this"], producer.abort_transaction),
    ]:
        producer.begin_transaction()
        broker.produce(topic, values, producer=producer)
        end()

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            assert await found.records(3) == [(0, 0, b"a"), (0, 1, b"b"), (0, 7, b"c")]
            await found.position(11)
            # Behind the last record are a marker, what was aborted, and another marker.
            producer.begin_transaction()
            broker.produce(topic, [b"nor that"], producer=producer)
            producer.abort_transaction()
            await found.position(13)
            assert len(records_of(found.chunks)) == 3
            assert not found.chunks[-1].values
            assert found.chunks[-1].next == 13

    asyncio.run(read())


def test_an_open_transaction_holds_back_what_is_behind_it(broker: Broker) -> None:
    topic = broker.topic()
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    broker.produce(topic, [b"open"], producer=producer)
    broker.produce(topic, [b"behind"] * 4)

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            await until_in_loop(lambda: found.reader.lags())
            one = found.reader.lags()[topic, 0]
            assert (one.position, one.high_watermark, one.last_stable, one.behind_records) == (0, 5, 0, 0)
            assert one.unstable_records == 5
            producer.commit_transaction()
            assert [value for *_, value in await found.records(5)] == [b"open"] + [b"behind"] * 4
            await until_in_loop(lambda: figures(found, topic) == (6, 6, 6, 0, 0.0, 0))

    asyncio.run(read())


def test_compacted_records_are_passed_over(broker: Broker) -> None:
    topic = broker.topic(
        cleanup_policy="compact",
        segment_ms=100,
        min_cleanable_dirty_ratio=0.0001,
        max_compaction_lag_ms=100,
        delete_retention_ms=0,
    )
    for number in range(20):
        broker.produce(topic, [b"%d" % number], keys=[b"the same"])
    last = [b""]

    def compacted() -> bool:
        broker.produce(topic, [b"another"], keys=[b"other"])
        consumer = Consumer(
            {"bootstrap.servers": broker.address, "group.id": topic, "auto.offset.reset": "earliest", **QUIET}
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        first = consumer.poll(10)
        consumer.close()
        last[0] = (first and first.value()) or b""
        return last[0] == b"19"

    until(compacted, lambda: last)

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            await found.until(lambda found: records_of(found.chunks))
            first = found.chunks[0]
            assert first.first == 0
            assert first.offsets[0] == 19
            assert first.values[0] == b"19"

    asyncio.run(read())


MEMBER = """
import sys
from confluent_kafka import Consumer

# It says often that it is there, so it soon hears that another one is.
settings = {"group.id": "nonzero", "session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
consumer = Consumer({"bootstrap.servers": sys.argv[1], **settings})
consumer.subscribe([sys.argv[2]], on_assign=lambda *_: print("assigned", flush=True))
while True:
    consumer.poll(0.1)
"""
"""A process of its own, which is killed: within a group that shares its partitions anew, `close` may hang."""


def test_a_group_of_the_same_name_does_not_concern_it(broker: Broker) -> None:
    topic = broker.topic(partitions=2)

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            with ExitStack() as members:
                for number in range(4):  # each has the group share its partitions anew
                    command = [sys.executable, "-c", MEMBER, broker.address, topic]
                    member = members.enter_context(Popen(command, stdout=PIPE))
                    members.callback(member.kill)
                    assert member.stdout is not None
                    assert await asyncio.to_thread(member.stdout.readline) == b"assigned\n"
                    broker.produce(topic, [b"%d" % number], partition=number % 2)
                records = await found.records(4)
            assert sorted(value or b"" for *_, value in records) == [b"0", b"1", b"2", b"3"]

    asyncio.run(read())


def test_records_that_hold_nothing_take_room_too(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [None, b""] * 5000)

    async def read() -> None:
        async with reader_of(broker, topic, most_bytes=1000 * RECORD_BYTES) as found:
            await until_in_loop(lambda: not found.reader._backlog._has_room())
            assert sum(len(chunk.values) for chunk in await found.take()) < 1000 + MOST_RECORDS
            assert len(await found.records(10_000)) == 10_000

    asyncio.run(read())


def test_a_partition_that_is_added_is_read_from_its_start(broker: Broker) -> None:
    topic = broker.topic()

    async def read() -> None:
        async with reader_of(broker, topic, start="latest") as found:
            await found.position(0)
            broker.add_partitions(topic, 3)
            broker.produce(topic, [b"new"] * 2, partition=2)
            broker.produce(topic, [b"old"])
            assert await found.records(3) == [(0, 0, b"old"), (2, 0, b"new"), (2, 1, b"new")]
            broker.add_partitions(topic, 4)
            broker.produce(topic, [b"newer"], partition=3)
        # Also one that came while nobody read.
        async with reader_of(broker, topic, start="latest", after=found) as found:
            assert await found.records(1) == [(3, 0, b"newer")]

    asyncio.run(read())


def test_a_partition_that_is_added_is_not_taken_for_an_empty_one(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it ends nobody has told when it is found: event time would pass what waits there."""
    topic = broker.topic()
    describe, may_be_found = TopicQueries.describe, threading.Event()

    def described_later(self: TopicQueries) -> Any:
        may_be_found.wait(SECONDS)
        return describe(self)

    async def read() -> None:
        async with reader_of(broker, topic, start="latest") as found:
            await found.position(0)
            monkeypatch.setattr(TopicQueries, "describe", described_later)
            broker.add_partitions(topic, 2)
            broker.produce(topic, [b"new"] * 2, partition=1)
            found.reader.pause()
            may_be_found.set()
            while (topic, 1) not in found.reader.lags():
                await asyncio.sleep(0.001)
            one = found.reader.lags()[topic, 1]
            assert not one.is_read_to(one.begun)
            assert one.high_watermark in (None, 2)
            await until_in_loop(lambda: found.reader.lags()[topic, 1].high_watermark == 2)

    asyncio.run(read())


def test_the_end_of_a_topic_is_remembered_where_it_is_begun(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"old"] * 3)

    async def read() -> None:
        async with reader_of(broker, topic, start="latest") as begun:
            chunk = (await begun.take())[0]
            assert (chunk.first, chunk.next, [*chunk.values]) == (3, 3, [])
        broker.produce(topic, [b"new"])
        async with reader_of(broker, topic, start="latest", after=begun) as found:
            assert await found.records(1) == [(0, 3, b"new")]

    asyncio.run(read())


def test_a_broker_that_was_killed_is_used_again(broker: Broker, said: list[dict[str, Any]]) -> None:
    """Each record comes once, in its order; that the broker is away is said once.

    Nobody takes meanwhile: what the client has complained of waits among its records, and is heard when the
    broker answers again.
    """

    async def away(found: Collected) -> None:
        broker.kill()
        await until_in_loop(lambda: said)
        broker.start()
        back = time.time()
        await until_in_loop(lambda: has_answered_since(found, back))
        await asyncio.sleep(client_log.CALM_SECONDS)
        await found.records(2 * 5000)
        await until_in_loop(lambda: len(said) > 1)

    through_an_absence(broker, away)
    assert [(event["log_level"], event["event"]) for event in said] == [
        ("warning", "the client of Kafka complains; what it does is tried again"),
        ("info", "the brokers of Kafka answer again"),
    ]
    assert broker.address in said[0]["reason"]


def test_a_broker_that_was_stopped_is_used_again(broker: Broker) -> None:
    async def away(found: Collected) -> None:
        broker.stop_signal()
        await found.take()
        broker.cont()

    through_an_absence(broker, away)


def has_answered_since(found: Collected, when: float) -> bool:
    answered = found.reader.answered
    return answered is not None and answered.at > when


def through_an_absence(broker: Broker, away: Callable[[Collected], Awaitable[object]]) -> None:
    """Read two partitions, in the middle of which a broker goes away."""
    topic = broker.topic(partitions=2)
    values = [b"%05d" % number for number in range(5000)]

    async def read() -> None:
        async with reader_of(broker, topic, most_bytes=2**10) as found:
            for partition in range(2):
                broker.produce(topic, values, partition=partition)
            await found.records(100)
            await away(found)
            for partition in range(2):
                broker.produce(topic, [b"after"], partition=partition)
            assert await found.records(2 * 5001) == [
                (partition, offset, value)
                for partition in range(2)
                for offset, value in enumerate([*values, b"after"])
            ]
            await until_in_loop(lambda: found.reader.is_up)

    asyncio.run(read())


def test_what_was_told_before_an_absence_is_not_what_is_so(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "KNOWN_SECONDS", 0.6)
    for module in (topic_watch, topic_reader):
        monkeypatch.setattr(module, "SILENT_SECONDS", 0.6)
    topic = broker.topic()
    broker.produce(topic, [b"a"])

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            reader = found.reader
            await found.records(1)
            await until_in_loop(lambda: figures(found, topic)[3:5] == (0, 0.0))
            broker.stop_signal()
            gone = time.time()
            await until_in_loop(lambda: figures(found, topic)[3] is None)
            assert not reader.lags()[topic, 0].is_read_to(1)
            before = figures(found, topic)[4] or 0.0
            assert before >= 0.6
            await until_in_loop(lambda: (figures(found, topic)[4] or 0.0) > before + 0.3)
            assert reader.answered is not None
            assert reader.answered.since < gone
            await until_in_loop(lambda: not reader.is_up)
            broker.cont()
            await until_in_loop(lambda: figures(found, topic)[3:5] == (0, 0.0))
            assert reader.answered.since > gone

    asyncio.run(read())


def test_a_broker_that_is_away_at_the_start_is_waited_for(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"there"])
    broker.kill()

    async def read() -> None:
        async with reader_of(broker, topic) as found:
            await until_in_loop(lambda: found.reader._poller.log.is_away)
            assert not found.reader.is_up
            broker.start()
            assert await found.records(1) == [(0, 0, b"there")]
            await until_in_loop(lambda: found.reader.is_up)

    asyncio.run(read())


def test_a_reader_that_waits_for_a_broker_can_be_closed(broker: Broker) -> None:
    topic = broker.topic()
    broker.stop_signal()

    async def read() -> None:
        begun = time.monotonic()
        async with reader_of(broker, topic) as found:
            reading = asyncio.create_task(found.reader.next())
            await asyncio.sleep(0.1)
        with pytest.raises(ClosedError, match="closed"):
            await reading
        await found.reader.close()
        assert time.monotonic() - begun < 10

    try:
        asyncio.run(read())
    finally:
        broker.cont()


def test_no_more_waits_than_is_allowed(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [bytes(1000)] * 20_000)

    async def read() -> None:
        async with reader_of(broker, topic, most_bytes=2**20) as found:
            backlog = found.reader._backlog
            await until_in_loop(lambda: backlog._bytes >= 2**20)
            await asyncio.sleep(0.3)
            assert 2**20 <= backlog._bytes <= 2**20 + 1_000 * 1000
            found.reader.pause()
            await found.take()
            await asyncio.sleep(0.3)
            assert backlog._bytes == 0
            found.reader.resume()
            records = await found.records(20_000)
            assert [offset for _, offset, _ in records] == list(range(20_000))

    asyncio.run(read())


def test_lags_tell_how_far_behind_it_is(broker: Broker) -> None:
    topic = broker.topic()
    hour_ago = int(time.time() * 1000) - 3_600_000
    broker.produce(topic, [bytes(1000)] * 5000, times=[hour_ago] * 5000)

    async def read() -> None:
        async with reader_of(broker, topic, most_bytes=1) as found:
            await until_in_loop(lambda: found.reader.lags())
            await until_in_loop(lambda: found.reader.lags()[topic, 0].position)
            one = found.reader.lags()[topic, 0]
            assert one.high_watermark == one.last_stable == 5000
            assert one.behind_records == 5000 - one.position > 0
            assert one.behind_seconds == pytest.approx(3600, abs=60)
            await found.records(5000)
            assert figures(found, topic) == (5000, 5000, 5000, 0, 0.0, 0)

    asyncio.run(read())


def figures(found: Collected, topic: str) -> tuple[float | None, ...]:
    """Return what is known of the first partition of a topic."""
    one = found.reader.lags()[topic, 0]
    ends = one.position, one.high_watermark, one.last_stable
    return *ends, one.behind_records, one.behind_seconds, one.begun


def test_readers_that_fail_leave_no_thread_and_no_connection(broker: Broker) -> None:
    """A topic that is not there is tried for as long as it takes; what is in a cycle is found late."""

    async def fail() -> None:
        async with reader_of(broker, "nowhere") as found:
            with pytest.raises(TopicMissingError):
                await found.take()

    def held() -> tuple[int, int]:
        return len([*Path("/proc/self/task").iterdir()]), len([*Path("/proc/self/fd").iterdir()])

    asyncio.run(fail())
    gc.collect()
    gc.disable()
    try:
        before = held()
        for _ in range(4):
            asyncio.run(fail())
        after = held()
    finally:
        gc.enable()
    assert all(now <= was + 3 for now, was in zip(after, before, strict=True)), (before, after)
