"""Each alert of sources fires when a real one was brought into that state, and none while all is well.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from deploy.prometheus.conftest import Scrape
from deploy.promtool import fires, needs_promtool
from kafka import Broker
from service.conftest import ServiceProcess, Start
from service.series import series
from service.streams.test_sources import examples, source, until_read
from waiting import until

pytestmark = needs_promtool

HOUR_MS = 3_600_000


def test_topics_that_are_read(broker: Broker, serve: Start, scrapes: Scrape) -> None:
    """Messages, transactions, one now and then that cannot be read: not even an alert that is pending."""
    topic = broker.topic(partitions=2)
    running = serve(source=f"kafka://{broker.address}/{topic}?format=vw").until_ready()
    seen = scrapes(running)
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    for n in range(1, 13):
        broker.produce(topic, [*examples(200, seed=n), *([b"bad"] if n % 4 == 0 else [])])
        producer.begin_transaction()
        broker.produce(topic, examples(50, seed=-n), partition=1, producer=producer)
        producer.commit_transaction()
        until_read(running, 250 * n + n // 4)
        seen.take(5)
    fires(seen, {}, state=".*")


def test_a_source_that_does_not_read(broker: Broker, serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    """It cannot put a message where it is to go, while others wait that are an hour old."""
    topic = broker.topic()
    properties = tmp_path / "client.properties"
    properties.write_text("topic.metadata.propagation.max.ms=200\n")
    address = f"kafka://{broker.address}/{topic}?format=vw&errors={topic}-bad"
    running = serve(source=address, source_config=str(properties)).until_ready()
    old = int(time.time() * 1000) - HOUR_MS
    broker.produce(topic, [b"1 |a b"], times=[old])
    until_read(running, 1)
    broker.produce(topic, [b"bad", *examples(20)], times=[old] * 21)
    until(lambda: source(running)["state"] == "waiting", lambda: source(running))
    seen = scrapes(running)
    for _ in range(3):
        seen.take(10)
    expected = {
        "NonzeroSourceDown": r"^Model default on ctr:8000 does not read its topics: source_up is 0\.",
        "NonzeroSourceLag": rf"^Model default on ctr:8000 is 1h \d+m \S+ behind the topic {topic}, and",
    }
    fires(seen, expected)
    broker.kill()  # how much there is nobody tells then; the alerts go on
    until(lambda: source(running)["lag_messages"] is None, lambda: source(running))
    for _ in range(3):
        seen.take(10)
    fires(seen, expected)
    broker.start()
    broker.topic(f"{topic}-bad")
    until_read(running, 22)
    fires(seen.take(), {}, ended=["NonzeroSourceDown", "NonzeroSourceLag"])


def send(broker: Broker, shown: str, clicks: str, seed: int, at: int | None = None) -> int:
    """Send twenty impressions and five clicks of each partition; return how many messages that is."""
    times = itertools.repeat(0 if at is None else at)
    names = [f"{seed}-{k}" for k in range(20)]
    seen = [b'{"features": {"site": "a"}, "id": "%s"}' % name.encode() for name in names]
    broker.produce(shown, seen, times=times)
    for partition in range(2):
        clicked = [b'{"id": "%s"}' % name.encode() for name in names[partition:10:2]]
        broker.produce(clicks, clicked, partition=partition, times=times)
    return 30


def test_impressions_and_clicks_that_are_read(broker: Broker, serve: Start, scrapes: Scrape) -> None:
    """Also while nothing comes."""
    shown, clicks = broker.topic(), broker.topic(partitions=2)
    running = serve(source=f"kafka://{broker.address}/{shown}?labels={clicks}").until_ready()
    seen, count = scrapes(running), 0
    for n in range(1, 9):
        count += send(broker, shown, clicks, n)
        until_read(running, count)
        seen.take(5)
    until(lambda: source(running)["event_time"]["behind_seconds"] < 120, lambda: source(running))
    fires(seen.take(60), {}, state=".*")


def test_event_time_that_stands_still(broker: Broker, serve: Start, scrapes: Scrape) -> None:
    """All is learned that may be read; of one partition of clicks nothing may: its transaction is open."""
    shown, clicks = broker.topic(), broker.topic(partitions=2)
    began = int(time.time() * 1000) - 2 * HOUR_MS
    count = send(broker, shown, clicks, 0, began)
    producer = broker.producer(transactional_id=clicks)
    producer.init_transactions()
    producer.begin_transaction()
    broker.produce(clicks, [b'{"id": "0-19"}'], producer=producer, times=[began + 1000])
    address = f"kafka://{broker.address}/{shown}?labels={clicks}&wait=3h"
    running = serve(source=address, negatives="window").until_ready()
    until_read(running, count)
    seen = scrapes(running)
    for n in range(1, 7):
        count += send(broker, shown, clicks, n, began + n * 300_000) - 5
        until_read(running, count)
        seen.take(5)
    fires(
        seen,
        {
            "NonzeroEventTimeLag": r"^Windows of model default on ctr:8000 do not end: event time is 2h \d+m",
            "NonzeroSourceUnstable": rf"transaction: \d+ messages of the topic {clicks}, partition 0",
        },
    )
    producer.commit_transaction()
    until_read(running, count + 31)
    until(lambda: source(running)["event_time"]["behind_seconds"] < 120, lambda: source(running))
    fires(seen.take(), {}, ended=["NonzeroEventTimeLag", "NonzeroSourceUnstable"])


def test_messages_that_cannot_be_read(broker: Broker, serve: Start, scrapes: Scrape) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"bad"] * 101)
    running = serve(source=f"kafka://{broker.address}/{topic}?format=vw").until_ready()
    until_read(running, 101)
    fires(
        scrapes(running).take(),
        {"NonzeroSourceRefused": r"^Model default on ctr:8000 cannot read 101 messages of an hour"},
    )


def test_a_transaction_that_nobody_ends(broker: Broker, serve: Start, scrapes: Scrape) -> None:
    topic = broker.topic()
    running = serve(source=f"kafka://{broker.address}/{topic}?format=vw").until_ready()
    broker.produce(topic, examples(10))
    until_read(running, 10)
    seen = scrapes(running).take(20)
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    broker.produce(topic, examples(3), producer=producer)
    broker.produce(topic, examples(4))
    until(lambda: unstable(running) == 7)
    fires(
        seen.take(20),
        {"NonzeroSourceUnstable": rf"^Model .* transaction: 7 messages of the topic {topic}, partition 0"},
    )
    producer.commit_transaction()
    until_read(running, 17)
    until(lambda: unstable(running) == 0)
    fires(seen.take(), {}, ended=["NonzeroSourceUnstable"])


def unstable(running: ServiceProcess) -> float:
    with running.client() as client:
        return series(client, "nonzero_source_unstable_messages")
