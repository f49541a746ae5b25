"""Coordinates: the table as predictions read it, by its touched rows."""

from __future__ import annotations

import numpy as np
import pytest

from core.export.models import MODELS, model_of
from core.streams import random_batch
from nonzero import LogisticRegression
from nonzero.export.coordinates import chosen, coordinates_of, intercept_of, largest, untouched


@pytest.mark.parametrize("name", MODELS)
def test_their_weights_are_the_models(name: str) -> None:
    model = model_of(name)
    formula = model.formula()
    weights = np.zeros(2**model.bits + 1, np.float32)
    for some in [*coordinates_of(model, formula), intercept_of(model, formula)]:
        weights[some.slots] = some.weights @ formula.averaging
        assert some.weights.shape == (some.slots.size, len(model.lanes))
        assert (some.variances is None) == (formula.answers is None)
    assert np.allclose(weights, model.weights, rtol=1e-5, atol=1e-6)


def test_variances_are_rates_that_fall_from_the_first_one() -> None:
    model = model_of("default")
    formula = model.formula()
    first = untouched(formula).variances
    assert first is not None
    assert first.tolist() == [np.float32(0.3)]
    for some in coordinates_of(model, formula):
        assert some.variances is not None
        assert (some.variances < first).all()
        assert (some.variances > 0).all()


def test_a_table_of_few_rows_is_not_spread() -> None:
    model = LogisticRegression(bits=20)
    model.learn(random_batch(0, n=100))
    assert not model.rows.are_spread
    found = [*coordinates_of(model, model.formula())]
    assert sum(some.slots.size for some in found) == np.unique(random_batch(0, n=100).indices).size
    assert not model.rows.are_spread


def test_the_largest_are_found_piece_by_piece() -> None:
    model = LogisticRegression(bits=17)  # more rows than are looked at together
    model.learn(random_batch(0, n=20_000, slots=2**17))
    formula = model.formula()
    assert len([*coordinates_of(model, formula)]) > 1
    by_size = np.argsort(-np.abs(model.weights[:-1]), kind="stable")
    found = largest(model, formula, 1000)
    assert found.tolist() == sorted(found.tolist())
    assert len(set(found.tolist()) & set(by_size[:1000].tolist())) > 995  # averages differ in the last bit
    assert sum(some.slots.size for some in chosen(model, formula, 10)) == 10
    assert largest(model_of("new"), model_of("new").formula(), 5).size == 0


def test_a_weight_of_0_whose_rate_has_fallen_is_kept() -> None:
    model = LogisticRegression(bits=4)
    model.learn(random_batch(0, n=50, slots=8))
    model.table.rows[:-1, :8] = 0
    [found] = coordinates_of(model, model.formula())
    assert found.slots.tolist() == [*range(8)]
    assert not found.weights.any()
