"""``python -m bench.late_labels``: how the ways of learning late labels predict, on simulated traffic.

A stream of impressions is predicted one after another. Each click comes after a delay, and is learned in one
of the ways below; what has not been clicked is known to nobody before its window ends. Time is in windows.
Every way has the default model, and learns what came since, in the order of the events, after every 25
impressions.

A cell of the first table of cases has the least and the largest ratio of summed predictions to summed truth
in a thousand impressions, from three mean delays on. Behind it, if there are any: how many thousands lie
outside 0.8 to 1.25, or outside three Poisson errors of the clicks that have arrived where that is wider; and,
after an exclamation mark, how many lie above 1.5, or above that, after the first thousand impressions and
thirty clicks. Of an outage, what is before it and more than a window after it counts there; a table of its
own has what it does meanwhile.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import Pool
from typing import Any, Final

import numpy as np
from bench.click_logs import intercept_of, zipf

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.gate import Gate

Array = np.ndarray[Any, Any]

WINDOWS: Final = 2.5
"""How long a stream is."""
AT_ONCE: Final = 25
"""How many impressions are predicted before the model is asked for again."""
A_CALL: Final = 200
"""How many labels of a bulk come in one request at most."""
MOST: Final = 0.9
"""What is taken for an answered prediction at most, where a click is weighed by it."""
FIELDS: Final = [2, 7, 24, 60, 100, 300, 1000, 3000]
IMPRESSIONS: Final = {0.002: 150_000, 0.02: 60_000, 0.3: 60_000}
OUTAGE: Final = (1.2, 1.7)
TRAFFIC: Final[dict[str, Callable[[Array], Array]]] = {
    "doubling every window": lambda t: 2.0**t,
    "halving every window": lambda t: 2.0**-t,
    "a day's curve, ten to one": lambda t: np.exp(1.15 * np.sin(2 * np.pi * t)),
}
BULKS: Final = {"in 50 bulks a window": 1 / 50, "in 6 bulks a window": 1 / 6}
KINDS: Final = ["steady", *TRAFFIC, "an outage of half a window", *BULKS]


def conversions(rng: np.random.Generator, n: int) -> Array:
    """Draw delays of conversions as Chapelle 2014 tells of them: 35 % within an hour, half within a day, 87 %
    within two weeks, all within 30 days, which are the window; log-linear in between, from a minute on."""
    shares, hours = [0, 0.35, 0.5, 0.87, 1], np.array([1 / 60, 1, 24, 14 * 24, 30 * 24])
    delays: Array = np.exp(np.interp(rng.random(n), shares, np.log(hours))) / (30 * 24)
    return delays


DELAYS: Final[dict[str, Callable[[np.random.Generator, int], Array]]] = {
    "exponential": lambda rng, n: rng.exponential(1 / 6, n),
    "log-normal, sigma 2": lambda rng, n: np.exp(2 * rng.normal(size=n) - 2) / 6,
    "80 % fast, 20 % slow": lambda rng, n: np.where(
        rng.random(n) < 0.8, rng.exponential(0.01, n), rng.exponential(0.8, n)
    ),
    "conversions": conversions,
}
"""Mean delays of a sixth of a window; some of the second and third come after their window."""


class Stream:
    """Impressions in order, with the truth, and the clicks in the order in which they come."""

    def __init__(self, kind: str, rate: float, law: str, seed: int) -> None:
        rng, n = np.random.default_rng(seed), IMPRESSIONS[rate]
        columns, margin, offset = [], np.zeros(n), 0
        for size in FIELDS:
            values = zipf(rng, n, size)
            margin += rng.normal(0, 0.4, size)[values]
            columns.append(values + offset)
            offset += size
        self.indices = np.stack(columns, 1).astype(np.uint32)
        self.truth = _sigmoid(margin + intercept_of(margin, rate))
        clicked = rng.random(n) < self.truth
        self.times = _times(TRAFFIC.get(kind, np.ones_like), n)
        delays = DELAYS[law](rng, n)
        self.mean_delay = float(DELAYS[law](np.random.default_rng(0), 1_000_000).mean())
        happened = self.times + delays
        comes = happened
        if "outage" in kind:
            comes = np.where((happened >= OUTAGE[0]) & (happened < OUTAGE[1]), OUTAGE[1], happened)
        elif kind in BULKS:
            comes = np.ceil(happened / BULKS[kind]) * BULKS[kind]
            self.mean_delay += BULKS[kind] / 2
        rows = np.flatnonzero(clicked & (comes < WINDOWS))
        self.clicks = rows[np.lexsort((happened[rows], comes[rows]))]
        self.arrivals = comes[self.clicks]
        self.labels = clicked
        self.counted = np.ones(n, bool)
        if "outage" in kind:
            self.counted = (self.times < OUTAGE[0]) | (self.times > OUTAGE[1] + 1)

    def __len__(self) -> int:
        return self.times.size


def _sigmoid(margin: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-margin)))


def _times(rate: Callable[[Array], Array], n: int) -> Array:
    grid = np.linspace(0, WINDOWS, 20_001)
    passed = np.concatenate(([0], np.cumsum(rate(grid[:-1]))))
    return np.interp((np.arange(n) + 0.5) / n, passed / passed[-1], grid)


class Way:
    """A way of learning: what is done when an impression is predicted, and when labels come."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.model = stream, LogisticRegression(16)
        self.answered = np.zeros(len(stream))
        self.end = 0
        """One past the newest impression."""
        self.now = 0.0
        self.most_waiting = 0

    def _rows(self, rows: Array, labels: Array | None = None, weights: Array | None = None) -> Batch:
        indptr = np.arange(0, rows.size * len(FIELDS) + 1, len(FIELDS))
        return Batch(indptr, self.stream.indices[rows].ravel(), labels=labels, weights=weights)

    def learn(self, rows: Array, labels: Array | float, weights: Array | float = 1.0) -> None:
        if rows.size:
            shape = np.ones(rows.size, np.float32)
            self.model.learn(self._rows(rows, shape * labels, shape * weights))

    def predicted(self, rows: Array) -> Array:
        return self.model.predict(self._rows(rows)).astype(float)

    def served(self, rows: Array) -> Array:
        return self.predicted(rows)

    def impressions(self, rows: Array) -> None:
        """Take impressions that were just predicted."""

    def clicks(self, rows: Array) -> None:
        """Take the labels of one request."""
        raise NotImplementedError

    def advance(self) -> None:
        """Learn what time alone makes due."""

    def run(self) -> None:
        """Predict and learn the whole stream."""
        stream, done = self.stream, 0
        for start in range(0, len(stream), AT_ONCE):
            rows = np.arange(start, min(start + AT_ONCE, len(stream)))
            self.answered[rows] = np.clip(self.served(rows), 1e-7, 1 - 1e-7)
            self.end = int(rows[-1]) + 1
            self.now = now = float(stream.times[rows[-1]])
            self.impressions(rows)
            while done < stream.clicks.size and stream.arrivals[done] <= now:
                alike = int(np.searchsorted(stream.arrivals, stream.arrivals[done], "right"))
                stop = min(alike, done + A_CALL)
                self.now = float(stream.arrivals[done])
                self.clicks(stream.clicks[done:stop])
                done = stop
            self.now = now
            self.advance()

    def correction(self, rows: Array) -> Array:
        """Return the weight of a click whose negative was learned."""
        return np.asarray(1 / (1 - np.minimum(self.answered[rows], MOST)))


class NoDelay(Way):
    """The label is known at once: what no way can be better than, but by chance."""

    def impressions(self, rows: Array) -> None:
        self.learn(rows, self.stream.labels[rows])

    def clicks(self, rows: Array) -> None:
        pass


class AtOnce(Way):
    """A negative of weight 1 at once, a click of 1 / (1 - p)."""

    def impressions(self, rows: Array) -> None:
        self.learn(rows, 0)

    def clicks(self, rows: Array) -> None:
        self.learn(rows, 1, self.correction(rows))


class FakeNegativeWeighted(AtOnce):
    """Ktena et al. 2019, FNW: a negative weighs (1 - p)(1 + p), a click 1 + p."""

    def impressions(self, rows: Array) -> None:
        self.learn(rows, 0, 1 - self.answered[rows] ** 2)

    def correction(self, rows: Array) -> Array:
        return 1 + self.answered[rows]


class FakeNegativeCalibrated(AtOnce):
    """Ktena et al. 2019, FNC: both weigh 1, and what is served is b / (1 - b)."""

    def served(self, rows: Array) -> Array:
        biased = np.minimum(self.predicted(rows), 0.499)
        return np.asarray(biased / (1 - biased))

    def correction(self, rows: Array) -> Array:
        return np.ones(rows.size)


class Waiting(Way):
    """Impressions are learned in their order when they have waited, with the label that is known by then."""

    wait = 1.0
    clicks_wait = True

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.next, self.clicked = 0, np.zeros(len(stream), bool)

    def clicks(self, rows: Array) -> None:
        self.clicked[rows] = True
        known = rows[rows < self.next] if self.clicks_wait else rows
        self.learn(known, 1, np.where(known < self.next, self.correction(known), 1))

    def advance(self) -> None:
        due = min(self.end, int(np.searchsorted(self.stream.times, self.now - self.wait, "right")))
        rows = np.arange(self.next, max(due, self.next))
        self.next = max(due, self.next)
        self.turn(rows if self.clicks_wait else rows[~self.clicked[rows]])

    def turn(self, rows: Array) -> None:
        self.learn(rows, self.clicked[rows])


class ClicksFirst(Waiting):
    """Clicks when they come, negatives when the window ends."""

    clicks_wait = False


class ElapsedTime(Waiting):
    """Elapsed-time sampling, after Yang et al. 2021: learned after a quarter of a window, then corrected."""

    wait = 0.25


class DelayModel(Waiting):
    """Chapelle 2014, on line: delays are exponential. Learned after the mean delay so far; what is not
    clicked by then is a click with the chance that it still is one."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.wait, self.delays, self.count = 0.0, 0.0, 0

    def clicks(self, rows: Array) -> None:
        self.clicked[rows] = True
        self.delays += float((self.now - self.stream.times[rows]).sum())
        self.count += rows.size
        self.wait = min(self.delays / self.count, 1.0)

    def turn(self, rows: Array) -> None:
        if not rows.size:
            return
        still, p = np.exp(-1.0) if self.count else 0.0, self.predicted(rows)
        chance = np.where(self.clicked[rows], 1, p * still / (1 - p * (1 - still)))
        both, weights = np.repeat(rows, 2), np.stack([chance, 1 - chance], 1).ravel()
        kept = weights > 0
        self.learn(both[kept], np.tile([1, 0], rows.size)[kept], weights[kept])


class Matched(Way):
    """A negative waits as long as a click does: by a delay drawn from those of the last clicks."""

    remembered = 1000

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.drawn = np.random.default_rng(5).random(len(stream))
        self.pending, self.delays = np.zeros(0, int), np.zeros(0)

    def impressions(self, rows: Array) -> None:
        self.pending = np.concatenate((self.pending, rows))

    def clicks(self, rows: Array) -> None:
        found = np.concatenate((self.delays, self.now - self.stream.times[rows]))
        self.delays = found[-self.remembered :]
        self.advance()
        self.learn(rows, 1, self.correction(rows))

    def advance(self) -> None:
        ages = self.now - self.stream.times[self.pending]
        known = np.sort(self.delays)
        passed = np.searchsorted(known, ages, "right") / known.size if known.size else np.ones(ages.size)
        due = (passed >= self.drawn[self.pending]) | (ages >= 1)
        rows, self.pending = self.pending[due], self.pending[~due]
        self.learn(rows, 0)


class Paced(Way):
    """At once as long as the clicks keep pace; else in order, and among the clicks: by the service's gate.

    `thinning` is the chance with which a negative is learned after the first 10,000 impressions.
    """

    thinning = 1.0

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.gate, self.next = Gate(), 0
        self.clicked = np.zeros(len(stream), bool)
        chosen = np.random.default_rng(6).random(len(stream)) < self.thinning
        self.kept = chosen | (np.arange(len(stream)) < 10_000)
        self.scarce = np.where(np.arange(len(stream)) < 10_000, 1.0, 1 / self.thinning)

    def correction(self, rows: Array) -> Array:
        p = np.minimum(self.answered[rows], MOST)
        return np.where(self.kept[rows], 1 + p / (1 - p) * self.scarce[rows], 1.0)

    def clicks(self, rows: Array) -> None:
        self.gate.note_clicked(rows)
        self.clicked[rows] = True
        self._drain(rows[rows < self.next])

    def advance(self) -> None:
        self._drain(np.zeros(0, int))

    def _drain(self, late: Array) -> None:
        """Learn corrections and impressions in turn, as the gate says."""
        ended = int(np.searchsorted(self.stream.times, self.now - 1, "right"))
        waiting = np.arange(self.next, self.end)
        clicked = self.clicked[waiting].astype(np.uint8)
        corrects = self.gate.drain(waiting, clicked, max(ended - self.next, 0), late.size)
        rows = np.empty(corrects.size, int)
        taken = rows.size - late.size
        rows[corrects], rows[~corrects] = late, waiting[:taken]
        self.next += taken
        came = self.clicked[rows]
        weights = np.where(corrects, self.correction(rows), np.where(came, 1, self.scarce[rows]))
        kept = self.kept[rows] | came
        self.learn(rows[kept], came[kept], weights[kept])
        self.most_waiting = max(self.most_waiting, self.end - self.next)


class Thinned(Paced):
    """A tenth of the negatives, of weight 10 each."""

    thinning = 0.1


WAYS: Final[dict[str, type[Way]]] = {
    "no delay": NoDelay,
    "paced": Paced,
    "paced, thinned": Thinned,
    "at once": AtOnce,
    "window": Waiting,
    "clicks first": ClicksFirst,
    "FNW": FakeNegativeWeighted,
    "FNC": FakeNegativeCalibrated,
    "elapsed time": ElapsedTime,
    "matched": Matched,
    "delay model": DelayModel,
}


@dataclass(frozen=True)
class Outcome:
    """How one way did on one stream."""

    low: float
    high: float
    outside: int
    blocks: int
    above: int
    worst: float
    """The largest ratio after the first thousand impressions and thirty clicks."""
    loss: float
    """Mean log loss after the first window, by the true chances."""
    meanwhile: tuple[float, float]
    """The least and the largest ratio in an outage and the window after it."""
    waiting: int

    def __str__(self) -> str:
        outside = f", {self.outside} of {self.blocks}" if self.outside else ""
        return f"{self.low:.2f} to {self.high:.2f}{outside}{f' !{self.above}' if self.above else ''}"


def outcome(way: Way) -> Outcome:
    """Judge a way that has run."""
    stream, count = way.stream, len(way.stream) // 1000

    def summed(values: Array) -> Array:
        return np.add.reduceat(values[: count * 1000], np.arange(0, count * 1000, 1000))

    ratios, starts = summed(way.answered) / summed(stream.truth), stream.times[: count * 1000 : 1000]
    arrived = np.searchsorted(stream.arrivals, starts)
    errors = 3 / np.sqrt(np.maximum(arrived, 1))
    counted = stream.counted[: count * 1000 : 1000]
    judged = counted & (starts >= 3 * stream.mean_delay)
    warm = counted & (arrived >= 30) & (np.arange(count) >= 1)
    outside = (ratios < np.minimum(0.8, 1 - errors)) | (ratios > np.maximum(1.25, 1 + errors))
    above = ratios > np.maximum(1.5, 1 + errors)
    losses = -stream.truth * np.log(way.answered) - (1 - stream.truth) * np.log(1 - way.answered)
    during = ratios[~counted] if (~counted).any() else np.zeros(1)
    return Outcome(
        float(ratios[judged].min()),
        float(ratios[judged].max()),
        int((outside & judged).sum()),
        int(judged.sum()),
        int((above & warm).sum()),
        float(ratios[warm].max()) if warm.any() else 0.0,
        float(losses[stream.times >= 1].mean()),
        (float(during.min()), float(during.max())),
        way.most_waiting,
    )


Case = tuple[str, float, str]


def _tried(job: tuple[Case, int, str]) -> Outcome:
    (kind, rate, law), seed, name = job
    way = WAYS[name](Stream(kind, rate, law, seed))
    way.run()
    return outcome(way)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    names = list(head)
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.late_labels", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the streams")
    parser.add_argument("--only", default="", help="ways whose names hold this, beside the first two")
    chosen = parser.parse_args()
    names = [name for place, name in enumerate(WAYS) if place < 2 or chosen.only in name]
    cases = [(kind, rate, law) for rate in IMPRESSIONS for law in DELAYS for kind in KINDS]
    jobs = [(case, chosen.seed, name) for case in cases for name in names]
    with Pool(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(_tried, jobs, chunksize=4), strict=True))

    def of(case: Case, name: str) -> Outcome:
        return found[case, chosen.seed, name]

    def titles(case: Case) -> list[str]:
        kind, rate, law = case
        return [f"{100 * rate:g} %", law, kind]

    def summary(name: str) -> list[str]:
        all_of = [of(case, name) for case in cases]
        excess = np.mean([of(case, name).loss / of(case, "no delay").loss - 1 for case in cases])
        return [
            name,
            f"{sum(one.outside for one in all_of)} of {sum(one.blocks for one in all_of)}",
            f"{sum(one.outside > 0 for one in all_of)} of {len(cases)}",
            str(sum(one.above for one in all_of)),
            f"{max(one.worst for one in all_of):.2f}",
            f"{100 * excess:+.2f} %",
        ]

    _table(
        ["way", "thousands outside", "cases with any", "above 1.5", "worst ratio", "loss over no delay"],
        (summary(name) for name in names),
    )
    _table(
        ["clicks", "delays", "traffic and labels", *names],
        ([*titles(case), *(str(of(case, name)) for name in names)] for case in cases),
    )
    _table(
        ["log loss after the first window", "delays", "traffic and labels", *names],
        ([*titles(case), *(f"{of(case, name).loss:.5f}" for name in names)] for case in cases),
    )
    outages = [case for case in cases if "outage" in case[0]]
    _table(
        ["in an outage and one window after", "delays", *names, "most waiting, paced"],
        (
            [
                *titles(case)[:2],
                *("{:.2f} to {:.2f}".format(*of(case, name).meanwhile) for name in names),
                f"{of(case, 'paced').waiting:,}",
            ]
            for case in outages
        ),
    )


if __name__ == "__main__":
    main()
