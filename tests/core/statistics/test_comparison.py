"""Two models are compared to the bit in any parts, and what is told covers the truth on awkward streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import expit

from nonzero.statistics.comparison import LEAST, Comparison, Interval
from nonzero.statistics.paired_losses import FIRST, SIZE

Floats = NDArray[np.float32]
RUNS = 40


class Stream(NamedTuple):
    """Labelled examples, what two models say of them, and the chances by which the labels were drawn."""

    labels: Floats
    weights: Floats
    ours: Floats
    theirs: Floats
    chances: NDArray[np.float64]

    def rows(self, start: int, stop: int | None = None) -> Stream:
        return self.where(slice(start, stop))

    def where(self, chosen: Any) -> Stream:
        return Stream._make(column[chosen] for column in self)

    def into(self, comparison: Comparison) -> Comparison:
        comparison.add(*self[:4])
        return comparison


def of(
    rng: np.random.Generator,
    log_odds: NDArray[np.float64],
    weigh: Callable[[NDArray[np.bool_]], NDArray[np.float64]] = np.ones_like,
    errors: tuple[float, float] = (0.3, 0.3),
) -> Stream:
    chances = expit(log_odds)
    clicks = rng.random(chances.size) < chances
    ours, theirs = (expit(log_odds + rng.normal(0, error, chances.size)) for error in errors)
    labels, weights, *said = (x.astype(np.float32) for x in (clicks, weigh(clicks), ours, theirs))
    return Stream(labels, weights, said[0], said[1], chances)


def expected(stream: Stream) -> NDArray[np.float64]:
    """Return what the sum of the weighted differences was to be expected to be after each example."""
    p, q = stream.ours.astype(float), stream.theirs.astype(float)
    differences = np.where([[False], [True]], np.log(p / q), np.log1p(-p) - np.log1p(-q))
    chances = np.where([[False], [True]], stream.chances, 1 - stream.chances)
    return np.asarray((differences * chances).sum(0))


def steady(rng: np.random.Generator, n: int) -> Stream:
    return of(rng, rng.normal(-3, 0.7, n))


def rare(rng: np.random.Generator, n: int) -> Stream:
    return of(rng, rng.normal(-7, 0.7, n))


def drifting(rng: np.random.Generator, n: int) -> Stream:
    """Their lead goes, and turns into a lag."""
    t = np.linspace(0, 1, n)
    one = of(rng, -3 + np.cumsum(rng.normal(0, 0.01, n)))
    ours = expit(np.log(one.chances / (1 - one.chances)) + 0.8 * (1 - t) * rng.choice([-1, 1], n))
    theirs = expit(np.log(one.chances / (1 - one.chances)) + 0.8 * t * rng.choice([-1, 1], n))
    return one._replace(ours=ours.astype(np.float32), theirs=theirs.astype(np.float32))


def bursts(rng: np.random.Generator, n: int) -> Stream:
    """Users with 20 examples in a row, and hours of many clicks; neither model knows of them."""
    users = np.repeat(rng.normal(0, 1, n // 20), 20)
    hours = lfilter([1], [1, -0.995], rng.normal(0, 0.1, n))
    known = of(rng, np.full(n, -3.0))
    chances = expit(-3 + users + hours)
    clicks = (rng.random(n) < chances).astype(np.float32)
    return known._replace(labels=clicks, chances=chances)


def weighted(rng: np.random.Generator, n: int) -> Stream:
    return of(rng, rng.normal(-3, 0.7, n), lambda clicks: np.exp(rng.normal(0, 1, clicks.size)))


def skewed(rng: np.random.Generator, n: int) -> Stream:
    """They say more of all, of which few are clicked, and weights are far apart."""
    one = of(rng, rng.normal(-6, 0.7, n), lambda clicks: np.exp(rng.normal(0, 2, clicks.size)))
    return one._replace(theirs=np.minimum(one.ours * 1.5, 0.99).astype(np.float32))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("make", [steady, rare, drifting, bursts, weighted, skewed])
def test_the_interval_covers_what_was_to_be_expected_at_every_look(
    make: Callable[[np.random.Generator, int], Stream],
) -> None:
    missed = 0
    for seed in range(RUNS):
        stream = make(np.random.default_rng(seed), 12_000)
        sums, weights = (np.cumsum(stream.weights.astype(float) * x) for x in (expected(stream), 1))
        comparison = Comparison()
        for start in range(0, 12_000, 1000):
            found = stream.rows(start, start + 1000).into(comparison).interval()
            assert found.low is not None
            assert found.high is not None
            if not found.low <= sums[start + 999] / weights[start + 999] <= found.high:
                missed += 1
                break
    assert missed <= 3


def test_thinned_negatives_that_weigh_ten_are_covered_too() -> None:
    """A weight that follows the label is known only with it: what is expected is that of all negatives."""
    missed = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        whole = steady(rng, 60_000)
        kept = (whole.labels > 0) | (rng.random(60_000) < 0.1)
        weights = np.where(whole.labels > 0, 1, 10).astype(np.float32)
        told = whole._replace(weights=weights).where(kept)
        comparison = Comparison()
        for start in range(0, len(told.labels), 1000):
            found = told.rows(start, start + 1000).into(comparison).interval()
            upto = np.flatnonzero(kept)[min(start + 999, len(told.labels) - 1)] + 1
            truth = float(expected(whole.rows(0, int(upto))).sum()) / comparison.weight
            if found.low is not None and found.high is not None and not found.low <= truth <= found.high:
                missed += 1
                break
    assert missed <= 3


@pytest.mark.parametrize("make", [steady, weighted])
def test_the_interval_is_about_twice_as_wide_as_one_that_holds_once(
    make: Callable[[np.random.Generator, int], Stream],
) -> None:
    stream = make(np.random.default_rng(9), 50_000)
    p, q = stream.ours.astype(float), stream.theirs.astype(float)
    values = stream.weights * np.where(stream.labels > 0, np.log(p / q), np.log1p(-p) - np.log1p(-q))
    comparison = stream.into(Comparison())
    found = comparison.interval()
    assert found.low is not None
    assert found.high is not None
    half = 1.96 * values.std() * values.size**0.5 / comparison.weight
    assert half < (found.high - found.low) / 2 < 2.5 * half


@pytest.mark.parametrize(("errors", "verdict"), [((0.6, 0.1), "better"), ((0.1, 0.6), "worse")])
def test_who_errs_less_is_better_after_some_thousands(errors: tuple[float, float], verdict: str) -> None:
    rng = np.random.default_rng(1)
    stream = of(rng, rng.normal(-3, 0.7, 40_000), errors=errors)
    comparison = Comparison()
    assert comparison.verdict() == "undecided"
    assert stream.into(comparison).verdict() == verdict


def test_the_figures_are_those_of_numpy() -> None:
    stream = weighted(np.random.default_rng(2), 5000)
    labels, weights, ours, theirs = (column.astype(float) for column in stream[:4])
    comparison = stream.into(Comparison())
    losses = [-np.where(labels > 0, np.log(p), np.log1p(-p)) for p in (ours, theirs)]
    assert comparison.examples == 5000
    assert comparison.weight == pytest.approx(weights.sum())
    assert comparison.log_losses == pytest.approx([np.average(x, weights=weights) for x in losses], rel=1e-6)
    clicks = (weights * labels).sum()
    assert comparison.calibrations == pytest.approx([(weights * p).sum() / clicks for p in (ours, theirs)])
    mean = comparison.interval().mean
    assert mean == pytest.approx(np.average(losses[1] - losses[0], weights=weights), rel=1e-5)


def test_any_parts_of_a_stream_give_the_same_bits_and_so_does_a_state_that_goes_on() -> None:
    stream = weighted(np.random.default_rng(3), 3000)
    whole = stream.into(Comparison())
    for size in (1, 7, 1024):
        comparison = Comparison()
        for start in range(0, 3000, size):
            stream.rows(start, start + size).into(comparison)
            if start % 5 == 0:
                comparison = Comparison.from_state(comparison.state())
        assert comparison.state().tobytes() == whole.state().tobytes()
        assert comparison.interval() == whole.interval()


def test_exchanging_the_models_turns_the_interval_round() -> None:
    stream = weighted(np.random.default_rng(4), 5000)
    one = stream.into(Comparison()).interval()
    other = stream._replace(ours=stream.theirs, theirs=stream.ours).into(Comparison()).interval()
    assert one.low is not None
    assert one.high is not None
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


def test_equal_predictions_differ_by_nothing() -> None:
    stream = steady(np.random.default_rng(5), 20_000)
    comparison = stream._replace(theirs=stream.ours).into(Comparison())
    found = comparison.interval()
    assert found.mean == 0
    assert found.low == -(found.high or 0)
    assert comparison.verdict() == "undecided"


def test_nothing_few_and_weightless_examples_have_no_interval() -> None:
    comparison = Comparison()
    assert comparison.interval() == Interval(None, None, None)
    assert (comparison.log_losses, comparison.calibrations) == ((None, None), (None, None))
    nothing = np.zeros(3, np.float32)
    comparison.add(nothing, nothing, nothing + 0.5, nothing + 0.25)
    assert (comparison.examples, comparison.weight, comparison.interval().mean) == (3, 0, None)
    one = np.ones(1, np.float32)
    comparison.add(one, one, one * 0.5, one * 0.25)
    found = comparison.interval()
    assert found.mean == pytest.approx(np.log(2))
    assert (found.low, found.high) == (None, None)
    # However large the difference is, it is told of no fewer than LEAST.
    many = np.ones(LEAST, np.float32)
    comparison.add(many[5:], many[5:], many[5:] * 0.01, many[5:] * 0.99)
    assert comparison.examples == LEAST - 1
    assert comparison.verdict() == "undecided"
    comparison.add(one, one, one * 0.01, one * 0.99)
    assert comparison.verdict() == "better"


def test_a_stream_without_clicks_has_an_interval_and_no_calibration() -> None:
    n = 100_000
    clicks, ones = np.zeros(n, np.float32), np.ones(n, np.float32)
    comparison = Comparison()
    comparison.add(clicks, ones, ones * 0.011, ones * 0.01)
    assert comparison.calibrations == (None, None)
    # Who says less is the better one there, once a click in each hundred can be ruled out.
    assert comparison.verdict() == "better"


@pytest.mark.parametrize("heavy", [1.0, 1e6])
def test_predictions_at_their_bounds_give_finite_figures(heavy: float) -> None:
    sure = np.array([0, 1, 1e-45, 2e-22, 1 - 2**-24, 0.5], np.float32)
    labels, ours, theirs = (x.ravel() for x in np.meshgrid([0, 1], sure, sure))
    labels, ours, theirs = (np.tile(x.astype(np.float32), 20) for x in (labels, ours, theirs))
    comparison = Comparison()
    comparison.add(labels, np.full(labels.size, heavy, np.float32), ours, theirs)
    assert np.isfinite(comparison.state()).all()
    figures = [*comparison.interval(), *comparison.log_losses]
    assert all(figure is not None and np.isfinite(figure) for figure in figures)
    assert comparison.verdict() == "undecided"


def test_a_state_that_no_examples_give_is_refused() -> None:
    state = steady(np.random.default_rng(6), 100).into(Comparison()).state()
    with pytest.raises(ValueError, match=rf"float64\[{SIZE}\], and this is float64\[5\]"):
        Comparison.from_state(state[:5])
    for place, number in ((0, -1.0), (FIRST, np.nan), (SIZE - 1, -1.0)):
        wrong = state.copy()
        wrong[place] = number
        with pytest.raises(ValueError, match="no examples give"):
            Comparison.from_state(wrong)
