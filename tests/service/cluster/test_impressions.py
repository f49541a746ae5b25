"""Predictions with an id that a node makes which follows are kept by the one that writes."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from service.cluster.passing import SettableNode
from service.cluster.test_passing_on import EXAMPLE, MODEL, Pair, running
from service.series import series
from waiting import until

KEPT = 'nonzero_impressions_total{model="default",outcome="kept"}'
LOST = 'nonzero_impressions_total{model="default",outcome="lost"}'
REPEATED = KEPT.replace("kept", "repeated")
HANDED_ON = "nonzero_handed_on_impressions_total"
WAITING = "nonzero_waiting_to_be_handed_on_bytes"


class Since:
    """Two nodes, and what they have counted since a test began; its ids are its own."""

    numbers = itertools.count()

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.name = f"test-{next(self.numbers)}"
        self._before = {name: self._now(name) for name in (KEPT, REPEATED, LOST, HANDED_ON, WAITING)}

    def _now(self, name: str) -> list[float]:
        return [series(client, name) for client in (self.pair.there, self.pair.here)]

    def there(self, name: str) -> float:
        return self._now(name)[0] - self._before[name][0]

    def here(self, name: str) -> float:
        return self._now(name)[1] - self._before[name][1]

    def predict(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            body = EXAMPLE | {"id": f"{self.name}-{n}"}
            assert self.pair.here.post(f"{MODEL}/predict", json=body).status_code == 200


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running(tmp_path_factory.mktemp("pair"), slices="site") as found:
        yield found


@pytest.fixture
def since(pair: Pair) -> Iterator[Since]:
    """Two nodes, whose roles a test may change."""
    yield Since(pair)
    pair.follower.follow(pair.writer.write())
    until(lambda: series(pair.here, WAITING) == 0)


def test_a_label_follows_its_prediction_whatever_node_each_came_to(since: Since) -> None:
    for n in range(20):
        since.predict([n])
        labelled = since.pair.here.post(f"{MODEL}/labels", json={"id": f"{since.name}-{n}", "label": 1})
        assert labelled.status_code == 200, labelled.text  # at once: it waits for its impression
    assert since.there(KEPT) == since.here(HANDED_ON) == 20
    assert since.here(KEPT) == 0
    # The names of fields, and of values, go along.
    read = since.pair.there.get(f"{MODEL}/metrics").json()
    assert {one["value"] for one in read["slices"]["site"]} == {"news"}


def test_those_that_are_answered_at_once_come_within_a_second(since: Since) -> None:
    body = b"".join(b"'%b-%d |f site=news\n" % (since.name.encode(), n) for n in range(5000))
    headers = {"content-type": "text/x-vw"}
    predicted = since.pair.here.post(f"{MODEL}/predict", content=body, headers=headers)
    assert predicted.text.count('"id"') == 5000
    began = time.monotonic()
    until(lambda: since.here(HANDED_ON) == 5000)
    assert time.monotonic() - began < 1
    assert since.there(KEPT) == 5000


def test_while_nobody_writes_they_wait_and_are_kept_by_whoever_is_next(since: Since) -> None:
    writer, follower = since.pair.writer, since.pair.follower
    follower.follow(None)
    writer.follow(None)
    since.predict(range(10))
    assert since.here(WAITING) > 0
    follower.follow(writer.write())
    until(lambda: since.there(KEPT) == 10)
    follower.follow(None)
    since.predict(range(10, 15))
    follower.write()  # it keeps them itself
    until(lambda: since.here(KEPT) == 5)
    until(lambda: since.here(WAITING) == 0)


def test_one_that_is_handed_on_twice_is_kept_once(since: Since) -> None:
    """As where the writer ends after it has kept them and before it has said so."""
    since.predict(range(5))
    since.predict(range(5))
    until(lambda: since.here(HANDED_ON) == 10)
    assert (since.there(KEPT), since.there(REPEATED)) == (5, 5)


def test_what_a_writer_that_fails_has_not_kept_is_kept_by_the_next(since: Since) -> None:
    """It is stopped before it has them on disk, and another node writes when it goes on."""
    os.kill(since.pair.writer.pid, signal.SIGSTOP)
    try:
        since.predict(range(10))
        since.pair.follower.write()
        until(lambda: series(since.pair.here, KEPT) >= 10)
        assert series(since.pair.here, LOST) == 0
    finally:
        os.kill(since.pair.writer.pid, signal.SIGCONT)


def test_what_is_to_be_durable_is_answered_when_it_is(tmp_path: Path) -> None:
    with running(tmp_path, impressions="durable") as found:
        for site, status in (("a", 200), ("b", 503)):
            predicted = found.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": site})
            assert predicted.status_code == status
            found.writer.kill()
        assert found.here.post(f"{MODEL}/predict", json=EXAMPLE).status_code == 200
        assert series(found.here, LOST) == 1
        found.writer.path.unlink()
        again = SettableNode(tmp_path / "a", bits=10, impressions="durable").until_ready().write()
        try:
            found.follower.follow(again)
            assert found.here.post(f"{MODEL}/labels", json={"id": "a", "label": 1}).status_code == 200
        finally:
            again.kill()


def test_a_stop_says_what_it_could_not_hand_on(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        found.follower.follow(None)
        assert found.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": "last"}).status_code == 200
        assert found.follower.stop() == 0
        [line] = found.follower.lines("impressions were not handed on")
        assert line["count"] == 1
