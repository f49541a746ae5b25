"""FTRL-proximal and dual averaging, alone and beside AdaGrad, against plain numpy and their formulas."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.scenarios import Stream
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, DualAveraging, LogisticRegression, SettingsError
from nonzero.model.lanes import lanes_to_settings
from oracles import AnyRuleOracle, DualAveragingOracle, FTRLOracle, fold
from thoroughly import examples

FOLLOWER = FTRL(0.2, 0.5, 0.3, 0.1)
AVERAGING = DualAveraging(0.3, 1e-4, 0.5)
MIXED = (
    AdaGrad(0.1, 1.0), FOLLOWER, AVERAGING, AdaGrad(0.3, 0.01, 0.9), FTRL(), DualAveraging(),
    AdaGrad(0.5, 0.1), FTRL(0.05, 1.0, 0.0, 0.0),
)  # fmt: skip
OPTIMIZERS: dict[str, Any] = {"ftrl": FOLLOWER, "dual averaging": AVERAGING, "eight": MIXED}
ONE_LANE: dict[str, Any] = {"ftrl": FOLLOWER, "dual averaging": AVERAGING}

# A fixed stream's state to the bit, as in test_model.
PINNED = {
    "ftrl": "2150843c6806df52e3d7c92854007f24",
    "dual averaging": "21d4738755289e4e18f07df63650c68b",
    "eight": "14a0faba938181dd6177bfbd7494b463",
}


def lanes_of(optimizer: Any) -> Any:
    return [list(lane.values()) for lane in lanes_to_settings(LogisticRegression(1, optimizer).lanes)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "importance weights"])
def test_learning_is_bit_equal_to_the_oracle(optimizer: Any, weighted: Any) -> None:
    batch = random_batch(1, n=500, weighted=weighted)
    model, oracle = LogisticRegression(6, optimizer), AnyRuleOracle(6, lanes_of(optimizer))
    np.testing.assert_array_equal(model.learn(batch), fold(oracle, batch))
    np.testing.assert_array_equal(model.table.weights, oracle.w)
    np.testing.assert_array_equal(model.table.accumulators, oracle.g)
    np.testing.assert_array_equal(model._state.shares[0, : oracle.shares.size], oracle.shares)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fixed_stream_has_a_pinned_digest(name: Any) -> None:
    model = LogisticRegression(8, OPTIMIZERS[name], version=1, namespace_separator="^")
    model.learn(random_batch(11, n=3000, slots=256, most=20, weighted=True))
    assert model.digest() == PINNED[name]


@pytest.mark.parametrize(
    ("optimizer", "oracle"),
    [
        (FTRL(0.1, 1.0, 0.5, 0.2), FTRLOracle(10, 0.1, 1.0, 0.5, 0.2)),
        (DualAveraging(0.1, 1e-5, 1.0), DualAveragingOracle(10, 0.1, 1e-5, 1.0)),
    ],
    ids=ONE_LANE,
)
def test_one_lane_follows_the_published_formula_in_float64(optimizer: Any, oracle: Any) -> None:
    batch = random_batch(2, n=5_000, slots=2**10, most=20)
    batch = Batch(batch.indptr, batch.indices, values_of_first(batch), batch.labels)
    model = LogisticRegression(10, optimizer)
    model.learn(batch)
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        oracle.learn(batch.indices[span], batch.explicit_values()[span], batch.labels[r])
    expected = np.array([oracle.weight(i) for i in range(2**10 + 1)])
    assert (expected == 0).sum() > 10
    np.testing.assert_allclose(model.weights, expected, atol=2e-5)
    assert ((model.weights == 0) == (expected == 0)).mean() > 0.999


def values_of_first(batch: Any) -> Any:
    """Give a slot that is named again in a row the value 0: the published algorithms know no such rows."""
    rows = np.repeat(np.arange(len(batch)), np.diff(batch.indptr))
    first = np.unique(rows * 2**10 + batch.indices, return_index=True)[1]
    values = np.zeros(batch.nnz)
    values[first] = batch.explicit_values()[first]
    return values


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_any_chunking_gives_the_same_bits_and_saving_keeps_them(optimizer: Any, tmp_path: Any) -> None:
    batch = random_batch(3, n=1_000, weighted=True)
    whole, chunked = (LogisticRegression(6, optimizer) for _ in range(2))
    whole.learn(batch)
    for start in range(0, 1_000, 7):
        chunked.learn(batch.rows(start, min(start + 7, 1_000)))
    assert chunked.digest() == whole.digest()
    whole.save(tmp_path / "m")
    again = LogisticRegression.load(tmp_path / "m", optimizer=optimizer)
    assert again.digest() == whole.digest()
    np.testing.assert_array_equal(again.predict(batch), whole.predict(batch))
    with pytest.raises(SettingsError, match="lanes"):
        LogisticRegression.load(tmp_path / "m", optimizer=None)


def test_lanes_of_adagrad_learn_beside_others_what_they_learn_alone() -> None:
    batch = random_batch(4, n=2_000, weighted=True)
    alone = LogisticRegression(6, [lane if isinstance(lane, AdaGrad) else AdaGrad() for lane in MIXED])
    beside = LogisticRegression(6, MIXED)
    alone.learn(batch)
    beside.learn(batch)
    lanes = [k for k, lane in enumerate(MIXED) if isinstance(lane, AdaGrad)]
    np.testing.assert_array_equal(beside.table.weights[:, lanes], alone.table.weights[:, lanes])
    np.testing.assert_array_equal(beside.table.accumulators[:, lanes], alone.table.accumulators[:, lanes])


@settings(max_examples=examples(40))
@given(
    st.sampled_from([*OPTIMIZERS.values(), FTRL(1e3, 1e-6, 0, 0), FTRL(1e-9, 1e6, 1e6, 1e6)]),
    st.integers(0, 2**32 - 1),
)
def test_no_accepted_batch_stores_a_number_that_is_not_finite(optimizer: Any, seed: Any) -> None:
    rng = np.random.default_rng(seed)
    model = LogisticRegression(3, optimizer)
    n, k = 40, 6
    batch = Batch(
        np.arange(0, n * k + 1, k),
        rng.integers(0, 8, n * k),
        rng.choice(np.array([1e6, -1e6, 1e-38, 1e-45, 0, 1], np.float32), n * k),
        rng.integers(0, 2, n),
        rng.choice(np.array([0, 1e-45, 1e-38, 1, 1e6], np.float32), n),
    )
    p = model.learn(batch)
    assert ((p >= 0) & (p <= 1)).all()
    assert np.isfinite(model.table.rows).all()
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.uncertainty(batch)).all()
    assert np.isfinite(model.metrics()["log_loss"])


@pytest.mark.parametrize(
    "penalised",
    [lambda k: FTRL(0.1, 1.0, k * 1.0, 0.0), lambda k: DualAveraging(0.1, k * 1e-4, 1.0)],
    ids=ONE_LANE,
)
def test_more_l1_gives_more_weights_that_are_exactly_0(penalised: Any) -> None:
    """Twelve fields of noise: no taste at all."""
    batch = Stream(1, spread=0.0).batch(10_000)
    shares = []
    for k in (0, 1, 3, 10):
        model = LogisticRegression(12, penalised(k))
        model.learn(batch)
        seen = model.weights[np.unique(batch.indices)]
        shares.append((seen == 0).mean())
    assert shares[0] == 0
    assert (np.diff(shares) > 0).all()
    assert shares[-1] > 0.9
    empty, unseen = model.predict(Batch([0, 0, 1], [4095]))
    assert empty == unseen


@pytest.mark.parametrize("start", [-2.0, 0.0, 0.7])
@pytest.mark.parametrize("label", [0, 1])
def test_a_heavier_example_moves_ftrl_further_but_less_than_alpha(start: Any, label: Any) -> None:
    weights = []
    for s in np.geomspace(1e-3, 1e6, 40):
        model = LogisticRegression(1, FTRL(0.25, 1.0, 0.5, 0.1))
        model.table.rows[0] = start, 0.3
        before = model.weights[0]
        model.learn(Batch([0, 1], [0], [2.0], [label], [s]))
        weights.append(model.weights[0])
    steps = np.diff(weights) * (1 if label else -1)
    assert (steps >= 0).all()
    assert (steps > 0).any()
    assert np.abs(np.array(weights) - before).max() <= 0.25


def test_a_heavy_example_adds_at_most_the_rate_to_dual_averaging() -> None:
    model = LogisticRegression(1, DualAveraging(0.25, 0.0, 1.0))
    model.learn(Batch([0, 1], [0], None, [1], [1e6]))
    assert 0.249 < model.weights[0] <= 0.25


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_prediction_is_taken_apart_and_its_uncertainty_known(optimizer: Any) -> None:
    model = LogisticRegression(6, optimizer)
    model.learn(random_batch(5))
    batch = Batch([0, 3], [1, 2, 9], [1.0, -2.0, 0.5])
    explanation = model.explain(batch)
    log_odds = explanation.contributions.sum() + explanation.intercept + explanation.mixing
    assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(explanation.probability, rel=1e-5)
    np.testing.assert_allclose(explanation.weights, model.weights[[1, 2, 9]], rtol=1e-6)
    assert model.uncertainty(batch) > 0
    if optimizer is not MIXED:
        assert explanation.mixing == pytest.approx(0, abs=1e-5)
        before = model.uncertainty(batch)
        model.learn(Batch.concatenate([Batch([0, 3], [1, 2, 9], [1.0, -2.0, 0.5], [1])] * 50))
        assert 0 < model.uncertainty(batch) < before


def test_no_example_moves_a_prediction_of_ftrl_by_more_than_its_uncertainty() -> None:
    model = LogisticRegression(8, FTRL(0.2, 0.5, 0.2, 0.0))
    model.learn(random_batch(6, slots=200))
    rng = np.random.default_rng(7)
    for _ in range(50):
        slots = rng.choice(256, 8, replace=False)
        row = Batch([0, 8], slots, rng.uniform(-1, 1, 8), [1])
        before, bound = (model.predict(row)[0], model.uncertainty(row)[0])
        model.learn(row)
        after = model.predict(row)[0]
        assert abs(np.log(after / (1 - after)) - np.log(before / (1 - before))) <= bound * (1 + 1e-5)


@pytest.mark.parametrize(
    "optimizer", [FOLLOWER, AVERAGING, [FTRL()] * 8], ids=["ftrl", "dual", "eight alike"]
)
def test_without_adagrad_nothing_is_known_and_nothing_mended(optimizer: Any) -> None:
    model = LogisticRegression(6, optimizer)
    model.learn(random_batch(8))
    answer = model.diagnose()
    assert answer["verdict"] == "unknown"
    assert answer["remedy"]["setting"] == {"optimizer": "auto"}
    digest = model.digest()
    with pytest.raises(SettingsError, match="no lane of AdaGrad"):
        model.apply_remedy({"action": "rescale", "factor": 0.5})
    assert model.digest() == digest


def test_lanes_of_adagrad_are_diagnosed_and_mended_beside_others() -> None:
    model = LogisticRegression(14, MIXED)
    model.learn(Stream(1).batch(20_000))
    assert model.diagnose()["verdict"] in {"learning", "converged"}
    with pytest.raises(SettingsError, match=r"lanes of AdaGrad are \[0, 3, 6\]"):
        model.apply_remedy({"action": "rescale", "factor": 0.5, "lanes": [1]})
    before = model.table.accumulators.copy()
    done = model.apply_remedy({"action": "rescale", "factor": 0.5})
    assert [lane["lane"] for lane in done["lanes"]] == [0, 3, 6]
    np.testing.assert_array_equal(model.table.accumulators[:, 1], before[:, 1])
    np.testing.assert_array_equal(model.table.accumulators[:, 0], before[:, 0] / 2)
