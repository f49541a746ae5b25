"""A confidence sequence covers what was to be expected at all looks at once, whatever is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero.statistics.confidence_sequence import BANDS, BOUNDS, LEAST_BAND, SQUARES, SUM, interval

Floats = NDArray[np.float64]

RUNS, EXAMPLES = 200, 4000
LOOKS = range(200, EXAMPLES + 1, 200)


def bands_of(values: Floats, bounds: Floats) -> Floats:
    places = np.clip(np.ceil(np.log2(bounds) - 0.5).astype(int) - LEAST_BAND, 0, BANDS - 1)
    found = np.zeros((3, BANDS))
    for row, numbers in ((SUM, values), (SQUARES, values**2), (BOUNDS, bounds)):
        found[row] = np.bincount(places, numbers, BANDS)
    return found


def streams(rng: np.random.Generator, chance: float, spread: float) -> tuple[Floats, Floats, Floats]:
    """Return values, their expectations and their bounds: one of two numbers, whose sizes differ."""
    sizes = np.exp(rng.normal(0, spread, EXAMPLES))
    values = np.where(rng.random(EXAMPLES) < chance, 1, -chance / (1 - chance)) * sizes
    drift = 0.2 * chance * np.sin(np.arange(EXAMPLES) / 500)
    return values + drift, drift, sizes * max(1, chance / (1 - chance)) + 0.2 * chance


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("chance", "spread"), [(0.5, 0.0), (0.05, 1.0), (0.005, 0.5), (0.95, 2.0)])
def test_hardly_any_run_is_ever_missed_however_often_it_is_looked_at(chance: float, spread: float) -> None:
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(RUNS // 4):
        values, expected, bounds = streams(rng, chance, spread)
        for look in LOOKS:
            low, high = interval(bands_of(values[:look], bounds[:look]), 0.95)
            if not low <= expected[:look].sum() <= high:
                missed += 1
                break
    assert missed <= 0.05 * RUNS / 4 + 2


def test_an_interval_of_a_fixed_length_would_be_wrong_far_more_often() -> None:
    """So the simulation tells the one from the other."""
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(RUNS):
        values, expected, _ = streams(rng, 0.5, 0.0)
        errors = np.cumsum(values - expected) / np.sqrt(np.cumsum((values - expected) ** 2))
        missed += bool((np.abs(errors[199::200]) > 1.96).any())
    assert missed > 0.2 * RUNS


def test_the_ends_are_where_the_mixture_comes_to_its_level() -> None:
    rng = np.random.default_rng(2)
    values, _, bounds = streams(rng, 0.1, 2.0)
    bands = bands_of(values, bounds)
    low, high = interval(bands, 0.9)
    assert mixture(bands, low) == pytest.approx(math.log(20), rel=1e-9)
    bands[SUM] *= -1
    assert mixture(bands, -high) == pytest.approx(math.log(20), rel=1e-9)


def mixture(bands: Floats, expected: float) -> float:
    """Return the logarithm of the mixture, plainly."""
    shares = {octave: (4 + abs(octave + 2)) ** -2 for octave in range(-30, 11)}
    total = 0.0
    for octave, share in shares.items():
        rate, log = 2.0**octave, -(2.0**octave) * expected
        for band in range(BANDS):
            value, square, bound = bands[:, band].tolist()
            steepness = rate * 2.0 ** (LEAST_BAND + band + 0.5)
            if steepness < 0.75:
                kappa = (-math.log1p(-steepness) - steepness) / steepness**2
                log += rate * value - kappa * rate**2 * square
            else:
                log -= rate * bound
        total += share / sum(shares.values()) * math.exp(log)
    return math.log(total)


def test_it_is_about_twice_as_wide_as_an_interval_that_holds_once() -> None:
    rng = np.random.default_rng(3)
    for scale in (0.01, 1.0, 10.0):
        values = rng.choice([-1.0, 1.0], 100_000) * scale
        low, high = interval(bands_of(values, np.full(values.size, scale)), 0.95)
        assert (high - low) / 2 < 2.1 * 1.96 * scale * values.size**0.5


def test_one_wild_value_costs_its_worst_case_and_no_more() -> None:
    rng = np.random.default_rng(4)
    values, bounds = rng.choice([-0.1, 0.1], 20_000), np.full(20_000, 0.1)
    low, high = interval(bands_of(values, bounds), 0.95)
    wild = interval(bands_of(np.append(values, 16.0), np.append(bounds, 16.0)), 0.95)
    assert wild[0] > low - 2 * 16
    assert wild[1] < high + 2 * 16


def test_nothing_is_known_of_nothing_and_nothing_is_infinite() -> None:
    low, high = interval(np.zeros((3, BANDS)), 0.95)
    assert low < 0 < high
    assert high == -low < 0.1
    heavy = bands_of(np.full(10**4, 5e7), np.full(10**4, 5e7))
    assert np.isfinite(interval(heavy, 0.99)).all()
