"""Sudden changes for the worse: found where a stream has one, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.formats import parse
from nonzero.statistics.shifts import SETTLED, Shift, ShiftDetector
from real_data import unpacked


def rows_of(
    rng: np.random.Generator, rates: NDArray[np.float64], p: NDArray[np.float64]
) -> NDArray[np.float32]:
    y = rng.random(p.size) < rates
    losses = -np.log(np.where(y, p, 1 - p))
    return np.stack([p, losses, y, np.ones(p.size)], axis=1).astype(np.float32)


def found_in(rows: NDArray[np.float32]) -> list[Shift]:
    """Return what a detector finds, and hold it to what has been learned when it is found."""
    detector, size, found = ShiftDetector(), ShiftDetector.size_of(float(rows[:, 2].mean())), []
    for start in range(0, len(rows) - size + 1, size):
        shift = detector.add(rows[start : start + size], start)
        if shift is not None:
            assert shift.examples <= start
            found.append(shift)
    return found


def calm(rng: np.random.Generator, n: int, rate: float = 0.05) -> NDArray[np.float32]:
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + rng.normal(0, 1, n))))
    return rows_of(rng, p, p)


def wrong(rng: np.random.Generator, n: int, rate: float = 0.05) -> NDArray[np.float32]:
    """Return predictions that tell nothing of the clicks."""
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + rng.normal(0, 1, n))))
    return rows_of(rng, rng.permutation(p), p)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.95])
def test_right_predictions_have_no_shift(rate: float) -> None:
    rng = np.random.default_rng(1)
    assert found_in(calm(rng, 2_000_000, rate)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_sudden_change_is_found_where_it_is_and_its_end_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.concatenate([calm(rng, 60_000), wrong(rng, 20_000), calm(rng, 40_000)])
    shift, end = found_in(rows)
    assert not shift.recovered
    assert abs(shift.examples - 60_000) <= 2000
    assert shift.after > shift.before
    assert end.recovered
    assert 78_000 <= end.examples <= 100_000


def test_a_change_that_nobody_mends_is_told_once_and_becomes_usual() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([calm(rng, 40_000), wrong(rng, 1000 * (2 * SETTLED + 100)), calm(rng, 1000)])
    assert [shift.recovered for shift in found_in(rows)] == [False]


def test_a_change_for_the_better_and_one_of_the_click_rate_are_none() -> None:
    rng = np.random.default_rng(0)
    assert found_in(np.concatenate([wrong(rng, 60_000), calm(rng, 60_000)])) == []
    assert found_in(np.concatenate([calm(rng, 60_000, 0.05), calm(rng, 60_000, 0.1)])) == []


def test_what_is_slow_is_none() -> None:
    rng = np.random.default_rng(0)
    parts = [
        np.concatenate([wrong(rng, 4 * n), calm(rng, 1000 - 4 * n)]) for n in range(250) for _ in range(3)
    ]
    assert found_in(np.concatenate(parts)) == []


def test_blocks_without_a_figure_are_passed_over() -> None:
    detector = ShiftDetector()
    rng = np.random.default_rng(0)
    for p in (np.full(1000, 0.05), np.zeros(1000), np.ones(1000)):
        rows = np.stack([p, np.zeros(1000), np.zeros(1000), np.ones(1000)], axis=1).astype(np.float32)
        assert detector.add(rows, 0) is None
    weightless = calm(rng, 1000)
    weightless[:, 3] = 0
    assert detector.add(weightless, 0) is None


def test_real_logs_have_none() -> None:
    model = LogisticRegression(16)
    model.learn(parse(unpacked("a9a.svm.gz"), "libsvm"))
    assert found_in(model.last(100_000)) == []
