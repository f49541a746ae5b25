"""Figures over a stream agree with figures over the whole, and with an independent library's."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from nonzero_service.demo.figures import Figures, Truth


def test_figures_are_those_of_the_whole_stream() -> None:
    generator = np.random.default_rng(0)
    p = generator.beta(1, 12, 20_000)
    labels = (generator.random(p.size) < p).astype(np.float32)
    weights = generator.choice(np.array([0, 0.5, 1, 3], np.float32), p.size)
    figures = Figures()
    for start in range(0, p.size, 100):
        part = slice(start, start + 100)
        figures.add(p[part], labels[part], weights[part])
    summary = figures.summary()
    assert summary["examples"] == p.size
    assert summary["log_loss"] == pytest.approx(log_loss(labels, p, sample_weight=weights), rel=1e-6)
    assert summary["auc"] == pytest.approx(roc_auc_score(labels, p, sample_weight=weights), abs=5e-4)
    assert summary["calibration"] == pytest.approx((p @ weights) / (labels @ weights), rel=1e-6)


def test_figures_that_are_not_defined_are_none() -> None:
    figures = Figures()
    assert figures.summary() == {"examples": 0, "log_loss": None, "auc": None, "calibration": None}
    figures.add(np.array([0.0, 0.5]), np.zeros(2, np.float32), np.ones(2, np.float32))
    summary = figures.summary()
    assert (summary["auc"], summary["calibration"]) == (None, None)
    assert summary["log_loss"] == pytest.approx(np.log(2) / 2)


def test_a_certain_prediction_that_was_wrong_costs_much_and_not_all() -> None:
    figures = Figures()
    figures.add(np.array([0.0, 1.0]), np.array([1, 0], np.float32), np.ones(2, np.float32))
    loss = figures.summary()["log_loss"]
    assert loss is not None
    assert 20 < loss < np.inf


def test_truth_is_compared_by_twentieths_of_the_log() -> None:
    truth = Truth(1000)
    rates = np.full(1000, 0.2)
    predicted = rates + np.repeat(np.arange(20), 50) / 100
    for start in range(0, 1000, 70):
        truth.add(predicted[start : start + 70], rates[start : start + 70])
    assert truth.distances() == pytest.approx(np.arange(20) / 100)
    assert truth.best_log_loss() == pytest.approx(-0.2 * np.log(0.2) - 0.8 * np.log(0.8))
