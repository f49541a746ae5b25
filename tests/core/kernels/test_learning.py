"""The kernels against plain numpy: to the bit in float32, within rounding of the formula in float64."""

from typing import Any

import numpy as np
import pytest

from core.streams import extreme_batch, random_batch
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.kernels.tuples import BatchRows
from nonzero.model.batch_rows import rows_of
from oracles import ExactOracle, Float64Oracle, fold, weighted_step

ONE_LANE = AdaGrad(0.3, 0.01)
DECAYING = AdaGrad(0.1, 0.01, 0.95)
EIGHT_LANES = [
    AdaGrad(rate, epsilon, decay) for rate in (0.02, 0.5) for epsilon in (1.0, 1e-3) for decay in (1.0, 0.9)
]


def lanes_of(optimizer: Any) -> Any:
    return [
        (lane.learning_rate, lane.epsilon, lane.decay)
        for lane in ([optimizer] if isinstance(optimizer, AdaGrad) else optimizer)
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "optimizer", [ONE_LANE, DECAYING, EIGHT_LANES], ids=["one lane", "decaying", "eight lanes"]
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "importance weights"])
@pytest.mark.parametrize("valued", [False, True], ids=["ones", "values"])
def test_learning_is_bit_equal_to_the_oracle(optimizer: Any, weighted: Any, valued: Any) -> None:
    batch = random_batch(1, n=600, valued=valued, weighted=weighted)
    model = LogisticRegression(bits=6, optimizer=optimizer)
    oracle = ExactOracle(6, lanes_of(optimizer))
    np.testing.assert_array_equal(model.learn(batch), fold(oracle, batch))
    np.testing.assert_array_equal(model.table.weights, oracle.w)
    np.testing.assert_array_equal(model.table.accumulators, oracle.g)
    np.testing.assert_array_equal(model._state.shares[0, : oracle.shares.size], oracle.shares)


@pytest.mark.parametrize("valued", [False, True], ids=["ones", "values"])
@pytest.mark.parametrize("slots", [5, 2**10], ids=["many named twice", "few named twice"])
def test_rows_of_any_length_are_bit_equal_to_the_oracle(slots: Any, valued: Any) -> None:
    batch = random_batch(8, slots=slots, most=40, valued=valued)
    model, oracle = LogisticRegression(bits=10, optimizer=DECAYING), ExactOracle(10, lanes_of(DECAYING))
    np.testing.assert_array_equal(model.learn(batch), fold(oracle, batch))
    np.testing.assert_array_equal(model.table.weights, oracle.w)
    np.testing.assert_array_equal(model.table.accumulators, oracle.g)
    for r in range(50):
        row = batch.rows(r, r + 1)
        np.testing.assert_array_equal(model.predict(row), model.learn(row))


@pytest.mark.parametrize("decay", [1.0, 0.99])
def test_one_lane_follows_the_formula_in_float64(decay: Any) -> None:
    batch = random_batch(2, n=10_000, slots=2**10, most=20)
    model = LogisticRegression(bits=10, optimizer=AdaGrad(0.1, 1e-6, decay))
    model.learn(batch)
    oracle = Float64Oracle(10, 0.1, 1e-6, decay)
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        oracle.learn(batch.indices[span], batch.explicit_values()[span], batch.labels[r])
    error = np.abs(model.table.weights[:, 0] - oracle.w)
    assert (error <= 1e-5 * np.maximum(1, np.abs(oracle.w))).all()
    np.testing.assert_allclose(model.table.accumulators[:, 0], oracle.g, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [ONE_LANE, None], ids=["one lane", "eight lanes"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_any_chunking_gives_the_same_bits(optimizer: Any, size: Any) -> None:
    batch = random_batch(3, n=2_000, weighted=True)
    whole, chunked = (LogisticRegression(bits=6, optimizer=optimizer) for _ in range(2))
    whole.learn(batch)
    for start in range(0, len(batch), size):
        chunked.learn(batch.rows(start, min(start + size, len(batch))))
    assert chunked.digest() == whole.digest()


@pytest.mark.parametrize("optimizer", [ONE_LANE, None], ids=["one lane", "eight lanes"])
def test_slots_that_are_not_named_keep_their_bits(optimizer: Any) -> None:
    model = LogisticRegression(bits=8, optimizer=optimizer)
    model.learn(random_batch(4, slots=256))
    before = model.table.rows.copy()
    batch = random_batch(5, slots=40, weighted=True)
    model.learn(batch)
    untouched = np.setdiff1d(np.arange(256), batch.indices)
    np.testing.assert_array_equal(model.table.rows[untouched], before[untouched])
    assert (model.table.rows[np.unique(batch.indices)] != before[np.unique(batch.indices)]).any()


def test_predicting_changes_nothing_and_agrees_with_learning() -> None:
    batch = random_batch(6, n=50)
    model = LogisticRegression(bits=6)
    model.learn(random_batch(7))
    digest = model.digest()
    first = model.predict(batch)[0]
    assert model.digest() == digest
    assert model.learn(batch)[0] == first


def test_a_slot_named_twice_counts_twice() -> None:
    twice = Batch([0, 2], [5, 5], None, [1])
    model = LogisticRegression(bits=4, optimizer=AdaGrad(1.0, 1.0))
    model.learn(twice)
    # g = -1/2 both times: G is 1/4 and then 1/2, each with a step of its own.
    expected = 0.5 / np.sqrt(1.25) + 0.5 / np.sqrt(1.5)
    assert model.weights[5] == pytest.approx(expected, rel=1e-6)
    assert model.table.accumulators[5, 0] == 0.5


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("s", [1e-3, 0.5, 2, 7, 1000, 1e6])
def test_an_importance_weight_is_that_many_touches(decay: Any, s: Any) -> None:
    """From G = 3 and with g = -1/2: a geometric series, of fractions of a touch too."""
    model = LogisticRegression(bits=1, optimizer=AdaGrad(1e-9, 1.0, decay))
    model.table.rows[0, 1] = 3
    model.learn(Batch([0, 1], [0], None, [1], [s]))
    series = s if decay == 1 else (1 - decay**s) / (1 - decay)
    assert model.table.accumulators[0, 0] == pytest.approx(3 * decay**s + series / 4, rel=1e-5)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("start", [-40, -3, 0, 0.5, 20])
def test_importance_weights_take_the_limit_of_small_steps(label: Any, start: Any) -> None:
    margins = []
    weights = [1e-6, 1e-3, 0.1, 0.999, 1.5, 7, 100, 1e4, 1e6]
    for s in weights:
        model = LogisticRegression(bits=2, optimizer=AdaGrad(0.5, 0.25))
        model.table.rows[-1, 0] = start
        batch = Batch([0, 2], [1, 2], [1.5, -2.0], [label], [s])
        before = float(np.float32(start))
        model.learn(batch)
        weight, x = model.weights, np.array([1.5, -2.0, 1.0])
        after = weight[[1, 2, 4]] @ x
        rates = 0.5 / np.sqrt(model.table.accumulators[[1, 2, 4], 0].astype(float) + 0.25)
        expected = weighted_step(before, float(rates @ x**2) * s, label)
        assert after == pytest.approx(expected, rel=2e-6, abs=2e-6)
        margins.append(float(after))
    sign = 1 if label else -1
    moved = np.array(margins) * sign
    assert (moved >= start * sign - 1e-5).all()


def test_a_heavy_example_never_passes_its_label() -> None:
    """However heavy, p moves towards the label and stays on its side of it; the plain step may overshoot,
    this may not."""
    for s in (10, 1e3, 1e6):
        model = LogisticRegression(bits=2, optimizer=AdaGrad(1e3, 1e-6))
        model.learn(Batch([0, 1], [1], [1e6], [1], [s]))
        assert 0.5 < model.predict(Batch([0, 1], [1], [1e6]))[0] <= 1


def test_more_weight_moves_further() -> None:
    moved = []
    for s in np.geomspace(1e-3, 1e6, 60):
        model = LogisticRegression(bits=2, optimizer=AdaGrad(0.5, 1e3))
        model.learn(Batch([0, 1], [1], None, [1], [s]))
        moved.append(model.weights[1] + model.weights[-1])
    assert (np.diff(moved) > 0).all()


def test_small_weights_are_the_plain_step_in_the_limit() -> None:
    # With a large epsilon the accumulator hardly matters, and a light example's step is s times the plain
    # one.
    plain, light = (LogisticRegression(bits=2, optimizer=AdaGrad(1e-3, 1e6)) for _ in range(2))
    plain.learn(Batch([0, 1], [1], None, [1], [1]))
    light.learn(Batch([0, 1], [1], None, [1], [1e-3]))
    assert light.weights[1] / plain.weights[1] == pytest.approx(1e-3, rel=1e-4)


def test_weight_zero_is_counted_and_not_learned() -> None:
    model = LogisticRegression(bits=6)
    model.learn(random_batch(8))
    before = model.table.rows.copy(), model.shares.copy(), model.metrics()["log_loss"]
    model.learn(Batch([0, 2], [1, 2], None, [1], [0]))
    np.testing.assert_array_equal(model.table.rows, before[0])
    np.testing.assert_array_equal(model.shares, before[1])
    assert model.metrics()["log_loss"] == before[2]
    assert model.examples == 501


@pytest.mark.parametrize(
    "optimizer",
    [
        AdaGrad(1e3, 1e-12),
        [AdaGrad(1e3, 1e-12)] * 2 + [AdaGrad(1e3, 1e-12, 0.5)] * 3 + [AdaGrad(1e-9, 1e6)] * 3,
    ],
)
def test_no_accepted_batch_stores_a_number_that_is_not_finite(optimizer: Any) -> None:
    rng = np.random.default_rng(9)
    model = LogisticRegression(bits=3, optimizer=optimizer)
    for _ in range(200):
        p = model.learn(extreme_batch(rng))
        assert np.isfinite(p).all()
        assert ((p >= 0) & (p <= 1)).all()
    assert np.isfinite(model.table.rows).all()
    assert (np.abs(model.table.weights) <= 1e6).all()
    assert (model.table.accumulators <= 1e30).all()
    assert np.isfinite(model.metrics()["log_loss"])


def test_a_large_accumulator_stops_growing() -> None:
    """In float32, G + g^2 is G once g^2 < G / 2^25: a hot coordinate's rate stops falling there."""
    model = LogisticRegression(bits=1, optimizer=AdaGrad(0.1, 1.0))
    model.table.rows[0, 1] = 2**25
    model.learn(Batch([0, 1], [0], None, [1]))
    assert model.table.accumulators[0, 0] == 2**25


def test_an_argument_of_another_type_is_refused() -> None:
    batch = random_batch(10)
    model = LogisticRegression(bits=6)
    rows: Any = BatchRows(*rows_of(batch))._replace(indices=batch.indices.astype(np.int64))
    with pytest.raises(TypeError, match=r"rows\.indices"):
        model._kernels.predict(rows, np.empty(len(batch), np.float32))
