"""A champion and a challenger that learn a simulated log side by side, and who looks at their comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from bench.challenger_logs import FIELDS, PAIRS, STREAMS, Array, Log, differences, expected, steady

from nonzero import Batch, LogisticRegression
from nonzero.fields.hashing import field_of
from nonzero.statistics.comparison import Comparison

AT_ONCE: Final = 250
A_LOOK: Final = 1000


def products(*pairs: tuple[str, str]) -> list[str]:
    return ["*".join(pair) for pair in pairs]


@dataclass(frozen=True)
class Challenger:
    """How a challenger differs from the champion, which has 2^14 slots and no interactions."""

    settings: dict[str, Any]
    bits: int = 14
    salted: bool = False
    """Whether its features have other hashes, and so other collisions."""
    without: tuple[str, str] = ("", "")
    """A field that the champion does not see, and one that the challenger does not."""


TRUE: Final = Challenger({"interactions": products(*PAIRS)})
NOTHING_TO_WIN: Final = {
    "a product of two fields that do nothing": Challenger({"interactions": products(("shade", "font"))}),
    "a product of a field that does and one that does not": Challenger(
        {"interactions": products(("site", "font"))}
    ),
    "each with a useless field of its own": Challenger({}, without=("shade", "font")),
    "the same with other collisions, in 2^8 slots": Challenger({}, bits=8, salted=True),
}


def batch_of(log: Log, salt: int, without: str) -> Batch:
    """Return the log with features hashed as a salt has it, without one field."""
    n, names = len(log.labels), [name for name in log.values if name != without]
    hashes = np.random.default_rng(salt).integers(0, 2**31, (len(names), max(FIELDS.values())))
    indices = np.stack([hashes[j][log.values[name]] for j, name in enumerate(names)], 1)
    fields = np.tile([field_of(name) for name in names], n)
    starts = np.arange(0, n * len(names) + 1, len(names))
    return Batch(starts, indices.ravel(), None, log.labels, log.weights, fields)


def taken(batch: Batch, rows: Array, labels: Array | None = None, weights: Array | None = None) -> Batch:
    """Return some rows of a batch, all of which are as long, with labels and weights of their own."""
    assert batch.fields is not None
    columns = batch.indices.size // len(batch)
    starts = np.arange(0, rows.size * columns + 1, columns)
    indices, fields = (x.reshape(-1, columns)[rows].ravel() for x in (batch.indices, batch.fields))
    return Batch(starts, indices, None, labels, weights, fields)


class Run(NamedTuple):
    """What was seen at the looks of one run."""

    better: int | None
    """After how many examples the challenger was first called better."""
    worse: int | None
    wrong: bool
    """Whether it ever was called better or worse when it was to be expected to be no such thing."""
    missed: bool
    """Whether the interval ever was beside what was to be expected."""
    naive: int | None
    """When an interval that holds at one length first called the challenger better."""
    naive_wrong: bool
    naive_missed: bool
    difference: float
    """What the mean difference was to be expected to be in the end, in nats an example."""
    share: float
    """By what share of its loss the challenger was to be expected to be better, in all."""


class Looks:
    """A comparison, and what somebody sees who looks at it after every thousand examples."""

    def __init__(self) -> None:
        self.comparison, self._naive = Comparison(), Naive()
        self._found: dict[str, int] = {}
        self._wrong = self._missed = self._naive_wrong = self._naive_missed = False
        self._expected, self._next = 0.0, A_LOOK

    def add(self, labels: Array, weights: Array, ours: Array, theirs: Array, sum_expected: float) -> None:
        """Add some examples, and what the sum of their weighted differences was to be expected to be."""
        self.comparison.add(labels, weights, ours, theirs)
        click, none = differences(ours, theirs)
        self._naive.add(weights * np.where(labels > 0, click, none))
        self._expected += sum_expected
        if self.comparison.examples >= self._next:
            self._next += A_LOOK
            self._look()

    def _look(self) -> None:
        at, truth = self.comparison.examples, self._expected / self.comparison.weight
        interval, verdict = self.comparison.interval(), self.comparison.verdict()
        assert interval.low is not None
        assert interval.high is not None
        self._missed |= not interval.low <= truth <= interval.high
        self._wrong |= truth >= 0 if verdict == "better" else verdict == "worse" and truth <= 0
        self._found.setdefault(verdict, at)
        low, high = self._naive.interval()
        self._naive_missed |= not low <= self._expected <= high
        self._naive_wrong |= truth >= 0 if high < 0 else low > 0 >= truth
        if high < 0:
            self._found.setdefault("naive", at)

    def seen(self) -> Run:
        loss = self.comparison.log_losses[0] or 1.0
        return Run(
            self._found.get("better"),
            self._found.get("worse"),
            self._wrong,
            self._missed,
            self._found.get("naive"),
            self._naive_wrong,
            self._naive_missed,
            self._expected / self.comparison.weight,
            -self._expected / self.comparison.weight / loss,
        )


class Naive:
    """An interval of 95 % of a sum, which would hold if somebody looked once, at a time chosen before."""

    def __init__(self) -> None:
        self._examples, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, values: Array) -> None:
        self._examples += values.size
        self._sum += float(values.sum())
        self._squares += float((values**2).sum())

    def interval(self) -> tuple[float, float]:
        half = 1.96 * (self._squares - self._sum**2 / self._examples) ** 0.5
        return self._sum - half, self._sum + half


def models_of(challenger: Challenger, log: Log, seed: int) -> list[tuple[LogisticRegression, Batch]]:
    """Return both models, each with the log as it reads it."""
    salts = (2 * seed, 2 * seed + challenger.salted)
    settings: tuple[dict[str, Any], ...] = ({}, challenger.settings)
    return [
        (LogisticRegression(challenger.bits, **own), batch_of(log, salt, name))
        for own, salt, name in zip(settings, salts, challenger.without, strict=True)
    ]


def run(stream: str, challenger: Challenger, n: int, strength: float, seed: int) -> Run:
    """Have both learn a log of its own; each call is predicted by both before either learns from it."""
    make, rate = STREAMS[stream]
    log, looks = make(np.random.default_rng(seed), n, rate, strength), Looks()
    pair = models_of(challenger, log, seed)
    for start in range(0, n, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        ours, theirs = (model.learn(batch.rows(rows.start, rows.stop)) for model, batch in pair)
        truth = float(expected(log, rows, ours, theirs).sum())
        looks.add(log.labels[rows], log.weights[rows], ours, theirs, truth)
    return looks.seen()


def run_late(rate: float, challenger: Challenger, n: int, strength: float, seed: int) -> tuple[Run, float]:
    """Do so where clicks come late, as the service's first policy has it.

    Every impression is learned as a negative at once. A click comes after 5,000 impressions on average, and
    weighs 1 / (1 - p), of the p that the champion answered. Nobody is told of a click that does not come, but
    it is as likely as ever to come when its time is there: that is what was to be expected.

    Returns
    -------
    Run, float
        The run, and by how much less the challenger was to be expected to lose an impression, with its label
        known.
    """
    rng = np.random.default_rng(seed)
    log, looks = steady(rng, n, rate, strength), Looks()
    pair = models_of(challenger, log, seed)
    times = np.arange(n) + rng.exponential(5000, n)
    order = np.argsort(times)
    answered, done, truly = np.zeros(n), 0, 0.0
    for start in range(0, n, AT_ONCE):
        due = int(np.searchsorted(times, start, sorter=order))
        late, new = order[done:due], np.arange(start, start + AT_ONCE)
        rows, clicks = np.concatenate((late, new)), np.repeat([1, 0], [late.size, new.size])
        ours, theirs = (model.predict(taken(batch, rows)) for model, batch in pair)
        answered[new] = ours[late.size :]
        weights = np.where(clicks, 1 / (1 - np.minimum(answered[rows], 0.9)), 1).astype(np.float32)
        click, none = differences(ours, theirs)
        truth = np.where(clicks, log.chances[rows] * click, none) * weights
        told = np.flatnonzero((clicks == 0) | (log.labels[rows] > 0))
        labels = clicks[told].astype(np.float32)
        looks.add(labels, weights[told], ours[told], theirs[told], float(truth.sum()))
        at = slice(start, start + AT_ONCE)
        truly += float(expected(log, at, ours[late.size :], theirs[late.size :]).sum())
        for model, batch in pair:
            model.learn(taken(batch, rows[told], labels, weights[told]))
        done = due
    return looks.seen(), truly / n
