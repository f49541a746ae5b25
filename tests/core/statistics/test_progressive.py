"""The figures of progressive validation against plain numpy and scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from core.streams import random_batch
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.kernels.progress import RECENT
from nonzero.statistics import progressive


def running_rate_loss(labels: Any, weights: Any, pieces: int) -> float:
    """The loss of the click rate so far, each example's weight given in so many pieces."""
    s = np.repeat(weights.astype(float) / pieces, pieces)
    y = np.repeat(labels.astype(float), pieces)
    rate = (np.cumsum(s * y) - s * y + 0.5) / (np.cumsum(s) - s + 1)
    return float(-s @ np.log(np.where(y == 1, rate, 1 - rate)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", [None, AdaGrad(0.3)], ids=["eight lanes", "one lane"])
def test_figures_are_those_of_the_predictions_made(weighted: Any, optimizer: Any) -> None:
    batch = random_batch(1, n=5000, weighted=weighted)
    model = LogisticRegression(bits=6, optimizer=optimizer)
    p = model.learn(batch).astype(float)
    y, s = batch.labels, batch.weights
    base = running_rate_loss(y, s, 500 if weighted else 1) / s.sum()
    figures = model.metrics()
    assert figures["examples"] == 5000
    for part in (figures, figures["recent"]):
        assert part["weight"] == pytest.approx(s.sum())
        assert part["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=s), rel=1e-5)
        assert part["normalized_entropy"] == pytest.approx(
            part["log_loss"] / base, rel=2e-3 if weighted else 1e-6
        )
        assert part["calibration"] == pytest.approx((s @ p) / (s @ y), rel=1e-5)
    exact = roc_auc_score(y, p, sample_weight=s)
    assert abs(figures["auc"] - exact) <= figures["auc_error"] < 0.02
    assert figures["recent"]["auc"] == pytest.approx(exact, abs=1e-9)


def test_recent_covers_the_last_examples_only() -> None:
    """The first half is all clicks, the second none: the window forgets."""
    model = LogisticRegression(bits=1, optimizer=AdaGrad(0.1))
    n = RECENT
    p = model.learn(Batch(np.zeros(2 * n + 1, int), [], None, np.arange(2 * n) < n))
    recent = model.metrics()["recent"]
    assert recent["examples"] == n
    assert recent["calibration"] is None
    assert recent["auc"] is None
    assert recent["log_loss"] == pytest.approx(-np.log1p(-p[n:].astype(float)).mean(), rel=1e-4)


def test_what_is_not_defined_is_none() -> None:
    model = LogisticRegression(bits=1)
    names = ("log_loss", "auc", "auc_error", "normalized_entropy", "calibration")
    assert all(model.metrics()[name] is None for name in names)
    model.learn(Batch([0, 0], [], None, [0]))
    figures = model.metrics()
    assert figures["log_loss"] == pytest.approx(np.log(2))
    assert figures["normalized_entropy"] == pytest.approx(1)
    assert all(figures[name] is None for name in ("auc", "auc_error", "calibration"))


def test_a_certain_and_wrong_prediction_has_a_finite_loss() -> None:
    model = LogisticRegression(bits=1, optimizer=AdaGrad(0.1))
    model.table.rows[0, 0] = 1e6
    model.learn(Batch([0, 1], [0], None, [0]))
    assert model.metrics()["log_loss"] == pytest.approx(50, rel=1e-5)


def test_figures_since_a_moment_are_those_of_the_predictions_made_after_it() -> None:
    model = LogisticRegression(bits=6)
    model.learn(random_batch(1, n=3000, weighted=True))
    moment = model.seen()
    assert progressive.describe(moment, recent=False) == model.metrics(recent=False)
    p = model.learn(batch := random_batch(2, n=2000, weighted=True)).astype(float)
    y, s = batch.labels, batch.weights
    figures = progressive.describe(model.seen(since=moment), recent=False)
    assert figures["examples"] == 2000
    assert figures["weight"] == pytest.approx(s.sum())
    assert figures["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=s), rel=1e-5)
    assert figures["calibration"] == pytest.approx((s @ p) / (s @ y), rel=1e-5)
    assert abs(figures["auc"] - roc_auc_score(y, p, sample_weight=s)) <= figures["auc_error"] < 0.02
    nothing = progressive.describe(model.seen(since=model.seen()), recent=False)
    assert (nothing["examples"], nothing["log_loss"], nothing["auc"]) == (0, None, None)
