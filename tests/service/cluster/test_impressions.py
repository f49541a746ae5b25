"""Predictions with an id that a node makes which follows are kept by the one that writes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cluster.passing import SettableNode
from service.cluster.test_passing_on import EXAMPLE, MODEL, Pair, running
from service.series import series
from waiting import until

KEPT = 'nonzero_impressions_total{model="default",outcome="kept"}'
LOST = 'nonzero_impressions_total{model="default",outcome="lost"}'
HANDED_ON = "nonzero_handed_on_impressions_total"
WAITING = "nonzero_waiting_to_be_handed_on_bytes"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Pair]:
    with running(tmp_path, slices="site") as found:
        yield found


def test_a_label_follows_its_prediction_whatever_node_each_came_to(own: Pair) -> None:
    for n in range(20):
        predicted = own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": f"imp-{n}"})
        assert predicted.status_code == 200
        labelled = own.here.post(f"{MODEL}/labels", json={"id": f"imp-{n}", "label": 1})
        assert labelled.status_code == 200, labelled.text  # at once: it waits for its impression
    assert series(own.there, KEPT) == series(own.here, HANDED_ON) == 20
    assert series(own.here, KEPT) == 0
    # The names of fields, and of values, go along.
    read = own.there.get(f"{MODEL}/metrics").json()
    assert {one["value"] for one in read["slices"]["site"]} == {"news"}


def test_those_that_are_answered_at_once_come_within_a_second(own: Pair) -> None:
    body = b"".join(b"'i%d |f site=s%d\n" % (n, n % 7) for n in range(5000))
    predicted = own.here.post(f"{MODEL}/predict", content=body, headers={"content-type": "text/x-vw"})
    assert predicted.text.count('"id"') == 5000
    began = time.monotonic()
    until(lambda: series(own.there, KEPT) == 5000)
    assert time.monotonic() - began < 1
    until(lambda: series(own.here, WAITING) == 0)


def test_while_nobody_writes_they_wait_and_are_kept_by_whoever_is_next(own: Pair) -> None:
    own.follower.follow(None)
    own.writer.follow(None)
    for n in range(10):
        assert own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": f"imp-{n}"}).status_code == 200
    assert series(own.here, WAITING) > 0
    own.follower.follow(own.writer.write())
    until(lambda: series(own.there, KEPT) == 10)
    own.follower.follow(None)
    for n in range(10, 15):
        assert own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": f"imp-{n}"}).status_code == 200
    own.follower.write()  # it keeps them itself
    until(lambda: series(own.here, KEPT) == 5)
    until(lambda: series(own.here, WAITING) == 0)


def test_one_that_is_handed_on_twice_is_kept_once(own: Pair) -> None:
    """As where the writer ends after it has kept them and before it has said so."""
    for _ in range(2):
        for n in range(5):
            assert own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": f"imp-{n}"}).status_code == 200
    until(lambda: series(own.here, HANDED_ON) == 10)
    until(lambda: series(own.there, KEPT.replace("kept", "repeated")) == 5)
    assert series(own.there, KEPT) == 5


def test_what_is_to_be_durable_is_answered_when_it_is(tmp_path: Path) -> None:
    with running(tmp_path, impressions="durable") as found:
        body = EXAMPLE | {"id": "imp-1"}
        assert found.here.post(f"{MODEL}/predict", json=body).status_code == 200
        found.writer.kill()
        refused = found.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": "imp-2"})
        assert refused.status_code == 503
        assert found.here.post(f"{MODEL}/predict", json=EXAMPLE).status_code == 200
        found.writer.path.unlink()
        again = SettableNode(tmp_path / "a", bits=10, impressions="durable").until_ready().write()
        try:
            found.follower.follow(again)
            assert found.here.post(f"{MODEL}/labels", json={"id": "imp-1", "label": 1}).status_code == 200
        finally:
            again.kill()


def test_what_a_writer_that_fails_has_taken_and_not_kept_is_kept_by_the_next(own: Pair) -> None:
    """It is stopped before it has them on disk, and another node writes when it goes on."""
    own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": "imp-0"})
    until(lambda: series(own.here, HANDED_ON) == 1)
    os.kill(own.writer.pid, signal.SIGSTOP)
    for n in range(1, 10):
        assert own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": f"imp-{n}"}).status_code == 200
    own.follower.write()
    until(lambda: series(own.here, KEPT) == 9)
    assert series(own.here, LOST) == 0
    os.kill(own.writer.pid, signal.SIGCONT)


def test_a_stop_hands_on_what_waits_and_says_what_is_lost(own: Pair) -> None:
    own.follower.follow(None)
    assert own.here.post(f"{MODEL}/predict", json=EXAMPLE | {"id": "imp-1"}).status_code == 200
    assert own.follower.stop() == 0
    [line] = own.follower.lines("impressions were not handed on")
    assert line["count"] == 1
