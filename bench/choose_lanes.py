"""Choose the default lanes: every lane of a grid on every click log, then the best eight by exchange.

    python -m bench.choose_lanes            the grid, and the choice from it; takes hours
    python -m bench.choose_lanes --check    the default model beside the best of Vowpal Wabbit's settings

The lanes do not touch each other, so each lane's probabilities are computed once a log; mixing any eight is
then cheap. A choice is scored by its log loss relative to the best of Vowpal Wabbit's 18 settings, over all
logs; being more than 0.1 % above on any of them weighs 20 times as much. ``lanes.md`` holds the table.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
from bench import click_logs, vowpal

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.model.lanes import DEFAULT_LANES

BITS = 22
RATES = (0.02, 0.05, 0.1, 0.15, 0.3, 0.6, 1.2, 3.0)
SHRINKING = [
    *(AdaGrad(rate, epsilon) for rate, epsilon in product(RATES, (1.0, 0.1, 3e-3, 1e-5))),
    *(AdaGrad(rate, 10.0) for rate in (0.1, 0.3, 1.0)),
    *(AdaGrad(rate, 100.0) for rate in (0.3, 1.0, 3.0)),
]
SLOW = [AdaGrad(*lane, 0.9995) for lane in product((0.05, 0.1, 0.15, 0.3, 0.6), (10.0, 1.0, 0.1, 1e-5))]
QUICK = [AdaGrad(*lane) for lane in product((0.05, 0.1, 0.15, 0.3), (1.0, 0.1), (0.995, 0.97))]
POOLS = [SHRINKING] * 6 + [SLOW, QUICK]
Array = np.ndarray[Any, Any]


def probabilities(batch: Batch, lanes: list[AdaGrad]) -> Array:
    """Return float32[n, lanes]: each lane's probabilities, the values scaled as in the default model."""
    return np.stack([LogisticRegression(BITS, lane, scaled=True).learn(batch) for lane in lanes], axis=1)


def mixture_loss(chances: Array, labels: Array) -> float:
    """Return the mean log loss of the lanes' mixture: see :mod:`nonzero.kernels.mixture`."""
    likelihoods = np.where(labels[:, None] > 0, chances, 1 - chances).astype(float).clip(1e-22)
    shares, total = np.full(chances.shape[1], 1 / chances.shape[1]), 0.0
    for t, likelihood in enumerate(likelihoods, 1):
        mixed = shares @ likelihood
        total -= np.log(mixed)
        alpha = 1 / (t + 1)
        shares = shares * likelihood / mixed * (1 - alpha) + alpha / shares.size
    return total / labels.size


def choose() -> None:
    """Exchange one lane after another as long as the score falls."""
    grid = SHRINKING + SLOW + QUICK
    logs = dict(click_logs.at_hand(click_logs.LOGS | click_logs.readers(click_logs.CHOOSE)))
    rivals = {name: vowpal.best(batch)[1] for name, batch in logs.items()}
    chances = {name: probabilities(batch, grid) for name, batch in logs.items()}

    def score(lanes: list[AdaGrad]) -> float:
        columns = [grid.index(lane) for lane in lanes]
        above = np.array(
            [mixture_loss(chances[name][:, columns], logs[name].labels) / rivals[name] - 1 for name in logs]
        )
        return float(np.maximum(above, -0.004).sum() + 20 * np.maximum(above - 0.001, 0).sum())

    lanes = list(DEFAULT_LANES)
    best = score(lanes)
    for _ in range(2):
        for place, pool in enumerate(POOLS):
            for lane in pool:
                tried = [*lanes[:place], lane, *lanes[place + 1 :]]
                if lane not in lanes and (reached := score(tried)) < best:
                    best, lanes = reached, tried
            print(f"{best:.5f}", *lanes, sep="\n    ", flush=True)


def check() -> None:
    """Print the tables of ``lanes.md``."""
    chosen_by, aside = (click_logs.readers(names) for names in (click_logs.CHOOSE, click_logs.ASIDE))
    for logs in (click_logs.LOGS, chosen_by, aside):
        print("\n| log | rows | clicks | best of 18 settings | its loss | Nonzero | difference |")
        print("|---|---|---|---|---|---|---|")
        for name, batch in click_logs.at_hand(logs):
            setting, rival = vowpal.best(batch)
            model = LogisticRegression(BITS, DEFAULT_LANES, scaled=True)
            model.learn(batch)
            ours = model.metrics()["log_loss"]
            print(
                f"| {name} | {len(batch):,} | {batch.labels.mean():.2%} | `{setting}` | {rival:.5f} "
                f"| {ours:.5f} | {ours / rival - 1:+.2%} |",
                flush=True,
            )


if __name__ == "__main__":
    check() if "--check" in sys.argv else choose()
