"""The click rate of impressions: labels that come late are no jump, and more clicks are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.impressions.taking_over import take_over, taken_over
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.challenger_origin import ChallengerOrigin, OwnPolicy
from nonzero_service.writer.preparing import Prepared
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.work import EndWindows, Impress, LabelImpressions, Rows, StreamState
from service.impressions.journalled import JournalledImpressions, predicted

TICK_MS = 1000
A_TICK = 500
WINDOW = 30
"""In ticks, as are all times here."""

POLICIES: tuple[Negatives, ...] = ("at_once", "window", "at_end")


def rules(negatives: Negatives) -> Rules:
    return Rules(WINDOW * TICK_MS, 10_000 * TICK_MS, 1.0, negatives)


class Traffic:
    """Predictions with ids, their clicks after a while, and the end of windows, before a breaker."""

    def __init__(self, directory: Path, negatives: Negatives, rate: float = 0.05) -> None:
        self.rate = rate
        self.negatives = negatives
        self.predicted = self.learned = self.tick = 0
        self.reason: dict[str, Any] | None = None
        self.clicked = 0
        """How many clicks were learned from."""
        self._kept = JournalledImpressions(directory, rules(negatives))
        self._rng = np.random.default_rng(3)
        self._clicks: defaultdict[int, list[str]] = defaultdict(list)
        self._delivering: list[str] = []
        self.start()

    def start(self) -> None:
        """Start the process anew."""
        self._kept.restart()
        self._kept.journal.clock.now_ms = lambda: self._now  # type: ignore[method-assign]
        model = LogisticRegression(8)
        self.breaker = Breaker(model, Bounds(), self._kept.store, self.tick * TICK_MS)

    def run(
        self, ticks: int, *, n: int = A_TICK, labels: bool = True, ends: bool = True, label: int = 1
    ) -> bool:
        """Go on for so many ticks, or until it trips, which is returned.

        In each there are n predictions; labels are delivered, or wait; windows that have ended are, or not.
        """
        for _ in range(ticks):
            self._predict(n)
            self._delivering += self._clicks.pop(self.tick, [])
            if labels and self._delivering:
                self.deliver(label)
            while ends and self.reason is None and not self.take(EndWindows(StreamState())).idle:
                pass
            self.tick += 1
            if self.reason is not None:
                return True
        return False

    @property
    def _now(self) -> int:
        return self.tick * TICK_MS

    def _predict(self, n: int) -> None:
        names = [f"{self.predicted + j}" for j in range(n)]
        if n:
            batch = Batch(np.arange(n + 1), np.arange(n) % 50, ids=names)
            rows = predicted(batch, np.full(n, 0.05, np.float32), self._now)
            self.take(Impress(rows, StreamState(), True))
        self.predicted += n
        for j in np.flatnonzero(self._rng.random(n) < self.rate).tolist():
            self._clicks[self.tick + 1 + int(self._rng.exponential(WINDOW / 5))].append(names[j])

    def deliver(self, label: int = 1) -> Prepared:
        """LabelImpressions what waits to be delivered."""
        ids, self._delivering = self._delivering, []
        return self.take(LabelImpressions(ids, [label] * len(ids), StreamState()))

    def take(self, what: Rows) -> Prepared:
        """Journal work, and let the breaker look at what it teaches."""
        (prepared,) = self._kept.do(what, now_ms=self._now)
        taught = [row.negatives() for row, _ in prepared.kept if row.teaching]
        if prepared.references is not None:
            taught.append((prepared.batch, prepared.references))
        for batch, references in taught:
            if len(batch) and self.reason is None:
                count, self.reason = self.breaker.admit(batch, references)
                self.clicked += int(batch.labels[:count].sum())
        return prepared

    def promote(self) -> None:
        """Let a model go on that learns from impressions when their windows end."""
        policy = OwnPolicy("window", self._kept.rules.attribution_ms, self._kept.rules.correction_ms)
        origin = ChallengerOrigin("m", "1", "refold", 0, 0, None, LogisticRegression(8).settings, policy)
        model, rejoiner = origin.new_model(), Rejoiner(policy, self._kept.journal)
        for row in self._kept.journal.read():
            rejoiner.follow(model, row, model.learn_checked)
        take_over(self._kept.store, taken_over(self._kept.store, rejoiner.store, self._now))
        self.breaker.replace_model(model, relearns=True)

    def close(self) -> None:
        self._kept.journal.close()


def in_turn(first: int, second: int) -> pytest.MarkDecorator:
    """Have each policy meet one of two numbers of ticks; the other pairs are left to the long tests."""
    pairs = [(policy, ticks) for policy in POLICIES for ticks in (first, second)]
    short = {("at_once", first), ("window", second), ("at_end", first)}
    marks = [() if pair in short else pytest.mark.soak for pair in pairs]
    return pytest.mark.parametrize(
        ("negatives", "ticks"),
        [pytest.param(*pair, marks=mark) for pair, mark in zip(pairs, marks, strict=True)],
        indirect=["negatives"],
    )


@pytest.fixture(params=POLICIES)
def negatives(request: pytest.FixtureRequest) -> Negatives:
    chosen: Negatives = request.param
    return chosen


@pytest.fixture
def traffic(memory_path: Path, negatives: Negatives) -> Iterator[Traffic]:
    """Traffic whose usual rate is known: 15,000 windows have ended."""
    running = Traffic(memory_path / "model", negatives)
    assert not running.run(60)
    yield running
    running.close()


@pytest.mark.sampled(1)
@in_turn(15, 75)
def test_labels_that_come_late_at_once_are_no_jump(traffic: Traffic, ticks: int) -> None:
    assert not traffic.run(ticks, labels=False)
    assert not traffic.run(50)


@pytest.mark.sampled(1)
@in_turn(15, 75)
def test_windows_that_end_at_once_are_no_jump(traffic: Traffic, ticks: int) -> None:
    assert not traffic.run(ticks, ends=False)
    assert not traffic.run(50)


@pytest.mark.sampled(1)
@in_turn(15, 150)
def test_a_service_that_was_down_does_not_trip_over_what_has_waited(traffic: Traffic, ticks: int) -> None:
    assert not traffic.run(ticks, n=0, labels=False, ends=False)
    traffic.start()
    assert not traffic.run(50)


@pytest.mark.sampled(1)
def test_traffic_that_grows_and_falls_is_no_jump(traffic: Traffic) -> None:
    assert not traffic.run(10, n=10 * A_TICK)
    assert not traffic.run(100, n=A_TICK // 10)
    assert not traffic.run(50)


def test_labels_that_come_by_the_batch_are_no_jump(memory_path: Path, negatives: Negatives) -> None:
    traffic = Traffic(memory_path / "model", negatives)
    for _ in range(8):
        assert not traffic.run(19, labels=False)
        assert not traffic.run(1)
    traffic.close()


@pytest.mark.sampled(1)
def test_outages_and_restarts_in_turn_are_no_jump(memory_path: Path, negatives: Negatives) -> None:
    traffic, rng = Traffic(memory_path / "model", negatives), np.random.default_rng(4)
    while traffic.tick < 250:
        n, labels, ends = int(rng.choice([50, 500])), rng.random() > 0.3, rng.random() > 0.2
        assert not traffic.run(int(rng.integers(1, 45)), n=n, labels=bool(labels), ends=bool(ends))
        if rng.random() < 0.2:
            traffic.start()
            assert not traffic.run(int(rng.integers(1, 45)), n=0, labels=False, ends=False)
    traffic.close()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("rate", "begun_anew"),
    [
        (0.3, False),
        (1.0, True),
        pytest.param(0.3, True, marks=pytest.mark.soak),
        pytest.param(1.0, False, marks=pytest.mark.soak),
    ],
)
def test_more_clicks_of_impressions_than_there_were_are_a_jump(
    traffic: Traffic, rate: float, begun_anew: bool
) -> None:
    if begun_anew:
        traffic.start()
    traffic.rate, before = rate, traffic.predicted
    assert traffic.run(50)
    assert traffic.reason is not None
    assert (traffic.reason["figure"], traffic.reason["examples"]) == ("click_rate", 1000)
    assert traffic.reason["before"] == pytest.approx(0.05, abs=0.01)
    # The first thousand that is wholly of the jump has some 140 clicks of its 300 after 0.6 mean delays.
    waits = WINDOW * A_TICK if traffic.negatives == "window" else 0
    assert traffic.predicted - before <= 2000 + 0.7 * WINDOW / 5 * A_TICK + waits


def test_labels_0_where_there_were_clicks_are_a_jump(traffic: Traffic) -> None:
    traffic.rate = 1.0  # each is labelled, and with a 0
    assert traffic.run(100, label=0)
    assert traffic.reason is not None
    assert traffic.reason["now"] < 0.02


@pytest.mark.sampled(1)
def test_labels_that_could_not_be_journalled_do_not_count_twice(traffic: Traffic) -> None:
    assert not traffic.run(10, labels=False)
    delivered = traffic.deliver()
    if delivered.references is not None and len(delivered.batch):
        for _ in range(20):
            traffic.breaker.take_back([delivered.references])
            admitted = traffic.breaker.admit(delivered.batch, delivered.references)
            assert admitted == (len(delivered.batch), None)
    assert not traffic.run(50)


@pytest.mark.parametrize("negatives", ["at_once"], indirect=True)
def test_clicks_that_are_learned_again_after_a_promotion_do_not_count_twice(traffic: Traffic) -> None:
    traffic.rate = 0.12  # no jump, but that counted twice it would be one
    assert not traffic.run(WINDOW)
    clicked = traffic.clicked
    traffic.promote()
    assert not traffic.run(2 * WINDOW)
    assert traffic.clicked - clicked > WINDOW * A_TICK * 0.12, (
        "those whose windows were open are learned again"
    )


def test_after_a_discard_the_usual_rate_is_that_of_before(traffic: Traffic) -> None:
    traffic.rate = 0.4
    for _ in range(2):
        assert traffic.run(50)
        clicked = traffic.clicked
        traffic.reason = None
        traffic.breaker.forget("click_rate")
        assert traffic.run(50)
        assert traffic.clicked - clicked <= 2500
        assert traffic.reason is not None
        assert traffic.reason["before"] == pytest.approx(0.05, abs=0.01)
        traffic.reason = None
        traffic.breaker.forget("click_rate")
