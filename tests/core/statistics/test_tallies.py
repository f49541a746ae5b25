"""Figures of predictions that nobody learned from, by group, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from nonzero.statistics.progressive import base_rate_loss
from nonzero.statistics.tallies import Scored, Tallies


def examples(n: int = 4000) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(3)
    truth = 1 / (1 + np.exp(-rng.normal(-1, 1.5, n)))
    guesses = 1 / (1 + np.exp(-np.log(truth / (1 - truth)) - rng.normal(0, [[0.1], [1.0]], (2, n))))
    return (
        (rng.random(n) < truth).astype(np.float32),
        rng.choice([0.5, 1, 2], n).astype(np.float32),
        guesses.astype(np.float32),
    )


def test_figures_are_those_of_scikit_learn() -> None:
    y, s, p = examples()
    tallies = Tallies(2)
    for part in np.array_split(np.arange(y.size), 7):
        tallies.add(Scored.of(y[part], s[part], p[:, part]))
    for model in range(2):
        found = tallies.described(0, model)
        assert found["examples"] == tallies.examples == y.size
        assert found["weight"] == tallies.weight == pytest.approx(s.sum())
        assert found["clicks"] == tallies.clicks == pytest.approx((s * y).sum())
        loss = log_loss(y, p[model].astype(float), sample_weight=s)
        assert found["log_loss"] == pytest.approx(loss, rel=1e-6)
        clicks, others = float((s * y).sum()), float((s * (1 - y)).sum())
        base = base_rate_loss(clicks, others) / s.sum()
        assert found["normalized_entropy"] == pytest.approx(loss / base, rel=1e-6)
        assert found["calibration"] == pytest.approx((s * p[model]).sum() / clicks, rel=1e-6)
        assert found["brier"] == pytest.approx(brier_score_loss(y, p[model], sample_weight=s), rel=1e-6)
        auc = roc_auc_score(y, p[model], sample_weight=s)
        assert found["auc"] == pytest.approx(auc, abs=3e-5)
        assert abs(found["auc"] - auc) <= found["auc_error"] < 0.002


def test_the_difference_is_the_first_less_the_second() -> None:
    y, s, p = examples()
    tallies = Tallies(2)
    tallies.add(Scored.of(y, s, p))
    first, second = (tallies.described(0, model)["log_loss"] for model in range(2))
    found = tallies.difference()
    assert found is not None
    assert found["mean"] == pytest.approx(first - second)
    assert found["low"] < found["mean"] < found["high"] < 0  # the second guesses worse
    alone = Tallies(1)
    alone.add(Scored.of(y, s, p[:1]))
    assert alone.difference() is None


def test_groups_are_as_if_each_came_alone() -> None:
    y, s, p = examples()
    which = np.random.default_rng(4).integers(0, 3, y.size)
    tallies = Tallies(2, groups=1)
    tallies.grow(4)
    tallies.add(Scored.of(y, s, p), np.arange(y.size), which)
    for group in range(3):
        alone = Tallies(2)
        alone.add(Scored.of(y[which == group], s[which == group], p[:, which == group]))
        assert tallies.described(group, 1) == pytest.approx(alone.described(0, 1))
        difference, other = tallies.difference(group), alone.difference()
        assert difference is not None
        assert other is not None
        assert difference["mean"] == pytest.approx(other["mean"])
    empty = tallies.described(3)
    assert (empty["examples"], empty["log_loss"], empty["auc"], empty["brier"]) == (0, None, None, None)


def test_losses_are_finite_where_float32_is_certain() -> None:
    labels, weights, certain = (np.array(one, np.float32) for one in ([0, 1], [1, 1], [[1, 0]]))
    scored = Scored.of(labels, weights, certain)
    assert np.isfinite(scored.losses).all()
    assert (scored.losses > 17).all()


def test_auc_is_exact_while_there_are_few_examples() -> None:
    y, s, p = examples()
    auc = roc_auc_score(y, p[1], sample_weight=s)
    for exact, error in ((y.size, 0), (y.size - 1, 1e-6)):
        tallies = Tallies(2, exact=exact)
        for part in np.array_split(np.arange(y.size), 7):
            tallies.add(Scored.of(y[part], s[part], p[:, part]))
        found = tallies.described(0, 1)
        assert (found["auc_error"] == 0) == (error == 0)
        assert (found["auc"] == pytest.approx(auc, abs=1e-9)) == (error == 0)
