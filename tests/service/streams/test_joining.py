"""Impressions and clicks of topics of a real broker, joined by their ids, in a real service.

What is learned is held against an oracle that knows all records at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from kafka import Broker
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.impressions.states import CLICKS, ImpressionState
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.verifying import verify
from nonzero_service.writer.impression_rows import tell_of_impressions
from service.conftest import ServiceProcess, Start
from waiting import until

HOUR: Final = 3_600_000
WINDOW_MS, CORRECTION_MS = HOUR, 6 * HOUR
WAIT: Final = "30m"
SLOP_MS: Final = HOUR
"""Windows end so much later at most: by that wait where partitions are read unevenly."""


@dataclass
class Traffic:
    """Impressions of two days, and their clicks."""

    shown: list[tuple[int, str]] = field(default_factory=list)
    clicks: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, n: int, seed: int) -> Traffic:
        """Make `n` impressions: a third is clicked, of which some clicks come late, too late, or twice.

        Some clicks have an earlier time than their impressions: other machines' clocks stamp them.
        """
        rng, made = random.Random(seed), cls()
        began = int(time.time() * 1000) - 60 * HOUR
        for k in range(n):
            at, name = began + 48 * HOUR * k // n, f"{seed}-{k}"
            made.shown.append((at, name))
            # Behind the last impression too few clicks come to tell the time: none is too late there.
            kind = rng.randrange(12 if k < 0.8 * n else 3)
            delay = {
                0: rng.randrange(WINDOW_MS),
                1: rng.randrange(WINDOW_MS // 10),
                2: rng.randrange(WINDOW_MS + SLOP_MS, CORRECTION_MS),
                3: WINDOW_MS + CORRECTION_MS + SLOP_MS + rng.randrange(HOUR),
                4: -rng.randrange(1000, 300_000),
            }.get(kind)
            if delay is not None:
                made.clicks += [(at + delay, name)] * (1 + (rng.random() < 0.1))
        made.clicks += [(began + rng.randrange(48 * HOUR), f"nobody-{k}") for k in range(n // 100)]
        made.clicks.sort()
        return made

    @property
    def clicked(self) -> set[str]:
        """The impressions that have a click in time."""
        return self.clicked_within(WINDOW_MS + CORRECTION_MS + SLOP_MS // 2)

    def clicked_within(self, milliseconds: int) -> set[str]:
        """Return the impressions that have a click so long after they were shown at most."""
        made = {name: at for at, name in self.shown}
        return {name for at, name in self.clicks if name in made and at - made[name] <= milliseconds}

    def examples(self, part: int = 0, parts: int = 1) -> Iterator[tuple[bytes, int]]:
        """Yield the impressions of a partition."""
        for at, name in self.shown:
            if hash_of(name) % parts == part:
                k = int(name.split("-")[1])
                features = {"site": f"s{k % 7}", "ad": f"a{k % 11}"}
                yield msgspec.json.encode({"features": features, "id": name}), at

    def labels(self, part: int = 0, parts: int = 1) -> Iterator[tuple[bytes, int]]:
        """Yield the clicks of a partition: they are parted otherwise."""
        for at, name in self.clicks:
            if hash_of(name[::-1]) % parts == part:
                yield msgspec.json.encode({"id": name, "campaign": 7}), at


def hash_of(name: str) -> int:
    return int(hashes_of(Ids.of([name]), np.arange(1))[0])


def send(broker: Broker, topic: str, messages: Iterator[tuple[bytes, int]], partition: int = 0) -> None:
    values, times = zip(*messages, strict=True)
    broker.produce(topic, values, times=times, partition=partition)


def source(running: ServiceProcess) -> dict[str, Any]:
    with running.client() as client:
        told: dict[str, Any] = client.get("/v1/models/default/source").raise_for_status().json()
        return told


def figure(running: ServiceProcess, series: str) -> float:
    with running.client() as client:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
    return 0.0


def until_read(running: ServiceProcess, messages: int) -> None:
    until(lambda: source(running)["messages"] == messages, lambda: (source(running), running.log[-5:]))


def has_read_more(running: ServiceProcess, begun: int, everything: int) -> bool:
    return bool(begun < source(running)["messages"] or begun == everything)


def states_in(directory: Path, negatives: Negatives) -> dict[int, ImpressionState]:
    """Return what the journal's rows say has become of each impression, by the hash of its id."""

    def fail(error: StorageError) -> None:
        raise error

    with JournalReader(directory / "models" / "default") as reader:
        store = ImpressionStore(Rules(WINDOW_MS, CORRECTION_MS, negatives=negatives), reader.read_part)
        tell_of_impressions(store, reader, fail)
        numbers = np.arange(store.segments.next_number)
        hashes, states = store.segments.hashes_of(numbers), store.segments.states(numbers)
    assert len(set(hashes.tolist())) == numbers.size
    return dict(zip(hashes.tolist(), map(ImpressionState, states.tolist()), strict=True))


def check(directory: Path, traffic: Traffic, negatives: Negatives) -> None:
    """Hold what was learned against the oracle."""
    states, clicked = states_in(directory, negatives), traffic.clicked
    assert states.keys() == {hash_of(name) for _, name in traffic.shown}
    found = {name for _, name in traffic.shown if states[hash_of(name)] in CLICKS}
    assert (sorted(clicked - found), sorted(found - clicked)) == ([], [])


def sent(broker: Broker, traffic: Traffic) -> tuple[str, str]:
    """Send all of it: impressions in two partitions, clicks in three, by other rules; return the topics."""
    shown, clicks = broker.topic(partitions=2), broker.topic(partitions=3)
    for part in range(2):
        send(broker, shown, traffic.examples(part, 2), part)
    for part in range(3):
        send(broker, clicks, traffic.labels(part, 3), part)
    return shown, clicks


def whole(directory: Path) -> None:
    """Hold the newest snapshot against a fold of the journal, to the bit."""
    checked = verify(directory / "models" / "default", lambda *_: None)
    assert checked.faults == []
    assert checked.digest


@pytest.fixture
def flags() -> dict[str, Any]:
    return {
        "attribution_seconds": WINDOW_MS / 1000,
        "correction_seconds": CORRECTION_MS / 1000,
        "journal_retention": "all",
    }


@pytest.mark.sampled(1)
@pytest.mark.parametrize("negatives", ["at_once", "window", "at_end"])
def test_a_backlog_of_two_days_ends_with_the_labels_that_an_oracle_gives(
    negatives: Negatives, broker: Broker, start: Start, tmp_path: Path, flags: dict[str, Any]
) -> None:
    traffic = Traffic.of(1000, 1)
    shown, clicks = sent(broker, traffic)
    address = f"kafka://{broker.address}/{shown}?labels={clicks}&wait={WAIT}"
    running = start(tmp_path / "data", source=address, negatives=negatives, **flags).until_ready()
    until_read(running, len(traffic.shown) + len(traffic.clicks))
    until(lambda: figure(running, 'nonzero_pending_labels{model="default"}') == 0, lambda: source(running))
    until(lambda: source(running)["event_time"]["behind_seconds"] < 120, lambda: source(running))
    told = source(running)["event_time"]
    assert told["waiting_labels"] == 0
    assert told["joined_after_waiting"] > 0
    assert told["waited_in_vain"] == 10  # those of which there is no impression
    assert running.stop() == 0
    check(tmp_path / "data", traffic, negatives)
    whole(tmp_path / "data")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("negatives", ["at_once", "window"])
def test_kills_half_way_lose_nothing_and_join_nothing_twice(
    negatives: Negatives, broker: Broker, start: Start, tmp_path: Path, flags: dict[str, Any]
) -> None:
    """Labels wait at the kills, some are in flight: what the oracle says comes of it all the same."""
    traffic, rng = Traffic.of(1000, 2), random.Random(3)
    shown, clicks = sent(broker, traffic)
    flags["source"] = f"kafka://{broker.address}/{shown}?labels={clicks}&wait={WAIT}"
    everything = len(traffic.shown) + len(traffic.clicks)
    for _ in range(2):
        running = start(tmp_path / "data", negatives=negatives, **flags).until_ready()
        until(partial(has_read_more, running, source(running)["messages"], everything))
        time.sleep(rng.random() / 2)
        running.kill()
    running = start(tmp_path / "data", negatives=negatives, **flags).until_ready()
    until_read(running, everything)
    until(lambda: figure(running, 'nonzero_pending_labels{model="default"}') == 0, lambda: source(running))
    assert running.stop() == 0
    check(tmp_path / "data", traffic, negatives)
    whole(tmp_path / "data")


def test_clicks_alone_are_joined_with_what_was_predicted_over_http(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    """One comes before its prediction, one after; they are found again after a kill."""
    clicks = broker.topic()
    address = f"kafka://{broker.address}/?labels={clicks}"
    running = start(tmp_path / "data", source=address, impressions="durable").until_ready()
    broker.produce(clicks, [b'{"id": "before"}', b'{"id": 7}\n{"id": "nobody", "label": 0}', b"", b"[]"])
    until_read(running, 4)
    told = source(running)
    assert told["event_time"]["waiting_labels"] == 2
    assert [(one["offset"], one["line"]) for one in told["refusals"]] == [(1, 1), (3, 1)]
    running.kill()
    running = start(tmp_path / "data", source=address, impressions="durable").until_ready()
    with running.client() as client:
        for name in ("before", "after"):
            body = {"examples": [{"features": {"site": "a"}, "id": name}]}
            client.post("/v1/models/default/predict", json=body).raise_for_status()
        assert figure(running, 'nonzero_waited_labels_total{model="default",outcome="joined"}') == 1
        broker.produce(clicks, [b'{"id": "after"}'])
        until(
            lambda: figure(running, 'nonzero_labels_total{model="default",verdict="joined"}') == 2,
            lambda: source(running),
        )
    assert running.stop() == 0


def test_a_topic_whose_producer_is_a_year_ahead_ends_no_window(
    broker: Broker, start: Start, tmp_path: Path, flags: dict[str, Any]
) -> None:
    year = 365 * 24 * HOUR
    shown = broker.topic(message_timestamp_after_max_ms=2 * year)
    clicks = broker.topic()
    now = int(time.time() * 1000)
    send(broker, shown, ((b'{"features": {}, "id": "i-%d"}' % k, now + year * (k == 3)) for k in range(6)))
    address = f"kafka://{broker.address}/{shown}?labels={clicks}"
    running = start(tmp_path / "data", source=address, negatives="window", **flags).until_ready()
    until_read(running, 6)
    told = source(running)["event_time"]
    assert told["wrong_times"] == {"untimed": 0, "future": 1, "leapt": 0}
    assert told["reached"] <= time.time() * 1000
    broker.produce(clicks, [b'{"id": "i-3"}', b'{"id": "i-5"}'])
    until_read(running, 8)
    assert figure(running, 'nonzero_pending_labels{model="default"}') == 4
    until(lambda: [one for one in running.log if one["event"] == "times of records are not believed"])
    assert running.stop() == 0
