"""Every rule that there is keeps what :class:`nonzero.kernels.rules.interface.UpdateRule` says of a rule."""

from __future__ import annotations

import inspect
from itertools import product
from typing import Any

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, Batch, LogisticRegression, SettingsError
from nonzero.kernels import entry_points
from nonzero.kernels.entry_points import kernels_for
from nonzero.kernels.learning import Learner
from nonzero.kernels.rules.interface import UpdateRule
from nonzero.kernels.rules.optimizers import RULES, hyperparameters_of

ARGUMENTS: dict[str, list[Any]] = {
    "read_params": ["hyperparameters", "learned"],
    "weight": [..., ..., "params"],
    "update": [..., ..., "g", "params"],
    "learn": ["step", "rows", "table", "example", "params"],
    "learn_weighted": ["step", "rows", "table", "example", "params"],
}
COMPILED = {name: one.rule for name, one in vars(entry_points).items() if isinstance(one, Learner)}
ALONE = {name: rule for name, rule in RULES.items() if rule.family != "kalman"}
EVERY_RULE = pytest.mark.parametrize("rule", ALONE.values(), ids=ALONE)
"""Every rule of which one lane may stand alone."""


def extremes(rule: Any) -> list[Any]:
    """Return the rule with each hyperparameter at either end of its range, in every combination."""
    return [rule(*ends) for ends in product(*rule.ranges.values())]


@pytest.mark.parametrize("compiled", COMPILED.values(), ids=COMPILED)
def test_its_functions_take_what_kernels_give(compiled: UpdateRule) -> None:
    for name, function in compiled._asdict().items():
        if function is None:
            continue
        plain: Any = getattr(function, "function", function)
        given = [*inspect.signature(plain).parameters]
        wanted = ARGUMENTS[name]
        assert len(given) == len(wanted)
        assert all(b in (..., a) for a, b in zip(given, wanted, strict=True)), (name, given)


@EVERY_RULE
def test_each_hyperparameter_has_a_range_and_a_place_of_its_own(rule: Any) -> None:
    lane = rule()
    named = {name for name in lane.places if name}
    assert named == set(lane.ranges) == set(inspect.signature(rule).parameters)
    assert len({*lane.places.values()}) == len(lane.places)
    array = hyperparameters_of([AdaGrad(), lane]).reshape(-1, 2, 2)
    for name, (row, half) in lane.places.items():
        assert array[row, half, 1] == np.float32(getattr(lane, name) if name else 1)
    kinds = [other.places[None] for other in RULES.values()]
    assert len(set(kinds)) == len(kinds)
    assert kernels_for([lane]) != kernels_for([lane] * 8)


@EVERY_RULE
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "importance weights"])
def test_a_lane_learns_alone_what_it_learns_beside_others(rule: Any, weighted: bool) -> None:
    """To the bit: one lane is summed and learned in eight rows at once, eight lanes row by row."""
    lanes = [
        rule(),
        *(other() for other in ALONE.values()),
        rule(*(low + 0.5 for low, _ in rule.ranges.values())),
    ]
    lanes += [AdaGrad(0.3)] * (8 - len(lanes))
    batch = random_batch(1, n=400, slots=64, most=30, weighted=weighted)
    together = LogisticRegression(6, lanes)
    together.learn(batch)
    for k, lane in enumerate(lanes):
        alone = LogisticRegression(6, lane)
        alone.learn(batch)
        np.testing.assert_array_equal(together.table.weights[:, k], alone.table.weights[:, 0])
        np.testing.assert_array_equal(together.table.accumulators[:, k], alone.table.accumulators[:, 0])


@EVERY_RULE
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_gradient_of_zero_leaves_an_untouched_row_untouched(rule: Any, lanes: int) -> None:
    model = LogisticRegression(4, [rule()] * lanes)
    for weight in (1, 3):
        model.learn(Batch([0, 2], [3, 5], [0.0, 1.0], [1], [weight]))
    assert not model.table.rows[3].view(np.uint32).any()
    assert model.table.rows[5].any()


@EVERY_RULE
def test_what_it_stores_stays_within_its_bounds(rule: Any) -> None:
    rng = np.random.default_rng(9)
    values = np.array([1e6, -1e6, 1e-38, 1e-45, 0, 1], np.float32)
    weights = np.array([0, 1e-45, 1e-38, 1, 1e6], np.float32)
    for lane in extremes(rule):
        model = LogisticRegression(3, lane)
        for _ in range(40):
            n, k = 5, 6
            indices, labels = rng.integers(0, 8, n * k), rng.integers(0, 2, n)
            batch = Batch(
                np.arange(0, n * k + 1, k), indices, rng.choice(values, n * k), labels, rng.choice(weights, n)
            )
            assert np.isfinite(model.learn(batch)).all()
        first, second = model.table.rows.T
        assert (np.abs(first) <= lane.largest).all(), lane
        assert ((second >= 0) & (second <= 1e30)).all(), lane
        assert np.isfinite(model.weights).all(), lane


@EVERY_RULE
def test_its_weights_outside_of_kernels_are_those_that_predict(rule: Any) -> None:
    model = LogisticRegression(6, rule())
    model.learn(random_batch(3, n=300, slots=64))
    batch = random_batch(4, n=50, slots=64)
    margins = batch.to_csr(6) @ model.weights[:-1] + model.weights[-1]
    np.testing.assert_allclose(model.predict(batch), 1 / (1 + np.exp(-margins)), rtol=2e-5)


class Unknown(AdaGrad):
    """A rule that has no kernel."""

    family = "unknown"


@pytest.mark.parametrize("lanes", [[Unknown()], [Unknown()] * 8, [Unknown(), *[AdaGrad()] * 7]])
def test_lanes_that_no_kernel_knows_are_refused_by_their_family(lanes: list[AdaGrad]) -> None:
    """Not learned from as those of another."""
    with pytest.raises(SettingsError, match=f"no kernel of {len(lanes)} lanes knows the family 'unknown'"):
        LogisticRegression(4, lanes)
