"""The update rules and their hyperparameters: what one lane is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import SettingsError

__all__ = ["DEFAULT_LANES", "AdaGrad", "lanes_from_settings", "lanes_to_settings"]


@dataclass(frozen=True)
class AdaGrad:
    r"""Diagonal AdaGrad on the coordinates that an example names; with a decay, RMSProp made sparse.

    .. math::

        G_i \leftarrow \gamma\, G_i + g_i^2 \qquad
        w_i \leftarrow w_i - \eta\, g_i / \sqrt{G_i + \epsilon} \qquad
        g_i = (p - y)\, x_i

    with the epsilon inside the root. With :math:`\gamma = 1` the accumulator only grows and the rate falls
    towards 0; with less it remembers about :math:`1 / (1 - \gamma)` touches of a coordinate, and the rate
    stays alive. Coordinates that are not named do not decay: an update costs what its nonzeros cost.

    An importance weight s other than 1 takes the step that infinitely many small steps of total weight s
    would take at the rates :math:`\eta / \sqrt{G_i + \epsilon}`. The accumulator takes s as that many
    touches, whole or not: :math:`G_i \leftarrow \gamma^s G_i + \frac{1 - \gamma^s}{1 - \gamma} g_i^2`,
    which is :math:`G_i + s\, g_i^2` for :math:`\gamma = 1`.

    Parameters
    ----------
    learning_rate
        :math:`\eta`: the size of the first steps, in log-odds for a feature of value 1; above 0, up to 1,000.
    epsilon
        :math:`\epsilon`: what the accumulator starts from, in squared gradient. Large (1) damps the first
        steps on binary features; small values of features ask for a small one. From 1e-12 to 1e6.
    decay
        :math:`\gamma`: what is left of the accumulator at each touch; from 0.5 to 1, where 1 forgets nothing.

    Raises
    ------
    SettingsError
        For a setting out of its range.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR
    12 (2011), section 1.1, diagonal matrices. Importance weights: Karampatziakis and Langford, "Online
    Importance Weight Aware Updates", UAI 2011, section 4, the logistic loss. The decay: Tieleman and Hinton,
    "RMSProp", Neural Networks for Machine Learning, lecture 6.5, 2012.
    """

    learning_rate: float = 0.1
    epsilon: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        _check_range("learning_rate", self.learning_rate, 1e-9, 1e3)
        # Below 1e-12 an accumulator that is still 0 makes steps that float32 cannot hold.
        _check_range("epsilon", self.epsilon, 1e-12, 1e6)
        _check_range("decay", self.decay, 0.5, 1.0)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingsError(f"{name} is {value!r}; it must be a finite number")
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}; it must be from {low:g} to {high:g}")


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
"""The eight learners of a model that needs no tuning, chosen by ``bench/choose_lanes.py``: six whose rates
shrink, one of them (epsilon 100) nearly a constant rate until a hundred gradients have been seen, and two
whose rates stay alive."""


def lanes_to_settings(lanes: Sequence[AdaGrad]) -> list[dict[str, Any]]:
    """Return lanes as JSON holds them."""
    return [{"rule": "adagrad", **asdict(lane)} for lane in lanes]


def lanes_from_settings(settings: Sequence[Mapping[str, Any]]) -> tuple[AdaGrad, ...]:
    """Return the lanes that :func:`lanes_to_settings` wrote.

    Raises
    ------
    SettingsError
        For an unknown rule, an unknown or missing hyperparameter, or one out of its range.
    """
    lanes = []
    for number, setting in enumerate(settings):
        hyperparameters = dict(setting)
        rule = hyperparameters.pop("rule", None)
        if rule != "adagrad" or set(hyperparameters) != {"learning_rate", "epsilon", "decay"}:
            raise SettingsError(
                f"lane {number} is {dict(setting)!r}; "
                "this version knows the rule 'adagrad' with 'learning_rate', 'epsilon' and 'decay'"
            )
        lanes.append(AdaGrad(**hyperparameters))
    return tuple(lanes)


def rates_of(lanes: Sequence[AdaGrad]) -> NDArray[np.float32]:
    """Return the hyperparameters as kernels take them.

    Returns
    -------
    float32[2, 2 * lanes]
        The learning rates and the epsilons; the decays, and 1 for each lane that does not decay (else 0).
    """
    rates = [lane.learning_rate for lane in lanes]
    epsilons = [lane.epsilon for lane in lanes]
    decays = [lane.decay for lane in lanes]
    whole = [float(np.float32(decay) == 1) for decay in decays]
    return np.array([rates + epsilons, decays + whole], np.float32)
