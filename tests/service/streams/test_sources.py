"""Models that learn from topics of a real broker, in a real service."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicCollection, TopicPartition

from disks import fill
from kafka import QUIET, USER, Broker
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess, Start
from waiting import until

EXAMPLE = {"features": {"site": "news"}, "label": 1}


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
    assert [one["lag_messages"] for one in told["partitions"]] == [0, 0]
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


def lines_of(running: ServiceProcess, name: str) -> dict[str, float]:
    """Return the series of a metric, by their labels."""
    with running.client() as client:
        lines = client.get("/metrics").text.splitlines()
    found = [line.removeprefix(name).rpartition(" ") for line in lines if line.startswith(name + "{")]
    return {labels: float(value) for labels, _, value in found}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_goes_on_where_the_journal_says(broker: Broker, start: Start, workers: int) -> None:
    topic = broker.topic()
    address = f"kafka://{broker.address}/{topic}?format=vw"
    broker.produce(topic, examples(300))
    running = start(source=address, workers=workers).until_ready()
    until_read(running, 300)
    assert running.stop() == 0
    broker.produce(topic, examples(200, seed=2))
    running = start(source=address, workers=workers).until_ready()
    told = until_read(running, 500)
    assert (told["examples"], told["partitions"][0]["position"]) == (500, 500)
    labels = f'{{model="default",partition="0",topic="{topic}"}}'
    assert lines_of(running, "nonzero_source_messages_total") == {labels: 200}  # of this process
    assert lines_of(running, "nonzero_source_lag_messages") == {labels: 0}
    assert lines_of(running, "nonzero_source_up") == {'{model="default"}': 1}
    assert running.stop() == 0
    assert not running.failures()


def test_messages_that_cannot_be_read_go_to_a_topic_of_their_own(broker: Broker, start: Start) -> None:
    topic, bad = broker.topic(), broker.topic()
    one = b'{"features": {"a": 1}, "label": 1}'
    broker.produce(topic, [one, b"no", one + b"\n" + b"{}", one])
    running = start(source=f"kafka://{broker.address}/{topic}?errors={bad}").until_ready()
    told = until_read(running, 4)
    assert (told["examples"], told["refused"]) == (3, 2)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "who-looks", **QUIET})
    consumer.assign([TopicPartition(bad, 0, 0)])
    found = consumer.consume(2, 10)
    consumer.close()
    assert [message.value() for message in found] == [b"no", one + b"\n{}"]
    headers = [dict(message.headers() or ()) for message in found]
    assert [(one["nonzero-topic"], one["nonzero-offset"]) for one in headers] == [
        (topic.encode(), b"1"),
        (topic.encode(), b"2"),
    ]
    assert "line 2: the example has neither" in str(headers[1]["nonzero-reason"])


def test_what_stops_one_source_stops_nothing_else(broker: Broker, start: Start) -> None:
    topic, other = broker.topic(), broker.topic()
    addresses = [f"kafka://{broker.address}/{one}?format=vw&model={one}" for one in (topic, other)]
    broker.produce(topic, examples(10))
    running = start(source=addresses).until_ready()
    told = until_read(running, 10, topic)
    broker.delete_topic(topic)
    broker.topic(topic)
    broker.produce(topic, examples(20))
    until(lambda: source(running, topic)["state"] == "stopped", lambda: (source(running, topic), running.log))
    assert f"topic_id={told['partitions'][0]['topic_id']}" not in source(running, topic)["reason"]
    assert "was made anew" in source(running, topic)["reason"]
    assert until(lambda: running.lines("the source has stopped"))[0]["model"] == topic
    assert lines_of(running, "nonzero_source_up") == {f'{{model="{topic}"}}': 0, f'{{model="{other}"}}': 1}
    broker.produce(other, examples(10))
    until_read(running, 10, other)
    with running.client() as client:
        assert client.get("/readyz").status_code == 200
        assert client.post(f"/v1/models/{topic}/update", json=EXAMPLE).status_code == 200
    assert running.stop() == 0
    new = source_id(broker, topic)
    running = start(source=f"{addresses[0]}&topic_id={new}").until_ready()
    assert until_read(running, 30, topic)["partitions"][0]["topic_id"] == new


def test_a_topic_made_anew_while_nobody_reads_is_told_of_by_its_own_partitions(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    """It has fewer of them, and fewer messages than were read before."""
    topic = broker.topic(partitions=2)
    address = f"kafka://{broker.address}/{topic}?format=vw"
    for partition in range(2):
        broker.produce(topic, examples(50), partition=partition)
    running = start(source=address).until_ready()
    until_read(running, 100)
    assert running.stop() == 0
    broker.delete_topic(topic)
    running = start(source=address).until_ready()
    until(lambda: "have no topic" in (source(running)["reason"] or ""), lambda: source(running))
    broker.topic(topic)
    broker.produce(topic, examples(20, seed=2))
    until(lambda: source(running)["state"] == "stopped", lambda: source(running))
    assert [one["position"] for one in source(running)["partitions"]] == [50, 50]
    assert running.stop() == 0
    new = source_id(broker, topic)
    for url in (f"{address}&topic_id={new}", address):
        running = start(source=url).until_ready()
        told = until_read(running, 120)
        assert [(one["topic_id"], one["position"]) for one in told["partitions"]] == [(new, 20)]
        assert running.stop() == 0
    assert verify(tmp_path / "data/models/default", lambda *_: None).faults == []


def test_messages_of_megabytes_hold_many_lines_or_one(broker: Broker, start: Start, tmp_path: Path) -> None:
    """An example has at most so many features: a longer line is refused alone, wherever it stands."""
    topic = broker.topic(max_message_bytes=9 << 20)
    line = b"1 | " + b" ".join(b"x%d:0.5" % k for k in range(150_000))
    many = b"\n".join(examples(80_000))
    values = [many * 4, b"1 |a b\n0 |a c", line, b"0 |a c", b"1 |a\n" + line + b"\n0 |b"]
    assert len(values[0]) > 7_900_000
    for compression in ("none", "zstd"):
        producer = broker.producer(message_max_bytes=10 << 20, compression_type=compression)
        broker.produce(topic, values, producer=producer)
    running = start(source=f"kafka://{broker.address}/{topic}?format=vw", breaker="off").until_ready()
    told = until_read(running, 10)
    each = 4 * 80_000 - 3 + 2 + 1 + 2  # four times the same: the last line of one goes on in the next
    assert told["state"] == "reading"
    assert [(one["offset"], one["line"]) for one in told["refusals"]] == [(2, 1), (4, 2), (7, 1), (9, 2)]
    assert all("150000 features" in one["reason"] for one in told["refusals"])
    assert (told["examples"], told["refused"]) == (2 * each, 4)
    assert running.stop() == 0
    assert not running.failures()
    assert verify(tmp_path / "data/models/default", lambda *_: None).faults == []


def test_messages_that_are_gone_stop_the_source_or_are_skipped(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    topic = broker.topic()
    address = f"kafka://{broker.address}/{topic}?format=vw"
    broker.produce(topic, examples(100))
    running = start(source=address).until_ready()
    until_read(running, 100)
    assert running.stop() == 0
    broker.produce(topic, examples(100, seed=2))
    broker.delete_records(topic, 150)
    running = start(source=address).until_ready()
    until(lambda: source(running)["state"] == "stopped", lambda: source(running))
    assert "the offsets 100 to 149 are gone" in source(running)["reason"]
    assert running.stop() == 0
    running = start(source=f"{address}&lost=skip").until_ready()
    assert until_read(running, 150)["partitions"][0]["position"] == 200
    assert running.stop() == 0
    assert verify(tmp_path / "data/models/default", lambda *_: None).faults == []


def test_what_was_aborted_is_passed_over_and_a_stop_remembers_that(broker: Broker, start: Start) -> None:
    topic = broker.topic()
    address = f"kafka://{broker.address}/{topic}?format=vw"
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    running = start(source=address).until_ready()
    for commits in (True, False):
        producer.begin_transaction()
        broker.produce(topic, examples(50), producer=producer)
        (producer.commit_transaction if commits else producer.abort_transaction)()
    until_read(running, 50)
    # Where it ends is asked for now and then: before, it may seem to be read.
    until(lambda: source(running)["partitions"][0]["end"] == 102, lambda: source(running))
    until(lambda: source(running)["lag_messages"] == 0, lambda: source(running))
    assert running.stop() == 0
    running = start(source=address).until_ready()
    [read] = source(running)["partitions"]
    assert (read["position"], read["messages"]) == (102, 50)  # with the two markers


def test_a_kill_changes_nothing_of_where_the_newest_messages_begin(broker: Broker, start: Start) -> None:
    """Neither is a partition's past read since another is known, nor what came meanwhile passed over."""
    topic = broker.topic(partitions=2)
    for partition in range(2):
        broker.produce(topic, examples(50), partition=partition)
    address = f"kafka://{broker.address}/{topic}?format=vw&start=latest"
    running = start(source=address).until_ready()
    until(lambda: len(source(running)["partitions"]) == 2, lambda: source(running))
    broker.produce(topic, examples(1))
    until_read(running, 1)
    running.kill()
    broker.produce(topic, examples(3), partition=1)
    running = start(source=address).until_ready()
    until_read(running, 4)
    until(lambda: source(running)["lag_messages"] == 0, lambda: source(running))
    assert [one["messages"] for one in source(running)["partitions"]] == [1, 3]


def test_a_pause_stops_reading_until_somebody_ends_it(broker: Broker, start: Start) -> None:
    topic = broker.topic()
    running = start(source=f"kafka://{broker.address}/{topic}?format=vw").until_ready()
    broker.produce(topic, examples(20_000))
    until_read(running, 20_000)
    broker.produce(topic, [b"1 |site s1 |ad a1"] * 40_000)  # nothing but clicks
    until(lambda: source(running)["state"] == "paused", lambda: source(running))
    with running.client() as client:
        held = client.get("/v1/models/default").json()["learning"]["held"]
        assert held > 0
        read = source(running)["messages"]
        assert lines_of(running, "nonzero_source_up") == {'{model="default"}': 1}
        assert client.post("/v1/models/default/resume").status_code == 200
        assert source(running)["messages"] >= read
        until_read(running, 60_000)
        assert source(running)["state"] == "reading"
        assert client.get("/v1/models/default").json()["sequence"] == 60_000


def test_a_full_disk_is_said_once_however_often_it_is_tried(
    broker: Broker, start: Start, small_disk: Path
) -> None:
    """What comes and cannot be written has not been read: the next try reads it again."""
    topic = broker.topic()
    address = f"kafka://{broker.address}/{topic}?format=vw"
    running = start(small_disk / "data", source=address, bits=12, breaker="off").until_ready()
    fill(small_disk / "filler")
    broker.produce(topic, examples(5000))
    until(lambda: failed(running) >= 1, lambda: source(running))
    since = source(running)["since"]
    while failed(running) < 3:  # so it is said also while it is tried again
        told = source(running)
        assert (told["state"], told["since"], told["lag_messages"]) == ("waiting", since, 5000)
        assert lines_of(running, "nonzero_source_up") == {'{model="default"}': 0}
        assert [second > 0 for second in lines_of(running, "nonzero_source_lag_seconds").values()] == [True]
    told = source(running)
    assert (told["state"], "no space left" in told["reason"], told["messages"]) == ("waiting", True, 0)
    assert len(running.lines("the source cannot be read; it is tried again")) == 1
    assert running.lines("the source is read again") == []
    (small_disk / "filler").unlink()
    until_read(running, 5000)
    assert (source(running)["state"], source(running)["lag_messages"]) == ("reading", 0)
    until(lambda: len(running.lines("the source is read again")) == 1)
    assert running.stop() == 0
    assert verify(small_disk / "data/models/default", lambda *_: None).faults == []


def failed(running: ServiceProcess) -> float:
    """Return how often reading had to begin anew."""
    return sum(lines_of(running, "nonzero_source_failures_total").values())


def test_a_broker_that_is_away_is_waited_for(broker: Broker, start: Start) -> None:
    """How much there is nobody knows then; what an alert of lag looks at is there, and grows."""
    topic = broker.topic()
    address = f"kafka://{broker.address}/{topic}?format=vw"
    broker.produce(topic, examples(50))
    running = start(source=address).until_ready()
    until_read(running, 50)
    assert running.stop() == 0
    broker.produce(topic, examples(50))
    broker.kill()
    running = start(source=address).until_ready()
    with running.client() as client:
        assert client.post("/v1/models/default/update", json=EXAMPLE).status_code == 200
    told = source(running)
    [read] = told["partitions"]
    assert (told["state"], told["lag_messages"], read["lag_messages"]) == ("waiting", None, None)
    assert (read["position"], read["end"]) == (50, None)
    assert lines_of(running, "nonzero_source_up") == {'{model="default"}': 0}
    for name in ("lag_messages", "unstable_messages"):
        assert lines_of(running, f"nonzero_source_{name}") == {}
    [before] = lines_of(running, "nonzero_source_lag_seconds").values()
    until(lambda: next(iter(lines_of(running, "nonzero_source_lag_seconds").values())) > before > 0)
    began = time.time()
    broker.start()
    told = until_read(running, 100)
    assert (told["state"], told["since"] / 1000 > began) == ("reading", True)


def test_a_topic_that_is_not_there_yet_is_waited_for(broker: Broker, start: Start) -> None:
    running = start(source=f"kafka://{broker.address}/to-come?format=vw").until_ready()
    until(lambda: "no topic 'to-come'" in (source(running)["reason"] or ""), lambda: source(running))
    broker.topic("to-come")
    broker.produce("to-come", examples(100))
    until_read(running, 100)


def test_each_reason_is_said_once_however_often_it_is_met(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    running = start(source=f"kafka://{broker.address}/no-one?labels=no-other").until_ready()
    _until_failed(running, 5)
    reasons = [line["reason"] for line in running.lines("the source cannot be read; it is tried again")]
    assert 1 <= len(reasons) == len(set(reasons)) <= 2
    assert running.stop() == 0
    file = tmp_path / "client.properties"
    login = f"sasl.mechanism=PLAIN\nsasl.username={USER}\nsasl.password=none of theirs\n"
    file.write_text(f"security.protocol=SASL_PLAINTEXT\n{login}")
    running = start(source=f"kafka://{broker.sasl}/no-one", source_config=str(file)).until_ready()
    _until_failed(running, 3)
    [line] = running.lines("the source cannot be read; it is tried again")
    assert "do not let us in" in line["reason"]
    assert running.lines("the client of Kafka complains; what it does is tried again") == []


def _until_failed(running: ServiceProcess, times: int) -> None:
    name = "nonzero_source_failures_total"
    until(lambda: lines_of(running, name)['{model="default"}'] >= times, lambda: running.log)


def test_a_model_that_is_deleted_is_read_for_no_more(broker: Broker, start: Start) -> None:
    topic = broker.topic()
    broker.produce(topic, examples(100))
    running = start(source=f"kafka://{broker.address}/{topic}?format=vw&model=ads").until_ready()
    until_read(running, 100, "ads")
    with running.client() as client:
        assert client.delete("/v1/models/ads").status_code == 204
        assert lines_of(running, "nonzero_source_up") == {}
        assert client.put("/v1/models/ads", json={"bits": 12}).status_code == 201
        until_read(running, 100, "ads")  # a model of the same name begins from the start


def test_a_challenger_has_no_source_of_its_own(broker: Broker, start: Start) -> None:
    topic = broker.topic()
    running = start().until_ready()
    with running.client() as client:
        assert client.put("/v1/models/b", json={"follows": "default"}).status_code == 201
    assert running.stop() == 0
    refused = start(source=f"kafka://{broker.address}/{topic}?model=b")
    assert refused.until_ended() == 1
    [line] = refused.lines("the models cannot be opened")
    assert "which follows 'default' and learns what that learns" in line["reason"]


def test_properties_that_cannot_be_used_refuse_the_start(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "client.properties"
    file.write_text("auto.offset.reset=latest\n")
    refused = start(source="kafka://127.0.0.1:1/t", source_config=str(file))
    assert refused.until_ended() == 1
    [line] = refused.lines("the service cannot start")
    assert "source_config sets auto.offset.reset" in line["reason"]


@pytest.mark.parametrize("messages", [500, pytest.param(1500, marks=pytest.mark.soak)])
def test_a_backlog_takes_little_memory(broker: Broker, fresh: Start, messages: int) -> None:
    topic = broker.topic()
    message = b"\n".join(examples(2000))
    running = fresh(source=f"kafka://{broker.address}/{topic}?format=vw", breaker="off").until_ready()
    broker.produce(topic, [b"0 |site s1"])
    until_read(running, 1)
    before = peak_memory(running.pid)
    broker.produce(topic, [message] * messages)  # of 60 kB
    until_read(running, messages + 1)
    assert source(running)["examples"] == 2000 * messages + 1
    assert peak_memory(running.pid) - before < 250 << 20


def peak_memory(pid: int) -> int:
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) << 10


def source_id(broker: Broker, topic: str) -> str:
    found = broker.admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    return str(found.topic_id).translate(str.maketrans("+/", "-_", "="))
