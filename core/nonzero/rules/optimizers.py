"""The update rules and their hyperparameters: what one lane is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import SettingsError

__all__ = [
    "DEFAULT_LANES",
    "FTRL",
    "RULES",
    "AdaGrad",
    "DualAveraging",
    "Rule",
    "lanes_from_settings",
    "lanes_from_text",
    "lanes_to_settings",
    "lanes_to_text",
    "rates_of",
]

Floats: TypeAlias = NDArray[np.float32]
Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""Of each hyperparameter: the least and the largest."""


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

    name: ClassVar[str] = "adagrad"
    # Below 1e-12 an accumulator that is still 0 makes steps that float32 cannot hold.
    ranges: ClassVar[Ranges] = {"learning_rate": (1e-9, 1e3), "epsilon": (1e-12, 1e6), "decay": (0.5, 1.0)}
    learning_rate: float = 0.1
    epsilon: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, weights: Floats, accumulators: Floats, learned: int) -> Floats:  # noqa: ARG002
        """Return the weights that a lane's two numbers stand for, after so many examples."""
        return weights

    def rates(self, accumulators: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight."""
        rates: Floats = np.float32(self.learning_rate) / np.sqrt(accumulators + np.float32(self.epsilon))
        return rates


@dataclass(frozen=True)
class FTRL:
    r"""FTRL-proximal, per coordinate, with L1 and L2: sparse weights, at little loss.

    .. math::

        w_i = \begin{cases} 0 & |z_i| \le \lambda_1 \\
        -\dfrac{z_i - \operatorname{sgn}(z_i)\, \lambda_1}{(\beta + \sqrt{n_i}) / \alpha + \lambda_2}
        \end{cases} \qquad
        \begin{aligned} \sigma &= (\sqrt{n_i + g_i^2} - \sqrt{n_i}) / \alpha \\
        z_i &\leftarrow z_i + g_i - \sigma w_i, \quad n_i \leftarrow n_i + g_i^2 \end{aligned}

    A lane keeps z and n, and works the weight out when it is read: a coordinate whose gradients have not
    outweighed :math:`\lambda_1` has the weight 0 exactly.

    An importance weight s multiplies the gradient, :math:`g_i = s (p - y) x_i`, as it multiplies the loss
    (McMahan et al. 2013, section 4.6). The new weight is monotone in s, and however large s is, the example
    moves a weight by less than :math:`\alpha`, because :math:`\sqrt{n_i}` grows with it.

    Parameters
    ----------
    alpha
        :math:`\alpha`: the learning rate; from 1e-9 to 1,000.
    beta
        :math:`\beta`: what damps the first steps, from 1e-6 to 1e6; 1 is usual.
    l1
        :math:`\lambda_1`: the summed gradient below which a weight is 0; from 0 to 1e6.
    l2
        :math:`\lambda_2`: what pulls weights to 0; from 0 to 1e6.

    Raises
    ------
    SettingsError
        For a setting out of its range.

    References
    ----------
    McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, Algorithm 1.
    """

    name: ClassVar[str] = "ftrl"
    ranges: ClassVar[Ranges] = {"alpha": (1e-9, 1e3), "beta": (1e-6, 1e6), "l1": (0.0, 1e6), "l2": (0.0, 1e6)}
    alpha: float = 0.1
    beta: float = 1.0
    l1: float = 1.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, sums: Floats, squares: Floats, learned: int) -> Floats:  # noqa: ARG002
        """Return the weights that z and n stand for."""
        return _leader(sums, self.rates(squares), self.l1)

    def rates(self, squares: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight."""
        divisor = (np.float32(self.beta) + np.sqrt(squares)) / np.float32(self.alpha) + np.float32(self.l2)
        rates: Floats = np.float32(1) / divisor
        return rates


@dataclass(frozen=True)
class DualAveraging:
    r"""AdaGrad in its dual-averaging form, with L1.

    .. math::

        w_i = -\operatorname{sgn}(u_i)\, \frac{\eta}{\delta + \sqrt{G_i}}\, [\,|u_i| - \lambda t\,]_+
        \qquad u_i \leftarrow u_i + g_i, \quad G_i \leftarrow G_i + g_i^2

    after t examples, of the whole model: with the mean gradient :math:`\bar u_i = u_i / t` it is
    :math:`-\operatorname{sgn}(\bar u_i)\, \eta t\, [\,|\bar u_i| - \lambda\,]_+ / (\delta + \sqrt{G_i})`. A
    lane keeps u and G and works the weight out when it is read; t is the model's. A coordinate whose mean
    gradient, over all examples, is within :math:`\lambda` has the weight 0 exactly: what is not seen any more
    is forgotten.

    An importance weight s multiplies the gradient, as it multiplies the loss (McMahan et al. 2013, section
    4.6); the example counts once in t. However large s is, its gradient adds less than :math:`\eta` to a
    weight. But an example may also move a weight towards 0 whatever its label, because a larger G shrinks all
    of the sum, as it does with s = 1: the weight need not be monotone in s.

    Parameters
    ----------
    learning_rate
        :math:`\eta`: from 1e-9 to 1,000.
    l1
        :math:`\lambda`: the mean gradient below which a weight is 0, from 0 to 1e6. Small: a feature that one
        example in 1,000 names has a mean gradient of at most 0.001.
    epsilon
        :math:`\delta`: what damps the first steps; from 1e-6 to 1e6.

    Raises
    ------
    SettingsError
        For a setting out of its range.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR
    12 (2011), the regularized dual averaging update (equation 3) with diagonal matrices and L1 (section 5.1).
    """

    name: ClassVar[str] = "dual_averaging"
    ranges: ClassVar[Ranges] = {"learning_rate": (1e-9, 1e3), "l1": (0.0, 1e6), "epsilon": (1e-6, 1e6)}
    learning_rate: float = 0.1
    l1: float = 1e-6
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, sums: Floats, squares: Floats, learned: int) -> Floats:
        """Return the weights that u and G stand for after so many examples."""
        return _leader(sums, self.rates(squares), np.float32(self.l1) * np.float32(learned))

    def rates(self, squares: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight, to the first order."""
        rates: Floats = np.float32(self.learning_rate) / (np.float32(self.epsilon) + np.sqrt(squares))
        return rates


Rule: TypeAlias = AdaGrad | FTRL | DualAveraging
"""What one lane is."""

RULES: Final[Mapping[str, type[Rule]]] = {rule.name: rule for rule in (AdaGrad, FTRL, DualAveraging)}
"""The update rules by name."""


def _check(rule: Rule) -> None:
    """Refuse a hyperparameter out of its range."""
    for name, (low, high) in rule.ranges.items():
        value = getattr(rule, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise SettingsError(f"{name} is {value!r}; it must be a finite number")
        if not low <= value <= high:
            raise SettingsError(f"{name} is {value!r}; it must be from {low:g} to {high:g}")


def _leader(sums: Floats, rates: Floats, threshold: float | np.float32) -> Floats:
    excess = np.maximum(np.abs(sums) - np.float32(threshold), np.float32(0))
    weights: Floats = np.clip(-np.sign(sums) * excess * rates, np.float32(-1e6), np.float32(1e6))
    return weights


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


def lanes_to_settings(lanes: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return lanes as JSON holds them."""
    return [{"rule": lane.name, **asdict(lane)} for lane in lanes]


def lanes_from_settings(settings: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return the lanes that :func:`lanes_to_settings` wrote.

    Raises
    ------
    SettingsError
        For an unknown rule, an unknown or missing hyperparameter, or one out of its range.
    """
    lanes = []
    for number, setting in enumerate(settings):
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


def rates_of(lanes: Sequence[Rule]) -> Floats:
    """Return the hyperparameters as kernels take them.

    Returns
    -------
    float32[2, 2 * lanes] or float32[5, 2 * lanes]
        The learning rates and the epsilons (alphas and betas); the decays, and 1 for each lane that does not
        decay (else 0). Where there are other rules than AdaGrad: the l1 and the l2; 1 for FTRL and 1 for dual
        averaging; 1 for AdaGrad and zeros.
    """
    n = len(lanes)
    rates = np.zeros((5, 2, n), np.float32)
    rates[1] = 1
    for k, lane in enumerate(lanes):
        match lane:
            case AdaGrad():
                rates[0, :, k] = lane.learning_rate, lane.epsilon
                rates[1, :, k] = lane.decay, np.float32(lane.decay) == 1
                rates[4, 0, k] = 1
            case FTRL():
                rates[0, :, k] = lane.alpha, lane.beta
                rates[2, :, k] = lane.l1, lane.l2
                rates[3, 0, k] = 1
            case DualAveraging():
                rates[0, :, k] = lane.learning_rate, lane.epsilon
                rates[2, 0, k] = lane.l1
                rates[3, 1, k] = 1
    return rates.reshape(5, 2 * n)[: 2 if rates[4, 0].all() else 5]
