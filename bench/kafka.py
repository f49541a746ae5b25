"""``python -m bench.kafka``: from a topic to a model, beside a bare consumer of the same topic.

It runs a broker for itself, on the disk of temporary files. The service is a real one: what it reads is
in its journal, on that disk, before it is learned from.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import numpy as np
from bench.__main__ import table_of
from bench.measure import Comparison, Outcome, compare, cpu_seconds
from bench.running import Server, serving
from bench.service import NEVER_PAUSED, client
from bench.workloads import ClickLog
from rich.console import Console
from rich.progress import Progress

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from kafka import Broker, kafka

__all__: list[str] = []

DEFAULT: Final = "/v1/models/default"
LOOK_SECONDS: Final = 0.05
START_SECONDS: Final = 3.0
LATENCY_RATE: Final = 5_000
MOST_SECONDS: Final = 600
FIELDS: Final = 39
PREDICTION_PAUSE: Final = 0.005

UNDISTURBED: Final[dict[str, Any]] = NEVER_PAUSED | {"snapshot_bytes": 1 << 40, "snapshot_seconds": 1e9}
"""Settings under which nothing but what is measured goes on."""


class Filled(NamedTuple):
    """A topic with all that is read of it."""

    name: str
    kind: str
    messages: int
    examples: int


def filled(broker: Broker, file: Path, kind: str, lines: int) -> Filled:
    """Make a topic of a file, so many lines a message."""
    topic = broker.topic(segment_bytes=1 << 30, max_message_bytes=8 << 20)
    text = file.read_bytes().splitlines()
    values = [b"\n".join(text[k : k + lines]) for k in range(0, len(text), lines)]
    offsets = broker.produce(topic, values)
    return Filled(topic, kind, len(offsets), len(text))


def sequence_of(server: http.client.HTTPConnection) -> int:
    server.request("GET", DEFAULT)
    with server.getresponse() as answer:
        return int(json.loads(answer.read())["sequence"])


class Fed:
    """Has a new service learn a topic, once a run.

    Parameters
    ----------
    broker, topic
        What it reads.
    """

    def __init__(self, broker: Broker, topic: Filled) -> None:
        self._broker = broker
        self._url = f"kafka://{broker.address}/{topic.name}?format={topic.kind}"
        self._topic = topic
        self.cpu: list[float] = []
        """Of each run, the processor time of an example, in microseconds."""
        self.rows: dict[str, tuple[int, int]] = {}
        """Of the last run, by kind: the journal's rows and their bytes."""

    def __call__(self) -> float:
        """Return the examples learned a second, from the first that are seen to the last."""
        with tempfile.TemporaryDirectory() as place:
            # What a start has to do is done before the broker answers.
            self._broker.stop_signal()
            with serving(Path(place), source=self._url, **UNDISTURBED) as server:
                time.sleep(START_SECONDS)
                self._broker.cont()
                rate = self._rate(server)
            self.rows = rows_of(Path(place) / "models/default/journal.sqlite")
        return rate

    def _rate(self, server: Server) -> float:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            first = begun = cpu = 0.0
            while (learned := sequence_of(connection)) < self._topic.examples:
                if learned and not first:
                    first, begun, cpu = learned, time.perf_counter(), cpu_seconds(server.pid)
                time.sleep(LOOK_SECONDS)
            seconds = time.perf_counter() - begun
        examples = learned - first
        self.cpu.append(1e6 * (cpu_seconds(server.pid) - cpu) / examples)
        return examples / seconds


def rows_of(journal: Path) -> dict[str, tuple[int, int]]:
    """Return the rows of a journal and their bytes, by kind."""
    connection = apsw.Connection(str(journal), apsw.SQLITE_OPEN_READWRITE)
    with closing(connection):
        query = "SELECT kind, count(*), sum(length(body)) FROM rows GROUP BY kind"
        return {kind: (rows, size) for kind, rows, size in connection.execute(query)}


def bare(broker: Broker, topic: Filled) -> float:
    """Return the examples that a bare consumer reads a second."""
    command = [sys.executable, "-m", "bench.bare_consumer", broker.address, topic.name, str(topic.messages)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=MOST_SECONDS).stdout)
    return float(found["messages"] / found["seconds"]) * topic.examples / topic.messages


def bulk(file: Path, examples: int) -> float:
    """Return the examples a second of one bulk update of a new service with the same text."""
    with serving(**UNDISTURBED) as server:
        return examples / float(client("upload", server.port, file, f"{DEFAULT}/update")["seconds"])


def comparisons(broker: Broker, log: ClickLog) -> Iterator[tuple[Comparison, Fed]]:
    for kind, file, lines, peer in (
        ("vw", log.vw, 1, "consumer"),
        ("ndjson", log.ndjson, 1, "consumer"),
        ("vw", log.vw, 100, "consumer"),
        ("vw", log.vw, 100, "bulk update"),
    ):
        topic = filled(broker, file, kind, lines)
        fed = Fed(broker, topic)
        of = "an example" if lines == 1 else f"{lines} examples"
        unit = "examples/s"
        name = f"Kafka to model, {kind}, {of} a message"
        if peer == "consumer":
            target = 0.6 if lines == 1 else 0.0
            yield Comparison(name, fed, "bare consumer", partial(bare, broker, topic), unit, target), fed
        else:
            work = partial(bulk, file, topic.examples)
            yield Comparison(name, fed, "bulk update by HTTP", work, unit, 0.5), fed
        broker.delete_topic(topic.name)


WARMING_SECONDS = 3
"""So long latencies are not looked at first: what both sides do for the first time takes longer."""


class Pacer(threading.Thread):
    """Produces messages at a rate, each with the time at which it was given.

    Parameters
    ----------
    broker, topic
        Where to.
    values
        Again and again.
    rate
        Messages a second.
    """

    def __init__(self, broker: Broker, topic: str, values: list[bytes], rate: int) -> None:
        super().__init__(daemon=True)
        self._producer = broker.producer(linger_ms=1)
        self._topic = topic
        self._values = values
        self._rate = rate
        self.given = 0
        self.given_at = 0.0
        self.ending = threading.Event()

    def run(self) -> None:
        begun = time.perf_counter()
        while not self.ending.wait(0.001):
            for _ in range(int((time.perf_counter() - begun) * self._rate) - self.given):
                now = time.perf_counter()
                self._producer.produce(self._topic, self._values[self.given % len(self._values)])
                self.given, self.given_at = self.given + 1, now
            self._producer.poll(0)
        self._producer.flush()


def latencies(broker: Broker, log: ClickLog, seconds: float) -> list[float]:
    """Return the seconds from a message that is produced to the answer of a prediction that knows it."""
    topic = broker.topic()
    values = log.vw.read_bytes().splitlines()[:50_000]
    found: list[float] = []
    body = json.dumps({"features": {"f0": "v1"}})
    with serving(source=f"kafka://{broker.address}/{topic}?format=vw", **UNDISTURBED) as server:
        pacer = Pacer(broker, topic, values, LATENCY_RATE)
        pacer.start()
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            end = time.perf_counter() + seconds + WARMING_SECONDS
            while time.perf_counter() < end:
                given = pacer.given
                while pacer.given == given:
                    time.sleep(0.0001)
                given, at = pacer.given, pacer.given_at
                headers = {"content-type": "application/json", "nonzero-min-sequence": str(given)}
                connection.request("POST", f"{DEFAULT}/predict", body, headers)
                with connection.getresponse() as answer:
                    answer.read()
                if time.perf_counter() > end - seconds:
                    if answer.status != 200:
                        raise ConnectionError(f"{answer.status} for sequence {given}")
                    found.append(time.perf_counter() - at)
        pacer.ending.set()
        pacer.join()
    return found


def predictions(port: int, going: Callable[[], bool]) -> list[float]:
    """Return how long predictions of one example took, one after another, while something goes on."""
    found: list[float] = []
    body = json.dumps({"features": {f"f{k}": f"v{k}" for k in range(FIELDS)}})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while going():
            begun = time.perf_counter()
            connection.request("POST", f"{DEFAULT}/predict", body, {"content-type": "application/json"})
            with connection.getresponse() as answer:
                answer.read()
            found.append(time.perf_counter() - begun)
            time.sleep(PREDICTION_PAUSE)
    return found


def beside_a_backlog(broker: Broker, log: ClickLog) -> tuple[list[float], list[float]]:
    """Return the seconds of predictions of a service with nothing to do, and of one that reads a backlog."""
    topic = filled(broker, log.vw, "vw", 1)
    broker.stop_signal()
    with serving(source=f"kafka://{broker.address}/{topic.name}?format=vw", **UNDISTURBED) as server:
        end = time.perf_counter() + START_SECONDS
        idle = predictions(server.port, lambda: time.perf_counter() < end)
        broker.cont()
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            while not sequence_of(connection):
                time.sleep(LOOK_SECONDS)
            learned = threading.Event()

            def look() -> None:
                while sequence_of(connection) < topic.examples:
                    time.sleep(LOOK_SECONDS)
                learned.set()

            looking = threading.Thread(target=look)
            looking.start()
            busy = predictions(server.port, lambda: not learned.is_set())
            looking.join()
    broker.delete_topic(topic.name)
    return idle, busy


def quantiles(seconds: list[float]) -> str:
    p50, p99 = (1000 * float(np.quantile(seconds, q)) for q in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, of {len(seconds)} predictions"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kafka", description=__doc__)
    parser.add_argument("--examples", type=int, default=500_000, help="how many examples a topic has")
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--seconds", type=float, default=15, help="how long latencies are looked at")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    chosen = parser.parse_args()
    console = Console(width=max(Console().width, 150))
    log = ClickLog(chosen.examples)
    outcomes: list[Outcome] = []
    notes: list[str] = []
    with kafka(on_disk=True) as broker, Progress(console=console, transient=True) as progress:
        for row, fed in comparisons(broker, log):
            if chosen.only not in row.name:
                continue
            task = progress.add_task(row.name, total=row.total_runs(chosen.runs))
            outcomes.append(compare(row, chosen.runs, lambda task=task: progress.advance(task)))  # type: ignore[misc]
            progress.remove_task(task)
            rows = ", ".join(
                f"{kind} {count} rows {size / 1e6:.2f} MB" for kind, (count, size) in fed.rows.items()
            )
            notes.append(
                f"{row.name}: {statistics.median(fed.cpu):.2f} us of processor time an example; {rows}"
            )
        if chosen.only in "latency":
            found = latencies(broker, log, chosen.seconds)
            notes.append(
                f"from produce to a prediction that knows it, {LATENCY_RATE:,} messages a second: "
                f"{quantiles(found)}; aim: p99 below 250 ms"
            )
        if chosen.only in "backlog":
            for what, found in zip(
                ("nothing to do", "a backlog"), beside_a_backlog(broker, log), strict=True
            ):
                notes.append(f"predictions of one example beside {what}: {quantiles(found)}")
    console.print(table_of(outcomes, {}))
    for note in notes:
        console.print(note)


if __name__ == "__main__":
    main()
