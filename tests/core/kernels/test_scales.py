"""Learned scales: against the oracle to the bit, and what they are for."""

from typing import Any

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, Batch, LogisticRegression
from oracles import ScaleOracle

DEFAULT_RATE = AdaGrad(0.15, 0.1)


def with_fields(batch: Any, fields: Any) -> Any:
    return Batch(
        batch.indptr, batch.indices, batch.values, batch.labels, batch.weights, fields=fields[batch.indices]
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("named", [False, True], ids=["direct indices", "named fields"])
def test_values_are_scaled_as_by_the_oracle(named: Any, version: Any) -> None:
    rng = np.random.default_rng(0)
    plain = random_batch(1, n=400, slots=64)
    values = plain.explicit_values() * 10.0 ** (plain.indices % 8 - 3.0)
    values[rng.random(values.size) < 0.1] = 1
    values[rng.random(values.size) < 0.02] = 0
    values[100:110] = 9e5
    batch = Batch(plain.indptr, plain.indices, values, plain.labels)
    batch = with_fields(batch, rng.integers(1, 9, 64).astype(np.uint16)) if named else batch
    groups = batch.indices if batch.fields is None else batch.fields
    model = LogisticRegression(bits=6, optimizer=DEFAULT_RATE, scaled=True, version=version)
    oracle = ScaleOracle(recovering=version > 1)
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        row = batch.rows(r, r + 1)
        before = model.scaled_values(row)
        model.learn(row)
        np.testing.assert_array_equal(before, oracle.take(groups[span], batch.explicit_values()[span]))


def test_a_unit_of_measure_makes_no_difference() -> None:
    """Columns in thousandths or millions: the same predictions, once the model has the scale."""
    plain = random_batch(2, n=2000, slots=16)
    units = 2.0 ** np.array([-10, 9, 0, 4, -3, 12, -7, 1] * 2)
    measured = Batch(
        plain.indptr, plain.indices, plain.explicit_values() * units[plain.indices], plain.labels
    )
    first, second = (LogisticRegression(bits=4) for _ in range(2))
    np.testing.assert_array_equal(first.learn(plain), second.learn(measured))


def test_rows_of_ones_are_the_same_with_and_without_values() -> None:
    """A model that knows no scale, and one that does: values that are absent are ones."""
    ones = random_batch(3, valued=False)
    explicit = Batch(ones.indptr, ones.indices, np.ones(ones.nnz), ones.labels)
    for before in (Batch.empty(), random_batch(4)):
        first, second = (LogisticRegression(bits=6) for _ in range(2))
        for model, batch in ((first, ones), (second, explicit)):
            model.learn(before)
            model.learn(batch)
        assert first.digest() == second.digest()


def test_one_mad_value_does_not_blind_its_field() -> None:
    model = LogisticRegression(bits=4)
    batch = Batch(np.arange(1001), np.full(1000, 3), np.full(1000, 2.0), np.arange(1000) % 2)
    model.learn(batch)
    model.learn(Batch([0, 1], [3], [1e6], [1]))
    assert model.scaled_values(Batch([0, 1], [3], [2.0]))[0] > 0.5
    assert model.scaled_values(Batch([0, 1], [3], [1e6]))[0] == 30


def normal_rows(n: int, seed: int = 0) -> Batch:
    """One value of N(0, 1) a row, and a label that depends on it: log loss 0.4665 where that is known."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).astype(np.float32)
    labels = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    return Batch(np.arange(n + 1), np.full(n, 3), x, labels)


@pytest.mark.parametrize("row", [*range(10), 40, 1000])
def test_a_field_recovers_from_a_mad_value_wherever_it_comes(row: Any) -> None:
    batch = normal_rows(30_000)
    values = batch.explicit_values().copy()
    values[row] = 1e6
    mad = Batch(batch.indptr, batch.indices, values, batch.labels)
    model, sane = LogisticRegression(bits=4), LogisticRegression(bits=4)
    model.learn(mad)
    sane.learn(batch)
    assert model.metrics()["log_loss"] < sane.metrics()["log_loss"] + 0.005
    assert model.scaled_values(Batch([0, 1], [3], [1.0]))[0] > 0.5


def test_a_field_recovers_from_a_beginning_in_another_unit() -> None:
    """The first hundred values in thousandths of what comes later."""
    batch = normal_rows(20_000)
    values = batch.explicit_values().copy()
    values[:100] *= 1000
    model, sane = LogisticRegression(bits=4), LogisticRegression(bits=4)
    model.learn(Batch(batch.indptr, batch.indices, values, batch.labels))
    sane.learn(batch)
    assert model.metrics()["log_loss"] < sane.metrics()["log_loss"] + 0.01


def test_a_field_of_version_1_stays_blind_as_it_was() -> None:
    batch = normal_rows(2000)
    values = batch.explicit_values().copy()
    values[0] = 1e6
    model = LogisticRegression(bits=4, version=1)
    model.learn(Batch(batch.indptr, batch.indices, values, batch.labels))
    assert model.scaled_values(Batch([0, 1], [3], [1.0]))[0] < 1e-3


def test_mad_values_do_not_blind_a_field_of_ones() -> None:
    model = LogisticRegression(bits=4)
    ones = Batch(np.arange(10_001), np.full(10_000, 3), None, np.arange(10_000) % 2)
    model.learn(ones)
    model.learn(Batch(np.arange(101), np.full(100, 3), np.full(100, 1000.0), np.ones(100)))
    assert model.scaled_values(Batch([0, 1], [3], [1.0]))[0] > 0.2


def test_any_chunking_learns_the_same_scales() -> None:
    ones, valued = random_batch(7, n=500, valued=False), random_batch(8, n=500)
    batch = Batch.concatenate([ones, valued, ones])
    whole, chunked = (LogisticRegression(bits=6) for _ in range(2))
    whole.learn(batch)
    for part in (ones, valued, ones):
        for start in range(0, 500, 37):
            chunked.learn(part.rows(start, min(start + 37, 500)))
    assert chunked.digest() == whole.digest()


@pytest.mark.parametrize("scaled", [True, False])
def test_a_scaling_model_survives_saving(tmp_path: Any, scaled: Any) -> None:
    model = LogisticRegression(bits=6, optimizer=DEFAULT_RATE, scaled=scaled)
    model.learn(random_batch(5))
    model.save(tmp_path / "m")
    again = LogisticRegression.load(tmp_path / "m", scaled=scaled)
    assert again.settings["scaled"] is scaled
    assert again.digest() == model.digest()
    more = random_batch(6)
    np.testing.assert_array_equal(again.learn(more), model.learn(more))


def test_examples_of_weight_zero_teach_no_scale() -> None:
    model = LogisticRegression(bits=4)
    model.learn(Batch([0, 1], [3], [5.0], [1], [0]))
    assert model.scaled_values(Batch([0, 1], [3], [2.0]))[0] == 1
