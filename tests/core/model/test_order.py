"""A short run of one label, whatever the rows are, moves the default model hardly further than Vowpal Wabbit.

A part of the table of `bench/order.md`, small enough for every day.
"""

import numpy as np
import pytest

from core.scenarios import Stream
from nonzero import Batch, LogisticRegression

BEFORE, AFTER = 13_000, 1000
LENGTHS = (80, 200, 500)
ALLOWED = 0.1
"""Log-odds."""

FIELDS = (2, 7, 24, 60, 100, 300, 1000, 3000, 8000)
STREAMS = {"23 % clicks": (5, -1.1), "2 % clicks": (6, -5.4)}
"""The seed, and the intercept that makes so many of the examples clicks."""

VOWPAL = {
    ("23 % clicks", 0): (-0.202, -0.445, -0.934),
    ("23 % clicks", 1): (0.516, 1.153, 2.116),
    ("2 % clicks", 0): (-0.052, -0.123, -0.289),
    ("2 % clicks", 1): (2.103, 3.888, 5.543),
}
"""How far such runs move the mean prediction of Vowpal Wabbit 9.11, in log-odds: `bench.vowpal.moves`."""


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", STREAMS)
def test_a_run_of_one_label_moves_predictions_no_further_than_vowpal_wabbits(name: str, label: int) -> None:
    seed, intercept = STREAMS[name]
    batch = Stream(seed, FIELDS, intercept=intercept).batch(BEFORE + LENGTHS[-1] + AFTER)
    run = Batch(batch.indptr, batch.indices, None, np.full(len(batch), label), None, batch.fields)
    rest = batch.rows(BEFORE + LENGTHS[-1], len(batch))
    model = LogisticRegression(bits=14)
    model.learn(batch.rows(0, BEFORE))
    before, learned, moves = float(model.predict(rest).mean()), 0, []
    assert before == pytest.approx(rest.labels.mean(), rel=0.2)
    for length in LENGTHS:
        model.learn(run.rows(BEFORE + learned, BEFORE + length))
        learned = length
        moves.append(log_odds(float(model.predict(rest).mean())) - log_odds(before))
    sign = 1 if label else -1
    farthest = sign * np.array(VOWPAL[name, label]) + ALLOWED
    assert (sign * np.array(moves) <= farthest).all(), moves
    assert (np.diff([0.0, *moves]) * sign > 0).all(), "the model learns the run, as it must"
