from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nonzero.diagnostics.label_runs import LabelRuns

Labels = NDArray[np.float32]


def looked(labels: Labels, block: int = 10_000) -> LabelRuns:
    runs = LabelRuns()
    for start in range(0, labels.size, block):
        runs.look(labels[start : start + block])
    return runs


def is_quiet(labels: Labels) -> bool:
    """Whether nothing is said at any time."""
    runs = LabelRuns()
    quiet = True
    for start in range(0, labels.size, 5000):
        runs.look(labels[start : start + 5000])
        quiet = quiet and runs.longest is None and not runs.in_blocks
    return quiet


def ordinary(seed: int, n: int, rate: float, bursts: bool) -> Labels:
    """A log whose click rate falls to a fifth by night, with users who click several times at once."""
    rng = np.random.default_rng(seed)
    day = 1 + 0.9 * np.sin(np.linspace(0, 14 * np.pi, n))
    chances = rate * np.where(day > 0.2, day, 0.2)
    labels = rng.random(n) < chances
    if bursts:
        for at in np.flatnonzero(labels):
            labels[at : at + rng.geometric(0.4)] = True
    return labels.astype(np.float32)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("rate", "bursts"),
    # Not half of all with bursts: by day nearly everything is a click then, and such runs are told of.
    [
        *((rate, False) for rate in (0.001, 0.01, 0.05, 0.3, 0.5)),
        *((rate, True) for rate in (0.001, 0.01, 0.05, 0.3)),
    ],
)
def test_ordinary_logs_are_never_told_of(rate: float, bursts: bool) -> None:
    assert all(is_quiet(ordinary(seed, 200_000, rate, bursts)) for seed in range(5))


def test_a_click_rate_of_one_in_a_hundred_is_quiet_at_every_example() -> None:
    for seed in range(3):
        labels = ordinary(seed, 30_000, 0.01, False)
        runs = LabelRuns()
        for start in range(0, labels.size, 50):
            runs.look(labels[start : start + 50])
            assert not runs.in_blocks
            assert runs.longest is None


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3])
def test_a_log_sorted_by_its_labels_is_told_of(rate: float) -> None:
    labels = ordinary(1, 100_000, rate, False)
    assert looked(np.sort(labels)).in_blocks
    assert looked(np.sort(labels)[::-1]).in_blocks


def test_a_log_sorted_within_each_day_is_told_of() -> None:
    days = [np.sort(ordinary(day, 30_000, 0.02, False)) for day in range(7)]
    assert looked(np.concatenate(days)).in_blocks


@pytest.mark.parametrize(("label", "rate"), [(0, 0.01), (0, 0.3), (1, 0.3)])
def test_an_outage_of_the_labels_is_told_of_with_its_place(label: int, rate: float) -> None:
    labels = ordinary(2, 300_000, rate, False)
    labels[100_000:140_000] = label
    labels[[99_999, 140_000]] = 1 - label
    run = looked(labels).longest
    assert run is not None
    assert (run.label, run.first, run.length) == (label, 100_001, 40_000)
    share = np.mean(labels[:100_000] != label)  # as far as it was known then
    assert run.expected == pytest.approx(40_000 * share, rel=0.1)


def test_an_export_that_ends_with_the_negatives_is_told_of_while_it_goes_on() -> None:
    labels = np.concatenate([ordinary(3, 50_000, 0.05, False), np.zeros(60_000, np.float32)])
    runs = LabelRuns()
    told = 0
    for start in range(0, labels.size, 1000):
        runs.look(labels[start : start + 1000])
        told = told or (start if runs.longest else 0)
    assert 51_000 <= told <= 56_000


@given(st.lists(st.sampled_from([0, 1, float("nan")]), max_size=60), st.integers(1, 20))
def test_runs_are_counted_in_any_blocks(values: list[float], block: int) -> None:
    labels = np.array(values, np.float32)
    known = [value for value in values if value == value]
    runs = looked(labels, block)
    assert runs.examples == len(known)
    assert runs.runs == sum(1 for k, value in enumerate(known) if k == 0 or value != known[k - 1])


@pytest.mark.parametrize("block", [1, 7, 100, 100_000])
def test_the_longest_run_is_found_in_any_blocks(block: int) -> None:
    labels = np.tile(np.array([0, 1], np.float32), 2000)
    labels[500:2500] = 0
    run = looked(labels, block).longest
    assert run is not None
    assert (run.label, run.first, run.length) == (0, 501, 2001)
