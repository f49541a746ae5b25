"""The map of the predictions mends what is distorted, leaves alone what is not, and is part of the state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.streams import random_batch
from nonzero import AdaGrad, LogisticRegression, SettingsError, SnapshotError
from nonzero.statistics.recalibration import (
    Recalibration,
    apply_map,
    describe_recalibration,
    learn_map,
    new_recalibration,
)

Floats = NDArray[np.float32]


def drawn(n: int, base: float, slope: float, offset: float) -> tuple[Floats, Floats]:
    """Draw predictions, and labels whose log-odds are another function of theirs."""
    rng = np.random.default_rng(int(1000 * base))
    x = np.log(base / (1 - base)) + rng.normal(0, 1, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-(slope * x + offset)))
    return (1 / (1 + np.exp(-x))).astype(np.float32), labels.astype(np.float32)


def learned(p: Floats, labels: Floats, weights: Floats | None = None, chunk: int = 10**9) -> Recalibration:
    state = new_recalibration()
    weights = np.ones(p.size, np.float32) if weights is None else weights
    for start in range(0, p.size, chunk):
        part = slice(start, start + chunk)
        learn_map(state, p[part], labels[part], weights[part])
    return state


def plainly(p: Floats, labels: Floats, weights: Floats) -> NDArray[np.float64]:
    """The steps as the paper has them, in numpy."""
    theta, information = np.array([1.0, 0.0]), np.zeros((2, 2))
    for value, y, s in zip(p.astype(float), labels, weights.astype(float), strict=True):
        x = np.array([np.log(value) - np.log1p(-value), 1])
        q = 1 / (1 + np.exp(-theta @ x))
        information = information * (1 - 2**-18) + s * q * (1 - q) * np.outer(x, x)
        move = np.linalg.solve(information + 100 * np.eye(2), x * s * (y - q))
        theta = theta + move * min(1, 0.25 / abs(move @ x))
    return theta


def test_its_steps_are_those_of_the_kalman_filter() -> None:
    p, labels = drawn(3000, 0.2, 0.6, 0.5)
    weights = np.random.default_rng(1).choice([0.5, 1, 4, 200], p.size).astype(np.float32)
    np.testing.assert_allclose(learned(p, labels, weights).parameters, plainly(p, labels, weights), rtol=1e-4)


def test_its_gain_has_an_interval_when_there_were_enough_of_both_labels() -> None:
    p, labels = drawn(5000, 0.2, 0.6, 0.5)
    enough = int(np.flatnonzero(np.cumsum(labels) == 100)[0])
    before = describe_recalibration(learned(p[:enough], labels[:enough]))
    assert before["gain"] is not None
    assert before["gain_low"] is before["gain_high"] is None
    after = describe_recalibration(learned(p[: enough + 1], labels[: enough + 1]))
    assert after["gain_low"] < after["gain"] < after["gain_high"]


@pytest.mark.parametrize(("slope", "offset"), [(0.5, 0.0), (1.0, 0.7), (1.6, -0.5)])
@pytest.mark.parametrize("base", [0.02, 0.3])
def test_what_is_distorted_is_mended(base: float, slope: float, offset: float) -> None:
    p, labels = drawn(200_000, base, slope, offset)
    state = learned(p[:100_000], labels[:100_000])
    _, _, clicks, _, mapped, *_ = state.sums
    learn_map(state, p[100_000:], labels[100_000:], np.ones(100_000, np.float32))
    told = describe_recalibration(state)
    assert (told["slope"], told["offset"]) == pytest.approx((slope, offset), abs=0.12)
    assert told["gain_low"] > 0
    later = (state.sums[4] - mapped) / (state.sums[2] - clicks)
    assert later == pytest.approx(1, abs=3 / np.sqrt(state.sums[2] - clicks) + 0.01)
    assert abs(told["mapped_calibration"] - 1) < abs(told["calibration"] - 1)
    best = 1 / (1 + np.exp(-(slope * np.log(p / (1 - p.astype(float))) + offset)))
    losses = -np.where(labels == 1, np.log(best), np.log1p(-best))
    # Where clicks are rare it takes longer to know more than at the start.
    assert told["mapped_log_loss"] < (1.002 if base == 0.3 else 1.1) * losses.mean()


@pytest.mark.parametrize(("base", "n"), [(0.002, 500_000), (0.02, 200_000), (0.3, 100_000)])
def test_what_is_calibrated_is_left_alone(base: float, n: int) -> None:
    told = describe_recalibration(learned(*drawn(n, base, 1, 0)))
    assert told["mapped_log_loss"] < 1.001 * told["log_loss"]


def test_the_map_is_monotone_whatever_it_learned() -> None:
    p, labels = drawn(50_000, 0.3, -2, 0)  # the likelier, the rarer
    state = learned(p, labels)
    assert state.parameters[0] == 1 / 16
    grid = np.linspace(0.001, 0.999, 1000).astype(np.float32)
    apply_map(state, grid)
    assert (np.diff(grid) >= 0).all()


def test_extreme_predictions_and_weights_leave_it_finite() -> None:
    p = np.array([0, 1e-30, 1, 0.5, 1 - 2**-24] * 40, np.float32)
    labels = np.tile(np.array([1, 1, 0, 0, 0], np.float32), 40)
    state = learned(p, labels, np.tile(np.array([1e6, 0, 1e6, 1, 3], np.float32), 40))
    apply_map(state, p)
    assert np.isfinite(p).all()
    assert all(np.isfinite(array).all() for array in state)
    assert state.sums[0] == 160, "what weighs nothing is not learned from"


def test_it_is_part_of_the_model_in_any_chunking(tmp_path: Path) -> None:
    batch = random_batch(3, n=4000, weighted=True)
    whole, parts, plain = (LogisticRegression(6, AdaGrad(2.0), recalibrated=on) for on in (True, True, False))
    raw = whole.learn(batch)
    for start in range(0, 4000, 37):
        parts.learn(batch.rows(start, min(start + 37, 4000)))
    assert (plain.learn(batch) == raw).all(), "what is learned does not depend on the map"
    assert whole.digest() == parts.digest() != plain.digest()
    whole.save(tmp_path / "model")
    again = LogisticRegression.load(tmp_path / "model", recalibrated=True)
    assert again.digest() == whole.digest()
    assert (again.predict(batch) == whole.predict(batch)).all()
    assert (again.predict(batch) != plain.predict(batch)).any()
    again.recalibrating = False
    assert (again.predict(batch) == plain.predict(batch)).all()
    whole.share()
    assert whole.shared is not None
    mapped = LogisticRegression.attach(whole.shared.descriptor)
    whole.learn(batch)
    assert (mapped.predict(batch) == whole.predict(batch)).all()
    with pytest.raises(SettingsError, match="recalibrated"):
        LogisticRegression.load(tmp_path / "model", recalibrated=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("parameters", [-1.0, 0.0]), ("parameters", [1.0, 99.0]), ("information", [1.0, 200.0, 1.0])],
)
def test_a_stored_map_that_no_stream_leads_to_is_refused(
    tmp_path: Path, name: str, value: list[float]
) -> None:
    model = LogisticRegression(4, AdaGrad(), recalibrated=True)
    model._state.arrays()[f"recalibration_{name}"][:] = value
    model.save(tmp_path / "model")
    with pytest.raises(SnapshotError, match=f"recalibration_{name}"):
        LogisticRegression.load(tmp_path / "model")


def test_rates_that_overfit_are_mended() -> None:
    """A model whose rate is far too large is sure of what it has seen once."""
    batch = random_batch(5, n=20_000, slots=3000)
    model = LogisticRegression(12, AdaGrad(3.0), recalibrated=True)
    model.learn(batch)
    told = model.recalibration()
    assert told is not None
    assert told["log_loss"] == pytest.approx(model.log_loss, rel=0.01)
    assert told["slope"] < 0.9
    assert told["gain_low"] > 0.01
