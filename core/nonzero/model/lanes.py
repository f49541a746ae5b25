"""The lanes of a model: the default ones, and how lanes are written in JSON and in text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any, Final

from nonzero.errors import SettingsError
from nonzero.kernels.rules.optimizers import RULES, AdaGrad, Kalman, Rule, is_combined

DEFAULT_LANES: Final[tuple[AdaGrad, ...]] = (
    AdaGrad(0.1, 1.0),
    AdaGrad(0.3, 1.0),
    AdaGrad(0.15, 1e-5),
    AdaGrad(0.15, 0.1),
    AdaGrad(0.6, 0.1),
    AdaGrad(1.0, 100.0),
    AdaGrad(0.3, 10.0, 0.9995),
    AdaGrad(0.1, 1.0, 0.97),
)
"""The eight learners of versions 1 and 2: six whose rates shrink, one of them (epsilon 100) nearly a constant
rate until a hundred gradients have been seen, and two whose rates stay alive."""

COMBINED_LANES: Final[tuple[AdaGrad | Kalman, ...]] = (
    Kalman(0.03, 1.0, 0.5, 0.0, 1.0, 0.7),
    Kalman(0.1, 1.0, 3.0, 0.0, 1.0),
    Kalman(0.3, 1.0, 1.0, 0.0, 0.1, 0.8),
    Kalman(0.2, 0.3, 0.5, 0.0, 0.5, 1.6, 0.001),
    AdaGrad(0.08, 0.1),
    AdaGrad(1.0, 1.0),
    AdaGrad(0.25, 0.1),
    Kalman(3.0, 1.0, 1.0, 0.0, 0.1, 0.4),
)
"""The eight learners of version 3: five that a run of one label moves no further than it must, and three that
are faster, behind a gate (:mod:`nonzero.kernels.newton`)."""

_DEFAULTS: Final[Mapping[int, tuple[Rule, ...]]] = {1: DEFAULT_LANES, 2: DEFAULT_LANES, 3: COMBINED_LANES}
"""The default lanes by the version of a model's settings: a stored model keeps those of its own."""


def lanes_of(optimizer: Rule | Sequence[Rule] | None, version: int) -> tuple[Rule, ...]:
    """Return the lanes that an optimizer stands for: None is the default ones of a version.

    Raises
    ------
    SettingsError
        For what is no rule, nor several.
    """
    if optimizer is None:
        return _DEFAULTS[version]
    lanes = (optimizer,) if isinstance(optimizer, Rule) else optimizer
    if not isinstance(lanes, Iterable) or not all(isinstance(lane, Rule) for lane in lanes):
        raise SettingsError(
            f"the optimizer is {optimizer!r:.60}; give a rule, such as AdaGrad(learning_rate=0.05), or eight"
        )
    return tuple(lanes)


def kept_as(lanes: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules by which the table keeps its numbers: AdaGrad keeps its rate beside Kalman filters.

    Raises
    ------
    SettingsError
        For a Kalman filter alone, or beside other rules than AdaGrad without a decay.
    """
    return _kept_as(tuple(lanes))


@lru_cache(maxsize=16)
def _kept_as(lanes: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the same, worked out once for all models of these lanes."""
    if not is_combined(lanes):
        return lanes
    kept = tuple(Kalman.of(lane) for lane in lanes if isinstance(lane, AdaGrad | Kalman))
    if len(kept) < len(lanes) or len(lanes) == 1:
        names = ", ".join(lane.name for lane in lanes)
        raise SettingsError(
            f"the lanes are {names}; 'kalman' stands among eight of 'kalman' and 'adagrad', and no others"
        )
    return kept


def lanes_to_settings(lanes: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return lanes as JSON holds them."""
    return [dict(lane) for lane in _written(tuple(lanes))]


@lru_cache(maxsize=16)
def _written(lanes: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """Return the same, made once for all models of these lanes."""
    return [{"rule": lane.name, **asdict(lane)} for lane in lanes]


def lanes_from_settings(settings: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return the lanes that :func:`lanes_to_settings` wrote.

    Raises
    ------
    SettingsError
        For an unknown rule, an unknown or missing hyperparameter, or one out of its range.
    """
    return _lanes_written(json.dumps(settings))


@lru_cache(maxsize=16)
def _lanes_written(text: str) -> tuple[Rule, ...]:
    """Return lanes that are written as JSON, the same objects for all models of these."""
    lanes = []
    for number, setting in enumerate(json.loads(text)):
        hyperparameters = dict(setting)
        rule = RULES.get(str(hyperparameters.pop("rule", None)))
        if rule is None or set(hyperparameters) != {field.name for field in fields(rule)}:
            raise SettingsError(f"lane {number} is {dict(setting)!r}; this version knows {_known()}")
        lanes.append(rule(**hyperparameters))
    return tuple(lanes)


def lanes_from_text(text: str) -> tuple[Rule, ...]:
    """Read lanes from words such as ``ftrl`` or ``ftrl:alpha=0.05,l1=1``, one a lane.

    Raises
    ------
    SettingsError
        For a rule or a hyperparameter that is unknown, is no number or is out of its range.

    Examples
    --------
    >>> lanes_from_text("ftrl:alpha=0.05,l1=2")
    (FTRL(alpha=0.05, beta=1.0, l1=2.0, l2=0.0),)
    """
    return tuple(_rule_from(word) for word in text.split())


def lanes_to_text(lanes: Sequence[Rule]) -> str:
    """Return lanes as :func:`lanes_from_text` reads them, each hyperparameter named.

    Examples
    --------
    >>> from nonzero import DualAveraging
    >>> lanes_to_text([DualAveraging()])
    'dual_averaging:learning_rate=0.1,l1=1e-06,epsilon=1.0'
    """
    return " ".join(
        f"{lane.name}:{','.join(f'{name}={float(value)!r}' for name, value in asdict(lane).items())}"
        for lane in lanes
    )


def _rule_from(word: str) -> Rule:
    name, _, given = word.partition(":")
    rule = RULES.get(name)
    if rule is None:
        raise SettingsError(f"there is no rule {name!r}; this version knows {_known()}")
    hyperparameters = {}
    for part in given.split(",") if given else ():
        key, _, value = part.partition("=")
        if key not in {field.name for field in fields(rule)}:
            raise SettingsError(f"{part!r} sets nothing of {name!r}; this version knows {_known()}")
        try:
            hyperparameters[key] = float(value)
        except ValueError:
            raise SettingsError(f"{key} of {name!r} is {value!r}; it must be a number") from None
    return rule(**hyperparameters)


def _known() -> str:
    """Name the rules and their hyperparameters, for messages."""
    return "; ".join(f"{name}: {', '.join(f.name for f in fields(rule))}" for name, rule in RULES.items())
