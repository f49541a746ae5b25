"""``python -m bench.order``: how far a run of one label moves the model, and how soon it follows a change.

**Runs.** A log is learned up to some row. Then come 20 to 500 rows which are all said to be 0, or all 1,
whatever they are: an outage of the labels, an export that ends with the negatives, clicks in bulk. The mean
prediction on 1,000 further rows is taken before the run and after it, by the default model and by Vowpal
Wabbit's default. A cell is one log, one row, one label and one length. It holds where the model moves at most
as far, in log-odds, as Vowpal Wabbit, and 0.1.

**Changes.** The tastes of a stream, or some of them, are drawn anew, late in it. Counted are the examples
until the loss is within 2 % of the least possible one: by the model that knew the old tastes, and by a new
one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from bench import vowpal
from bench.click_logs import LOGS, MANY, Array, at_hand, binary, categorical, dense, documents, mixed, zipf

from nonzero import Batch, LogisticRegression

__all__ = ["change_cost", "excess"]

BITS: Final = 22
LENGTHS: Final = (20, 50, 80, 120, 200, 300, 500)
AFTER: Final = 1000
ALLOWED: Final = 0.1
"""Log-odds by which a run may move the model further than Vowpal Wabbit."""
ROWS: Final = 101_500
HELD_ROWS: Final = 51_500

Suite = dict[str, tuple[Callable[[], Batch], tuple[int, ...]]]
"""Of each log what reads it, and after how many of its rows the runs begin."""

FIRST: Final[Suite] = {
    "9 fields, 0.2 %": (lambda: categorical(102, ROWS, MANY[:9], 0.002), (2000, 13_000, 100_000)),
    "9 fields, 2 %": (lambda: categorical(120, ROWS, MANY[:9], 0.02), (2000, 13_000, 100_000)),
    "9 fields, 10 %": (lambda: categorical(200, ROWS, MANY[:9], 0.1), (2000, 13_000, 100_000)),
    "9 fields, 24 %": (lambda: categorical(340, ROWS, MANY[:9], 0.24), (2000, 13_000, 100_000)),
    "9 fields, 40 %": (lambda: categorical(500, ROWS, MANY[:9], 0.4), (2000, 13_000, 100_000)),
    "15 of 60 columns, 2 %": (lambda: binary(220, ROWS, 60, 0.25, 0.02), (2000, 13_000, 100_000)),
    "15 of 60 columns, 24 %": (lambda: binary(440, ROWS, 60, 0.25, 0.24), (2000, 13_000, 100_000)),
    "20 real columns, 10 %": (lambda: dense(300, ROWS, 20, 0.1, 1.0, False), (2000, 13_000, 100_000)),
    "a9a": (LOGS["a9a"], (2000, 13_000, 30_000)),
    "criteo_attribution": (LOGS["criteo_attribution"], (2000, 13_000, 100_000)),
}
SECOND: Final[Suite] = {
    "9 other fields, 0.5 %": (
        lambda: categorical(901, HELD_ROWS, MANY[2:11], 0.005, 0.4),
        (3000, 20_000, 50_000),
    ),
    "12 fields, 5 %": (lambda: categorical(902, HELD_ROWS, MANY, 0.05, 0.4), (3000, 20_000, 50_000)),
    "6 fields, 30 %": (lambda: categorical(903, HELD_ROWS, MANY[:6], 0.3, 0.7), (3000, 20_000, 50_000)),
    "24 of 80 columns, 0.2 %": (lambda: binary(904, HELD_ROWS, 80, 0.3, 0.002), (3000, 20_000, 50_000)),
    "14 of 100 columns, 40 %": (lambda: binary(905, HELD_ROWS, 100, 0.14, 0.4), (3000, 20_000, 50_000)),
    "10 fields and 6 columns, 10 %": (lambda: mixed(906, HELD_ROWS, 0.1), (3000, 20_000, 50_000)),
    "75 words, 24 %": (lambda: documents(907, 21_500, 20_000, 0.24), (3000, 20_000)),
}


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def moves(batch: Batch, model: LogisticRegression, before: int, label: int) -> tuple[float, list[float]]:
    """Return the same as :func:`bench.vowpal.moves` of a model that has learned the rows before."""
    last = before + LENGTHS[-1]
    run, rest = batch.rows(before, last), batch.rows(last, last + AFTER)
    run = replace(run, labels=np.full(len(run), label, np.float32))
    copy = LogisticRegression(BITS)
    copy.copy_from(model)
    still, moved, learned = float(copy.predict(rest).mean()), [], 0
    for length in LENGTHS:
        copy.learn(run.rows(learned, length))
        learned = length
        moved.append(float(copy.predict(rest).mean()))
    return still, moved


def excess(
    ours: tuple[float, Sequence[float]], theirs: tuple[float, Sequence[float]], label: int
) -> list[float]:
    """Return by how many log-odds each run moved us further than Vowpal Wabbit, and the 0.1 allowed."""
    sign = 1 if label else -1
    (still, moved), (their_still, their_moved) = ours, theirs
    return [
        sign * (log_odds(p) - log_odds(still))
        - max(sign * (log_odds(q) - log_odds(their_still)), 0.0)
        - ALLOWED
        for p, q in zip(moved, their_moved, strict=True)
    ]


def suite_rows(suite: Suite) -> Iterator[tuple[str, list[float]]]:
    """Give each row of a suite's table, and what its cells exceed by."""
    for name, batch in at_hand({name: read for name, (read, _) in suite.items()}):
        model, learned, text = LogisticRegression(BITS), 0, list(vowpal.lines(batch))
        for before in suite[name][1]:
            model.learn(batch.rows(learned, before))
            learned = before
            worst, cells = [], []
            for label in (0, 1):
                theirs = vowpal.moves(text, before, label, LENGTHS, AFTER)
                cells += (found := excess(moves(batch, model, before, label), theirs, label))
                longest = LENGTHS[int(np.argmax(found))]
                worst.append(f"{max(found):+.2f} ({longest})")
            over = sum(cell > 0 for cell in cells)
            yield f"| {name} | {before:,} | {' | '.join(worst)} | {over} of {len(cells)} |", cells


def print_suite(suite: Suite) -> None:
    """Print the table of a suite, and how many of its cells are over."""
    print("| log | rows before | run of 0, worst (length) | run of 1, worst (length) | over |")
    print("|---|---|---|---|---|")
    cells = []
    for text, found in suite_rows(suite):
        print(text, flush=True)
        cells += found
    print(f"\n{sum(cell > 0 for cell in cells)} of {len(cells)} cells over, the worst by {max(cells):+.2f}\n")


class Tastes:
    """A stream of impressions with a value of each field, whose chances are known; tastes can change."""

    def __init__(self, seed: int, cardinalities: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.tastes = [self.rng.normal(0, 0.5, cardinality) for cardinality in cardinalities]

    def change(self, share: float) -> None:
        """Draw a share of all tastes anew."""
        for taste in self.tastes:
            taste[:] = np.where(
                self.rng.random(taste.size) < share, self.rng.normal(0, 0.5, taste.size), taste
            )

    def draw(self, n: int) -> tuple[Batch, Array]:
        """Return impressions, about a fifth of them clicks, and the chances of a click."""
        margin, indices, offset = np.full(n, -1.7), [], 0
        for taste in self.tastes:
            values = zipf(self.rng, n, taste.size, 1.05)
            margin += taste[values]
            indices.append(values + offset)
            offset += taste.size
        chances, k = 1 / (1 + np.exp(-margin)), len(indices)
        labels = self.rng.random(n) < chances
        return Batch(np.arange(0, n * k + 1, k), np.stack(indices, 1).ravel(), None, labels), chances


TWELVE_FIELDS: Final = (4, 8, 12, 24, 40, 60, 100, 150, 200, 300, 500, 1000)
FEW_VALUES: Final = (10, 20, 30, 40) * 3
CHANGES: Final = [
    *((TWELVE_FIELDS, 700_000, share, seed) for share in (1.0, 0.5, 0.1) for seed in (100, 101)),
    *((TWELVE_FIELDS, 1_000_000, share, 100) for share in (1.0, 0.1)),
    *((FEW_VALUES, 300_000, share, 100) for share in (1.0, 0.5)),
]
"""The fields' numbers of values, the examples before, the share of tastes that change, the seed."""
PART: Final = 5000
MOST: Final = 400_000


def loss(chances: Array, predicted: Array) -> float:
    """Return the expected log loss of predictions."""
    p = predicted.astype(float).clip(1e-9, 1 - 1e-9)
    return float(-(chances * np.log(p) + (1 - chances) * np.log(1 - p)).mean())


def change_cost(
    cardinalities: Sequence[int], before: int, share: float, seed: int
) -> tuple[list[int | None], int]:
    """Return how many examples the old model and a new one took to be within 2 %, and restarts before that.

    A part of the stream is within 2 % where the loss of what was predicted of it is.
    """
    stream, old, new = Tastes(seed, cardinalities), LogisticRegression(12), LogisticRegression(12)
    for _ in range(before // 100_000):
        old.learn(stream.draw(100_000)[0])
    false_restarts = old.restarts
    stream.change(share)
    back: list[int | None] = [None, None]
    for learned in range(PART, MOST + 1, PART):
        batch, chances = stream.draw(PART)
        for k, model in enumerate((old, new)):
            within = loss(chances, model.learn(batch)) <= 1.02 * loss(chances, chances)
            if within and back[k] is None:
                back[k] = learned
        if None not in back:
            break
    return back, false_restarts


def print_changes() -> None:
    print("| fields | examples before | tastes that change | until within 2 % | a new model | ratio |")
    print("|---|---|---|---|---|---|")
    for cardinalities, before, share, seed in CHANGES:
        (old, new), false_restarts = change_cost(cardinalities, before, share, seed)
        ratio = f"{old / new:.2f}" if old and new else f"not within {MOST:,}"
        if false_restarts:
            ratio += f"; {false_restarts} restarts before the change"
        largest = f"{len(cardinalities)}, of {min(cardinalities)} to {max(cardinalities):,} values"
        print(
            f"| {largest} | {before:,} | {share:.0%} | {old or MOST:,} | {new or MOST:,} | {ratio} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.order", description=__doc__)
    parser.parse_args()
    print_suite(FIRST)
    print_suite(SECOND)
    print_changes()


if __name__ == "__main__":
    main()
