"""Formula: a copy of what predictions are made of."""

from __future__ import annotations

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, Batch, LogisticRegression


def test_it_stays_as_it_was_while_the_model_learns_on() -> None:
    model = LogisticRegression(bits=8, recalibrated=True)
    model.learn(random_batch(0))
    before, again = model.formula(), model.formula()
    model.learn(random_batch(1))
    after = model.formula()
    assert before.answers is not None
    assert again.answers is not None
    assert after.answers is not None
    assert (before.answers.regression == again.answers.regression).all()
    assert (before.answers.regression != after.answers.regression).any()
    assert (before.shares != after.shares).any()
    assert before.map != after.map


def test_one_lane_has_neither_answers_nor_scales() -> None:
    formula = LogisticRegression(bits=8, optimizer=AdaGrad()).formula()
    assert (formula.answers, formula.scales, formula.map) == (None, None, None)
    assert (formula.shares.tolist(), formula.averaging.tolist()) == ([1], [1])


def test_scales_are_what_values_are_divided_by() -> None:
    model = LogisticRegression(bits=8)
    model.learn(Batch([0, 1, 2], [3, 3], [2.0, 4.0], [1, 0], fields=[9, 9]))
    scales = model.formula().scales
    assert scales is not None
    assert scales[9] == pytest.approx(10**0.5)
    assert np.flatnonzero(scales).tolist() == [9]
    assert model.scaled_values(Batch([0, 1], [3], [1.0], fields=[9])).tolist() == [np.float32(10**-0.5)]


def test_the_map_is_there_where_predictions_go_through_it() -> None:
    model = LogisticRegression(bits=8)
    model.begin_recalibration()
    assert model.formula().map is None
    model.recalibrating = True
    assert model.formula().map == (1, 0)
