# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Eight lanes of different rules: each rule is worked out for all lanes, and each lane takes its own."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from nonzero.arithmetic.intrinsics import load, store, where
from nonzero.kernels.rules import optimizers as places
from nonzero.kernels.rules.adagrad import ADAGRAD, learn_lanes
from nonzero.kernels.rules.interface import UpdateRule, hyperparameter, residual
from nonzero.kernels.rules.leader import LEADER
from nonzero.native import inlined


class MixedParams(NamedTuple):
    """The params of each rule, and 1 for each lane that follows AdaGrad."""

    adagrad: Any
    leader: Any
    is_adagrad: Any


@inlined
def read_params(hyperparameters, learned):
    """Read the hyperparameters of both rules."""
    return MixedParams(
        ADAGRAD.read_params(hyperparameters, learned),
        LEADER.read_params(hyperparameters, learned),
        hyperparameter(hyperparameters, places.ADAGRAD),
    )


@inlined
def weight(first, second, params):
    """Return each lane's weight by its own rule."""
    adagrad = ADAGRAD.weight(first, second, params.adagrad)
    return where(params.is_adagrad, adagrad, LEADER.weight(first, second, params.leader))


@inlined
def update(first, second, g, params):
    """Return each lane's two numbers by its own rule."""
    adagrad_first, adagrad_second = ADAGRAD.update(first, second, g, params.adagrad)
    leader_first, leader_second = LEADER.update(first, second, g, params.leader)
    first = where(params.is_adagrad, adagrad_first, leader_first)
    return first, where(params.is_adagrad, adagrad_second, leader_second)


@inlined
def learn(step, rows, table, example, params):
    """Learn from an example of weight 1, in each lane by its own rule."""
    step(update, rows, table, example.row, residual(example), params)


@inlined
def update_leaders(first, second, g, params):
    """Return the two numbers after a step of the lanes that do not follow AdaGrad; the others stay."""
    leader_first, leader_second = LEADER.update(first, second, g, params.leader)
    first = where(params.is_adagrad, first, leader_first)
    return first, where(params.is_adagrad, second, leader_second)


@inlined
def store_masked(table, i, half, numbers, mask):
    """Store numbers in the lanes of the mask."""
    store(table, i, half, where(mask, numbers, load(table, i, half)))


@inlined
def learn_weighted(step, rows, table, example, params):
    """Learn from an example of a weight other than 1, in each lane by its own rule."""
    learn_lanes(store_masked, params.is_adagrad, rows, table, example, params.adagrad)
    step(update_leaders, rows, table, example.row, residual(example) * example.weight, params)


MIXED: Final = UpdateRule(read_params, weight, update, learn, learn_weighted)
"""AdaGrad, FTRL and dual averaging side by side."""

FAMILIES: Final = ("adagrad", "leader")
"""The families of rules that it knows. A lane of another would be learned from as a leader."""
