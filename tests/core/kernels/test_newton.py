"""Lanes that are combined: to the bit as plain numpy does it, within their bound, and in any order."""

from dataclasses import astuple
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from core.kernels.test_mixture import STREAMS, reweighted
from core.streams import extreme_batch, random_batch
from nonzero import AdaGrad, Batch, LogisticRegression, SettingsError
from nonzero.kernels import newton
from nonzero.kernels.pending import MAX_PENDING
from nonzero.kernels.rules.optimizers import Kalman
from nonzero.model.lanes import COMBINED_LANES, kept_as
from nonzero.native.lanes import STACK_EXAMPLES, STACK_ROWS
from oracles import CombinedOracle, Float64Oracle, fold

KEPT = [lane for lane in kept_as(COMBINED_LANES) if isinstance(lane, Kalman)]


def combined(bits: int, **settings: Any) -> LogisticRegression:
    return LogisticRegression(bits, COMBINED_LANES, version=3, **settings)


def rates_of(model: LogisticRegression) -> Any:
    """Return float32[slots + 1, 8]: the lanes' rates, the intercept's last."""
    kept = model.table.accumulators
    return np.stack(
        [
            np.append(lane.rates(kept[:-1, k]), lane.for_intercept().rates(kept[-1:, k]))
            for k, lane in enumerate(KEPT)
        ],
        axis=1,
    )


class Learned(NamedTuple):
    """What the oracle makes of a batch, and in which states of its gate it was on the way."""

    batch: Batch
    oracle: CombinedOracle
    answers: NDArray[np.float32]
    states: set[tuple[bool, bool]]


@cache
def learned(weighted: bool, valued: bool) -> Learned:
    batch = random_batch(1, n=4000, valued=valued, weighted=weighted).rows(0, 2500)
    oracle, answers, states = CombinedOracle(6, [astuple(lane) for lane in KEPT]), [], set()
    for r in range(len(batch)):
        answers.append(fold(oracle, batch.rows(r, r + 1)))
        states.add((bool(oracle.open), oracle.learned > newton.EARLY_GATE))
    return Learned(batch, oracle, np.concatenate(answers), states)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "importance weights"])
@pytest.mark.parametrize("valued", [False, True], ids=["ones", "values"])
def test_learning_is_bit_equal_to_the_oracle(weighted: bool, valued: bool) -> None:
    batch, oracle, answers, _ = learned(weighted, valued)
    model = combined(6)
    np.testing.assert_array_equal(model.learn(batch), answers)
    np.testing.assert_array_equal(model.table.weights, oracle.w)
    np.testing.assert_array_equal(rates_of(model), oracle.v)
    shares = model._state.shares
    np.testing.assert_array_equal(shares[newton.SHARES], [*oracle.shares, *oracle.plain])
    np.testing.assert_array_equal(shares[newton.WEIGHTS], oracle.omega)
    np.testing.assert_array_equal(shares[newton.COVARIANCE :], oracle.covariance)
    numbers = [oracle.free_odds, oracle.odds, oracle.open, oracle.evidence, oracle.gained, oracle.lost]
    numbers += [oracle.spread, oracle.above, oracle.heft]
    np.testing.assert_array_equal(shares[newton.NUMBERS, : len(numbers)], np.array(numbers, np.float32))
    assert oracle.learned > 2 * newton.EARLY


def test_the_gate_opens_and_shuts_where_the_oracle_s_does() -> None:
    """Otherwise the free answer was compared with the oracle shut, or the restricted one open."""
    states = learned(False, False).states
    assert states == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize("k", [4, 5, 6])
def test_its_lanes_of_adagrad_are_adagrad(k: int) -> None:
    lane = COMBINED_LANES[k]
    assert isinstance(lane, AdaGrad)
    batch = random_batch(2, n=5000, slots=2**10, most=20)
    model, oracle = combined(10), Float64Oracle(10, lane.learning_rate, lane.epsilon)
    model.learn(batch)
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        oracle.learn(batch.indices[span], batch.explicit_values()[span], batch.labels[r])
    np.testing.assert_allclose(model.table.weights[:, k], oracle.w, rtol=2e-5, atol=2e-5)
    expected = lane.learning_rate / np.sqrt(oracle.g + lane.epsilon)
    np.testing.assert_allclose(rates_of(model)[:, k], expected, rtol=1e-4)


@pytest.mark.sampled(10)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("weights", ["ones", "mixed", "growing"])
@pytest.mark.parametrize("answer", ["restricted", "free"])
def test_regret_of_both_answers_is_bounded(stream: Any, weights: Any, answer: str) -> None:
    batch = STREAMS[stream]()
    n, largest = len(batch), 1.0
    rng = np.random.default_rng(4)
    if weights != "ones":
        s = rng.choice([0.0, 0.1, 1.0, 7.0], n) if weights == "mixed" else np.geomspace(0.01, 50, n)
        batch, largest = reweighted(batch, s), max(1.0, float(s.max()))
    model = combined(4)
    lost = 0.0
    for r in range(n):
        hold_gate(model, open=answer == "free")
        p = float(model.learn(batch.rows(r, r + 1))[0])
        lost -= float(batch.weights[r]) * np.log(p if batch.labels[r] else 1 - p)
    last = np.log(2) + 0.34
    if answer == "restricted":
        bound = largest * (np.log(5) + np.log(n + 1) / 2 + last)
        best = model.lane_losses[:5].min()
    else:
        bound = largest * ((np.log(8) + np.log(n + 1)) / 0.3 + last)
        best = model.lane_losses.min()
    assert lost - best <= bound + 1e-3 * n**0.5


def hold_gate(model: LogisticRegression, *, open: bool) -> None:
    """Let the next example be predicted by one of the two answers, whatever the evidence is."""
    model._state.shares[newton.NUMBERS, newton.OPEN] = open


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("run", [20, 80, 200, 500])
def test_a_run_of_one_label_opens_no_gate(label: int, run: int) -> None:
    model = combined(8)
    model.learn(random_batch(5, n=6000, slots=256))
    hold_gate(model, open=False)
    model._state.shares[newton.NUMBERS, [newton.GATE_EVIDENCE, newton.ABOVE]] = 0
    batch = random_batch(6, n=run, slots=256)
    model.learn(Batch(batch.indptr, batch.indices, batch.values, np.full(run, label)))
    assert model._state.shares[newton.NUMBERS, newton.OPEN] == 0


def test_while_the_gate_is_shut_predictions_are_between_the_plain_lanes() -> None:
    model = combined(6)
    model.learn(random_batch(5, n=3000))
    hold_gate(model, open=False)
    batch = random_batch(6, n=500)
    values, margins = batch.explicit_values(), []
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        margins.append(model.table.weights[-1] + values[span] @ model.table.weights[batch.indices[span]])
    chances = 1 / (1 + np.exp(-np.array(margins)[:, :5]))
    p = model.predict(batch)
    assert ((p >= chances.min(axis=1) - 1e-5) & (p <= chances.max(axis=1) + 1e-5)).all()


def test_shares_are_those_of_the_answer_that_is_given() -> None:
    model = combined(6)
    model.learn(random_batch(5, n=3000))
    hold_gate(model, open=False)
    assert (model.shares[5:] == 0).all()
    assert model.shares[:5].sum() == pytest.approx(1)
    restricted = model.weights
    hold_gate(model, open=True)
    assert (model.shares > 0).all()
    assert (model.weights != restricted).any()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_any_chunking_gives_the_same_bits(size: int) -> None:
    batch = random_batch(3, n=2_500, weighted=True)
    whole, chunked = combined(6), combined(6)
    expected = whole.learn(batch)
    parts = [
        chunked.learn(batch.rows(start, min(start + size, len(batch))))
        for start in range(0, len(batch), size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert chunked.digest() == whole.digest()


def test_predicting_agrees_with_learning_to_the_bit() -> None:
    model = combined(6)
    model.learn(random_batch(7, n=3000))
    batch = random_batch(8, n=100)
    predicted = model.predict(batch)
    for r in range(len(batch)):
        row = batch.rows(r, r + 1)
        assert model.predict(row)[0] == predicted[r]
    one = batch.rows(0, 1)
    assert model.learn(one)[0] == predicted[0]


def test_pending_examples_have_as_much_room_on_the_stack_as_in_a_model() -> None:
    assert (STACK_ROWS, STACK_EXAMPLES) == (newton.NEWTON_PENDING_ROWS, MAX_PENDING)


def test_more_weight_moves_further_and_never_past_the_label() -> None:
    for label in (0, 1):
        moved = []
        for s in np.geomspace(1e-3, 1e6, 41):  # without 1, whose step is the plain one, and may overshoot
            model = combined(4, scaled=False)
            model.learn(Batch([0, 2], [1, 2], [1.0, 3.0], [label], [s]))
            moved.append(model.table.weights[[1, 2, -1]].T @ np.array([1, 3, 1], np.float32))
        toward = np.array(moved) * (1 if label else -1)
        assert (np.diff(toward, axis=0) > 0).all()
        assert np.isfinite(toward).all()


@pytest.mark.parametrize(
    "lanes", [Kalman(), [Kalman()] * 7 + [AdaGrad(0.1, 1.0, 0.9)]], ids=["alone", "beside a decay"]
)
def test_lanes_that_cannot_be_combined_are_refused(lanes: Any) -> None:
    with pytest.raises(SettingsError, match="kalman"):
        LogisticRegression(4, lanes)


def test_a_floor_above_the_first_rates_keeps_them() -> None:
    model = LogisticRegression(4, [Kalman(0.25, 0.25, floor=floor) for floor in (5.0, *[0.25] * 7)])
    model.learn(Batch([0, 1, 2, 3], [1, 1, 1], labels=[1, 0, 1]))
    assert (model.table.weights[1] == model.table.weights[1, 0]).all()
    assert model.table.weights[1, 0] > 0


def test_no_accepted_batch_stores_a_number_that_is_not_finite() -> None:
    rng = np.random.default_rng(9)
    model = combined(3, scaled=False)
    for _ in range(400):
        p = model.learn(extreme_batch(rng))
        assert np.isfinite(p).all()
        assert ((p >= 0) & (p <= 1)).all()
    assert np.isfinite(model.table.weights).all()
    assert (rates_of(model) > 0).all()
    assert np.isfinite(model._state.shares).all()
    assert np.isfinite(model.metrics()["log_loss"])
