"""Intervals of means over dependent streams: they cover what they say, in any parts, and for any group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from nonzero.statistics.batch_means import BLOCKS, BatchMeans

RUNS = 400


def of(values: Any, weights: Any = None, parts: int = 1) -> BatchMeans:
    means = BatchMeans()
    weights = np.ones(values.size) if weights is None else weights
    for piece, theirs in zip(np.array_split(values, parts), np.array_split(weights, parts), strict=True):
        means.add(np.arange(piece.size), np.zeros(piece.size, np.intp), theirs, piece, piece.size)
    return means


def independent(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    return rng.exponential(size=n) - 1, np.ones(n)


def dependent(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Each value is 0.95 of the one before, and news: the sum of n varies as that of n / 39 would."""
    return lfilter([1], [1, -0.95], rng.normal(size=n + 500))[500:], np.ones(n)


def weighted_users(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Users with 20 examples each, in a row and alike; three in four are negatives of weight 3."""
    alike = np.repeat(rng.normal(size=n // 20), 20)
    return alike + rng.normal(size=n), rng.choice([1.0, 3.0], n, p=[0.25, 0.75])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("stream", [independent, dependent, weighted_users])
@pytest.mark.parametrize("n", [4000, 9900])
def test_an_interval_of_95_percent_covers_the_mean_in_about_so_many_runs(stream: Any, n: int) -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(RUNS):
        found = of(*stream(rng, n)).interval()
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.90 <= covered / RUNS <= 0.99


def test_an_interval_of_independent_values_would_not() -> None:
    """So the simulation tells the one from the other."""
    rng = np.random.default_rng(5)
    streams = [dependent(rng, 4000)[0] for _ in range(RUNS)]
    covered = sum(abs(x.mean()) <= 1.96 * x.std() / x.size**0.5 for x in streams)
    assert covered / RUNS < 0.5


def test_any_parts_of_a_stream_give_the_same() -> None:
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=5000), rng.random(5000)
    whole = of(values, weights).interval()
    assert whole is not None
    assert whole.mean == pytest.approx((values * weights).sum() / weights.sum())
    assert BLOCKS / 2 < whole.blocks <= BLOCKS
    for parts in (7, 5000):
        assert of(values, weights, parts).interval() == pytest.approx(whole)


def test_a_group_has_the_blocks_of_the_stream() -> None:
    rng = np.random.default_rng(2)
    values, groups = rng.normal(size=3000), rng.integers(0, 3, 3000)
    means = BatchMeans(1)
    means.grow(3)
    means.add(np.arange(3000), groups, np.ones(3000), values, 3000)
    for group in range(3):
        alone = of(values, (groups == group).astype(float)).interval()
        assert means.interval(group) == pytest.approx(alone)


def test_few_examples_tell_a_mean_and_no_interval() -> None:
    assert BatchMeans().interval() is None
    found = of(np.array([1.0, 2.0, 3.0])).interval()
    assert found is not None
    assert (found.mean, found.low, found.high) == (2.0, None, None)
    late = np.zeros(640)
    late[600:] = 1  # all within the last two blocks
    found = of(late, late).interval()
    assert found is not None
    assert found.low is None
