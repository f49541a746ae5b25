"""Slices of a comparison are the comparisons of their examples, in any parts, within a bound."""

from __future__ import annotations

import numpy as np
import pytest

from nonzero.statistics.comparison import Comparison
from nonzero.statistics.comparison_slices import ComparisonSlices


def columns(n: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    values = rng.integers(-1, 6, n) * 1000
    values[:3] = 4000, 2000, 5000  # so these have slices, and no later ones
    labels = (rng.random(n) < 0.1).astype(np.float32)
    return values, labels, *(rng.uniform(0.05, 0.95, n).astype(np.float32) for _ in range(3))


def test_each_value_has_the_comparison_of_its_examples_and_later_values_have_one() -> None:
    values, *rest = columns(9000)
    slices = ComparisonSlices(values=3)
    slices.add(values, *rest)
    found = dict(slices.found())
    assert [*found][-1] is None
    assert set(found) == {4000, 2000, 5000, None}
    for value, one in found.items():
        chosen = values == value if value is not None else np.isin(values, [0, 1000, 3000])
        alone = Comparison(one.confidence)
        alone.add(*(column[chosen] for column in rest))
        assert one.state().tobytes() == alone.state().tobytes()
    assert sum(one.examples for one in found.values()) == (values >= 0).sum()
    counts = [one.examples for one in found.values()][:-1]
    assert counts == sorted(counts, reverse=True)


def test_any_parts_and_a_state_that_goes_on_give_the_same() -> None:
    given = columns(3000)
    whole = ComparisonSlices(values=3)
    whole.add(*given)
    parts = ComparisonSlices(values=3)
    for start in range(0, 3000, 7):
        parts.add(*(column[start : start + 7] for column in given))
        parts = ComparisonSlices.from_state(*parts.state())
    for one, other in zip(parts.state(), whole.state(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_slices_share_the_chance_of_an_error() -> None:
    slices = ComparisonSlices(0.9, values=4)
    given = columns(2000)
    slices.add(*given)
    for _, one in slices.found():
        assert one.confidence == pytest.approx(0.98)


def test_a_state_that_no_slices_have_is_refused() -> None:
    slices = ComparisonSlices(values=3)
    slices.add(*columns(100))
    values, states = slices.state()
    for wrong in (np.repeat(values, 2), values[:1].repeat(2), -values):
        with pytest.raises(ValueError, match="do not fit 4 slices"):
            ComparisonSlices.from_state(wrong, states)
    states[1, 0] = -1
    with pytest.raises(ValueError, match="no examples give"):
        ComparisonSlices.from_state(values, states)
