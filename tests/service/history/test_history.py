"""The history of one model, told of a stream as the learner and a start tell of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.history.history import History
from nonzero_service.history.kept_file import KEPT, SERIES
from nonzero_service.history.points import totals_of
from nonzero_service.history.rows import Asked, described
from nonzero_service.journal.chain import JournalRow

MINUTE = 60_000
START = 1_700_000_040_000  # a whole minute


def no() -> bool:
    return False


def batch(seed: int, n: int = 40) -> Batch:
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.5, 1.0, 3.0], n).astype(np.float32)
    return Batch(
        np.arange(n + 1) * 3, rng.integers(0, 2**10, 3 * n), labels=rng.integers(0, 2, n), weights=weights
    )


class Stream:
    """A model that learns, a batch a row of its journal, and the history that is told of it."""

    def __init__(self, path: Path, rows: list[int], **settings: Any) -> None:
        self.path, self.rows = path, rows
        self.model = LogisticRegression(10, AdaGrad(0.1), **settings)
        self.position = 1
        self.history = History(path, "default")
        self.history.replayed(self.model, 1)

    def learn(self, until: int) -> None:
        for at in range(self.position - 1, until):
            self.history.learning(self.model, self.position, self.rows[at], no)
            self.model.learn(batch(at), self.rows[at])
            self.position += 1

    def killed(self, *, snapshot: int) -> Stream:
        """Return what a start makes of it, from a snapshot after so many rows and the journal's others."""
        start = Stream(self.path, self.rows)
        start.history = History(self.path, "default")
        for at in range(snapshot):
            start.model.learn(batch(at), self.rows[at])
        start.position = snapshot + 1
        start.learn(self.position - 1)
        assert totals_of(start.model) == totals_of(self.model)
        start.history.replayed(start.model, start.position)
        return start

    def told(
        self, step: str | None = None, start: int | None = None, end: int | None = None
    ) -> dict[str, Any]:
        now = self.rows[self.position - 2] + 500
        self.history.capture(self.model, self.position, now)
        return described(self.history, Asked(start, end, step), now)

    def check(self, *steps: str) -> None:
        for step in steps or ("minute", "hour", "day", "examples"):
            rows = self.told(step)["rows"]
            examples, weight, clicks, predicted, loss = totals_of(self.model)
            assert sum(row["examples"] for row in rows) == examples
            assert sum(row["weight"] for row in rows) == pytest.approx(weight, rel=1e-12)
            assert sum(row["clicks"] for row in rows) == pytest.approx(clicks, rel=1e-12)
            assert sum(row["predicted"] for row in rows) == pytest.approx(predicted, rel=1e-9)
            assert sum(row["log_loss"] * row["weight"] for row in rows) == pytest.approx(loss, rel=1e-9)
            assert rows[-1]["sequence"] == examples
            assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Return one of 600 rows, ten seconds apart, and one at a time of each second."""
    return Stream(tmp_path / "history", [START + 10_000 * n for n in range(600)])


def test_rows_say_what_was_learned_in_their_time(stream: Stream) -> None:
    stream.learn(18)
    rows = stream.told("minute")["rows"]
    assert [(row["time"], row["end"]) for row in rows] == [
        (START + n * MINUTE, START + (n + 1) * MINUTE) for n in range(3)
    ]
    for row, first in zip(rows, (0, 6, 12), strict=True):
        batches = [batch(n) for n in range(first, first + 6)]
        weights = np.concatenate([one.weights for one in batches])
        labels = np.concatenate([one.labels for one in batches])
        rate = float((weights * labels).sum() / weights.sum())
        assert row["examples"] == 240
        assert row["click_rate"] == pytest.approx(rate)
        assert row["clicks"] == pytest.approx(float((weights * labels).sum()))
        assert row["base_log_loss"] == pytest.approx(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))
        assert row["normalized_entropy"] == pytest.approx(row["log_loss"] / row["base_log_loss"])
        assert row["calibration"] == pytest.approx(row["predicted"] / row["clicks"])
        assert row["predicted_rate"] == pytest.approx(row["predicted"] / row["weight"])
    seconds = stream.told("second")["rows"]
    assert [row["time"] for row in seconds] == stream.rows[:18]
    assert stream.told("hour")["rows"][0]["examples"] == 720
    stream.check("second", "minute", "hour", "day", "examples")


def test_looking_in_between_changes_nothing(stream: Stream, tmp_path: Path) -> None:
    other = Stream(tmp_path / "other", stream.rows)
    for n in range(1, 40):
        stream.learn(n)
        stream.told("second")
        stream.history.save()
    other.learn(39)
    for step in ("second", "minute", "hour", "day"):
        assert stream.told(step)["rows"] == other.told(step)["rows"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("snapshot", [0, 17, 100, 130, 150])
def test_a_kill_takes_nothing_and_counts_nothing_twice(stream: Stream, tmp_path: Path, snapshot: int) -> None:
    whole = Stream(tmp_path / "whole", stream.rows)
    whole.learn(300)
    stream.learn(100)
    stream.told()  # a point that is within a second
    stream.history.save()
    stream.learn(150)
    again = stream.killed(snapshot=snapshot)
    again.check()
    again.learn(300)
    again.check()
    if snapshot <= 100:  # else the snapshot is later than what was written: a row is longer
        for step in ("minute", "hour", "day"):
            assert again.told(step)["rows"] == whole.told(step)["rows"]
    again.history.save()
    third = again.killed(snapshot=299)
    third.check()


def test_records_that_are_lost_make_rows_longer(stream: Stream) -> None:
    stream.learn(100)
    stream.told()
    stream.history.save()
    with stream.path.open("r+b") as file:
        for number in (0, 3, 4):
            file.seek(SERIES["minute"].place(number) + 30)
            file.write(b"torn")
    again = stream.killed(snapshot=90)
    again.check()
    assert len(again.told("minute")["rows"]) == 17 - 3


def test_what_the_model_does_not_know_of_is_cut(stream: Stream) -> None:
    stream.learn(200)
    stream.history.tell(stream.model, "pause", "later", position=150, time_ms=START)
    stream.told()
    stream.history.save()
    stream.position = 121  # a backup, or a power cut
    older = Stream(stream.path, stream.rows)
    older.history = History(stream.path, "default")
    older.model = LogisticRegression(10, AdaGrad(0.1))
    for at in range(120):
        older.model.learn(batch(at), stream.rows[at])
    older.position = 121
    older.history.replayed(older.model, 121)
    older.check()
    older.learn(140)
    older.check()
    assert "pause" not in [event["kind"] for event in older.told()["events"]]


def test_another_model_in_its_place_begins_anew(stream: Stream) -> None:
    stream.learn(50)
    stream.told()
    stream.history.save()
    other = Stream(stream.path, stream.rows)
    other.position = 52
    other.history = History(stream.path, "default")
    other.history.replayed(other.model, 52)
    other.rows = [START + 900_000 + 1000 * n for n in range(600)]
    other.learn(60)
    assert [row["examples"] for row in other.told("hour")["rows"]] == [9 * 40]


def test_a_beginning_that_is_lost_begins_anew(stream: Stream) -> None:
    stream.learn(50)
    stream.told()
    stream.history.save()
    with stream.path.open("r+b") as file:
        file.write(b"torn")
    again = stream.killed(snapshot=40)
    again.learn(60)
    assert [row["examples"] for row in again.told("hour")["rows"]] == [20 * 40]


def test_a_model_that_came_as_a_file_begins_with_what_it_learns_here(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "history", [START + 1000 * n for n in range(100)])
    for seed in range(1000, 1010):
        stream.model.learn(batch(seed))
    stream.learn(20)
    told = stream.told("minute")
    assert sum(row["examples"] for row in told["rows"]) == 800
    assert told["rows"][-1]["sequence"] == 1200
    assert "had learned from 400 examples before" in told["events"][0]["text"]


def test_a_clock_that_is_set_back_or_leaps_loses_nothing(tmp_path: Path) -> None:
    rows = [START + 1000 * n for n in range(50)]
    rows += [START - 10 * MINUTE + 1000 * n for n in range(50)] + [
        START + 10**10 + 1000 * n for n in range(50)
    ]
    stream = Stream(tmp_path / "history", rows)
    stream.learn(150)
    for step in ("second", "minute", "hour", "day", "examples"):
        told = stream.told(step)["rows"]
        if step != "second":
            assert sum(row["examples"] for row in told) == 6000
        assert all(row["end"] > row["time"] for row in told)


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    n = KEPT + 100
    stream = Stream(tmp_path / "history", [START + MINUTE * j for j in range(n)])
    for until in range(50, n + 1, 50):
        stream.learn(until)
        if until % 300 == 0:
            stream.history.save()
    stream.learn(n)
    rows = stream.told("minute")["rows"]
    assert len(rows) == KEPT
    assert rows[0]["time"] == START + 100 * MINUTE
    stream.check("hour", "day", "examples")
    assert stream.told()["step"] == "hour"
    assert stream.told(start=START + (n - 30) * MINUTE)["step"] == "minute"
    assert stream.told(start=START + 10 * MINUTE)["step"] == "hour"


@pytest.mark.parametrize("broken", ["a directory", "not writable"])
def test_a_disk_that_refuses_stops_nothing(
    stream: Stream, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if broken == "a directory":
        stream.path.mkdir()
    else:
        stream.path.symlink_to("/dev/full")
    for n in (30, 60, 90):
        stream.learn(n)
        stream.history.save()
    assert stream.model.examples == 3600
    assert sum(one["examples"] for one in stream.told("minute")["rows"]) == 3600
    assert capsys.readouterr().out.count("[warning") == 1
    stream.path.rmdir() if broken == "a directory" else stream.path.unlink()
    assert stream.history.save()
    stream.check()


def row(position: int, kind: str, body: bytes, count: int = 0) -> JournalRow:
    return JournalRow(position, 0, count, kind, 1, START + position, b"", body, bytes(16))


def test_rows_of_the_journal_are_events_once(stream: Stream) -> None:
    stream.learn(10)
    reason = json.dumps({"figure": "click_rate", "now": 0.35, "before": 0.05}).encode()
    stream.history.changed(stream.model, row(11, "trip", reason))
    stream.history.changed(stream.model, row(12, "resume", b'{"since": 11, "discard": true}'))
    stream.history.changed(stream.model, row(13, "resume", b'{"since": 11, "discard": false}', 1234))
    stream.history.changed(stream.model, row(14, "clock", b"{}"))
    told = stream.told()["events"]
    assert [event["kind"] for event in told] == ["start", "pause", "discard", "resume"]
    assert told[1]["text"] == "learning was paused: the click rate was 0.05, then 0.35"
    assert "1,234 examples" in told[3]["text"]
    stream.history.save()
    again = stream.killed(snapshot=5)
    again.history.changed(again.model, row(11, "trip", reason))
    assert [event["kind"] for event in again.told()["events"]].count("pause") <= 2


def test_another_model_takes_its_place_and_the_history_goes_on(stream: Stream) -> None:
    stream.learn(50)
    other = LogisticRegression(10, AdaGrad(0.5))
    for at in range(30, 50):
        other.learn(batch(at))
    before, stream.model = stream.model, other
    stream.position += 1
    stream.rows.insert(50, 0)
    stream.history.promoted(other, before, stream.position, START + 500_000)
    stream.learn(60)
    for step in ("minute", "hour", "examples"):
        told = stream.told(step)["rows"]
        assert sum(one["examples"] for one in told) == 59 * 40
        assert told[-1]["sequence"] == 29 * 40
