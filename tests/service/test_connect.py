"""What the page for other programs shows: its consumer learns each message once.

Kafka Connect learns it at least once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from blocks import blocks_of
from kafka import Broker
from machine import free_port
from reporting import Figure
from service.conftest import ServiceProcess, Start
from topic_books import Books, example, held_in, local_rows
from waiting import until

PAGE = Path(__file__).parents[2] / "docs/connect.md"
SIZE = 500
MESSAGES = 3200
"""Of each partition: what is beyond a multiple of the batches' size waits for more."""

LEARNED = MESSAGES // SIZE * SIZE


CLIENT = Path(__file__).parents[2] / "client"

MAIN = "org.apache.kafka.connect.cli.ConnectStandalone"

CONNECT = "KAFKA_CONNECT"
"""Names a folder in which ``runtime`` has Kafka Connect, and ``plugins`` the connector of the page."""


def learned_in(service: ServiceProcess, model: str = "default") -> int:
    with service.client() as client:
        return int(client.get(f"/v1/models/{model}").json()["sequence"])


def has_learned(service: ServiceProcess, examples: int, programs: Sequence[subprocess.Popen[bytes]]) -> bool:
    assert not any(process.poll() for process in programs)
    return learned_in(service) >= examples


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic of two partitions, with messages of examples."""
    topic = broker.topic(partitions=2)
    for partition in range(2):
        slots = range(partition * MESSAGES, (partition + 1) * MESSAGES)
        broker.produce(topic, map(example, slots), partition=partition)
    return topic


def test_the_consumer_learns_each_message_once(
    start: Start, broker: Broker, topic: str, tmp_path: Path
) -> None:
    """It is killed again and again, and is two for a while; the service is killed too."""
    [program] = [text for language, text in blocks_of(PAGE) if language == "python"]
    data, port = tmp_path / "data", free_port()
    settings = {"port": port, "breaker": "off", "journal_retention": "all", "bits": 14}
    service = start(data, **settings).until_ready()
    program = program.replace("127.0.0.1:9092", broker.address).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    program = program.replace('TOPIC, SIZE = "examples"', f'TOPIC, SIZE = "{topic}"')
    for name in "ab":
        # A member that the group knows by name is let in at once when it begins again.
        named = program.replace('"group.id"', f'"group.instance.id": "{name}", "group.id"')
        (tmp_path / f"{name}.py").write_text(named)
    ours = os.environ | {"PYTHONPATH": str(CLIENT)}  # which a checkout does not install
    for learned, names in ((1500, "a"), (3500, "ab"), (2 * LEARNED, "ab")):
        programs = [subprocess.Popen([sys.executable, tmp_path / f"{name}.py"], env=ours) for name in names]
        until(partial(has_learned, service, learned, programs))
        for process in programs:
            process.kill()
            process.wait()
        if learned == 1500:
            service.kill()
            service = start(data, **settings).until_ready()
    assert learned_in(service) == 2 * LEARNED
    assert service.stop() == 0
    assert sum(map(len, held_in(broker.address, topic).values())) == 2 * MESSAGES
    rows = [*local_rows(data / "models/default")]
    times = Books.of(rows).times_learned(2 * MESSAGES).reshape(2, MESSAGES)
    batches = times[:, :LEARNED].reshape(2, LEARNED // SIZE, SIZE)
    other = {(int(p), int(n)): batches[p, n].tolist() for p, n in np.argwhere((batches != 1).any(axis=2))}
    assert other == {}, [(row.position, row.examples, row.kind) for row in rows]
    assert not times[:, LEARNED:].any()


def connect_jars() -> Path:
    """Return the folder of Kafka Connect and the connector, or skip the test."""
    place = Path(os.environ.get(CONNECT, ""))
    if CONNECT not in os.environ or not list(place.glob("runtime/connect-runtime-*.jar")):
        pytest.skip(
            f"{CONNECT} names no folder whose `runtime` has the jars of org.apache.kafka:connect-runtime "
            "(mvn dependency:copy-dependencies), and `plugins` Aiven's HTTP connector"
        )
    return place


@contextmanager
def connect(place: Path, *files: Path) -> Iterator[None]:
    """Run Kafka Connect, without a cluster; it is killed in the end, as by a lost machine."""
    command = ["java", "-Xmx256m", "-cp", f"{connect_jars()}/runtime/*", MAIN]
    with (place / "connect.log").open("ab") as log:
        process = subprocess.Popen([*command, *files], cwd=place, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, (place / "connect.log").read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


def counted(service: ServiceProcess, metric: str) -> int:
    with service.client() as client:
        [figure] = re.findall(rf"^{re.escape(metric)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return int(float(figure))


@pytest.mark.soak
def test_kafka_connect_learns_each_message_at_least_once_and_each_id_once(
    start: Start, broker: Broker, tmp_path: Path, figure: Figure
) -> None:
    """A worker is killed before it commits: what it sends again is counted twice, but for what has an id."""
    jars = connect_jars()
    service = start(tmp_path / "data", breaker="off", impressions="durable").until_ready()
    with service.client() as client:
        client.put("/v1/models/ids", json={}).raise_for_status()
    sink, *_, worker = [text for language, text in blocks_of(PAGE) if language == "properties"]
    topics = {
        name: (broker.topic(), "default/update" if name == "examples" else f"ids/{route}")
        for name, route in (("examples", "update"), ("impressions", "predict"), ("clicks", "labels"))
    }
    for name, (topic, path) in topics.items():
        text = sink.replace("=examples\n", f"={topic}\n").replace("default/update", path)
        text = text.replace("http://127.0.0.1:8000", service.url)
        # The next worker need not wait for long until this one is given up.
        (tmp_path / name).write_text(text + "consumer.override.session.timeout.ms=6000\n")
    text = worker.replace("127.0.0.1:9092", broker.address).replace("=plugins", f"={jars}/plugins")
    text = text.replace("interval.ms=10000", "interval.ms=600000")  # it is killed before
    (tmp_path / "worker").write_text(f"{text}listeners=HTTP://127.0.0.1:{free_port()}\n")
    files = [tmp_path / "worker", *(tmp_path / name for name in topics)]
    many, clicks = 2000, 200
    broker.produce(topics["examples"][0], map(example, range(many)))
    shown = (b'{"features": {"n": "m%d"}, "id": "imp-%d"}' % (n, n) for n in range(many))
    broker.produce(topics["impressions"][0], shown)
    of_impressions, of_labels = (
        f'nonzero_{what}_total{{model="ids",{kind}="%s"}}'
        for what, kind in (("impressions", "outcome"), ("labels", "verdict"))
    )
    with connect(tmp_path, *files):
        until(lambda: learned_in(service) == counted(service, of_impressions % "kept") == many)
        broker.produce(topics["clicks"][0], (b'{"id": "imp-%d", "label": 1}' % n for n in range(clicks)))
        until(lambda: counted(service, of_labels % "joined") == clicks)
        once = until(lambda: learned_in(service, "ids") > many and learned_in(service, "ids"))
    with connect(tmp_path, *files):
        until(lambda: learned_in(service) == counted(service, of_impressions % "repeated") + many == 2 * many)
        until(lambda: counted(service, of_labels % "duplicate") == clicks)
        again = learned_in(service, "ids")
    figure(
        "Kafka Connect with an HTTP sink, killed before it commits",
        "updates are learned at least once, impressions and labels with ids once",
        f"of {many:,} messages {learned_in(service) - many:,} were learned twice; of {many:,} impressions "
        f"and {clicks} clicks none",
    )
    assert once == again
