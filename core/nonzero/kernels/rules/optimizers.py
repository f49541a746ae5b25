"""The update rules and their hyperparameters as a user names them: what one lane is.

Each has, beside the hyperparameters and their ranges,

- ``family``: the compiled rule that it runs by;
- ``places``: where kernels find the hyperparameters;
- ``largest``: the bound of the first number that is kept of a coordinate;
- ``weights`` and ``rates``: what the two numbers stand for, outside of kernels.

The first line of its docstring describes it in the HTTP API.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import SettingsError
from nonzero.kernels.rules.bounds import MAX_STEPPED, MAX_SUM, MAX_WEIGHT

Floats: TypeAlias = NDArray[np.float32]
Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""Of each hyperparameter: the least and the largest."""
Place: TypeAlias = tuple[int, int]
"""Where a number of each lane stands in the array of hyperparameters: a row, and its left or right half."""
Places: TypeAlias = Mapping[str | None, Place]
"""Where kernels find each hyperparameter, and under None, a 1 for a lane of the rule."""

# A lane fills in the places of its own rule; the others are 0 there, and DECAY is 1.
RATE, DAMPING = (0, 0), (0, 1)  # the learning rate or alpha; epsilon or beta; the diagnosis reads them too
DECAY, ADAGRAD = (1, 0), (1, 1)
L1, L2 = (2, 0), (2, 1)
PROXIMAL, AVERAGED = (3, 0), (3, 1)  # FTRL; dual averaging
PRIOR, INTERCEPT_PRIOR = (4, 0), (4, 1)  # the Kalman filter, in this and the next three rows
CURVATURE, GRADIENT = (5, 0), (5, 1)
JOINT_DAMPING, FISHER = (6, 0), (6, 1)
FLOOR, KALMAN = (7, 0), (7, 1)
PLACE_ROWS: Final = 8


@dataclass(frozen=True)
class AdaGrad:
    r"""AdaGrad; with a decay, RMSProp made sparse.

    It is diagonal, and on the coordinates that an example names:

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

    Examples
    --------
    >>> from nonzero import AdaGrad, LogisticRegression
    >>> LogisticRegression(bits=10, optimizer=AdaGrad(0.5, epsilon=1e-3)).lanes
    (AdaGrad(learning_rate=0.5, epsilon=0.001, decay=1.0),)
    """

    name: ClassVar[str] = "adagrad"
    family: ClassVar[str] = "adagrad"
    largest: ClassVar[np.float32] = MAX_WEIGHT
    places: ClassVar[Places] = {"learning_rate": RATE, "epsilon": DAMPING, "decay": DECAY, None: ADAGRAD}
    # Below 1e-12 an accumulator that is still 0 makes steps that float32 cannot hold.
    ranges: ClassVar[Ranges] = {"learning_rate": (1e-9, 1e3), "epsilon": (1e-12, 1e6), "decay": (0.5, 1.0)}
    learning_rate: float = 0.1
    epsilon: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, weights: Floats, accumulators: Floats, learned: int) -> Floats:  # noqa: ARG002
        """Return the weights that a lane's two numbers stand for.

        Parameters
        ----------
        weights, accumulators
            float32, of one shape: the two numbers that the table keeps of each coordinate.
        learned
            The number of examples that the model has learned from; AdaGrad does not need it.

        Returns
        -------
        float32
            Of the same shape, in log-odds for a feature of value 1.

        Examples
        --------
        >>> import numpy as np
        >>> AdaGrad().weights(np.float32([0.5]), np.float32([3]), 10).tolist()
        [0.5]
        """
        return weights

    def rates(self, accumulators: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight.

        Parameters
        ----------
        accumulators
            float32: the second number that the table keeps of each coordinate.

        Returns
        -------
        float32
            Of the same shape, in log-odds.

        Examples
        --------
        >>> import numpy as np
        >>> AdaGrad(learning_rate=0.5).rates(np.float32([0, 3])).tolist()
        [0.5, 0.25]
        """
        rates: Floats = np.float32(self.learning_rate) / np.sqrt(accumulators + np.float32(self.epsilon))
        return rates


@dataclass(frozen=True)
class FTRL:
    r"""FTRL-proximal, with L1 and L2.

    It is per coordinate, and makes sparse weights, at little loss:

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

    Examples
    --------
    >>> from nonzero import FTRL, LogisticRegression
    >>> model = LogisticRegression(bits=10, optimizer=FTRL(alpha=0.1, l1=10))
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> float(abs(model.weights).max())
    0.0
    """

    name: ClassVar[str] = "ftrl"
    family: ClassVar[str] = "leader"
    largest: ClassVar[np.float32] = MAX_SUM
    places: ClassVar[Places] = {"alpha": RATE, "beta": DAMPING, "l1": L1, "l2": L2, None: PROXIMAL}
    ranges: ClassVar[Ranges] = {"alpha": (1e-9, 1e3), "beta": (1e-6, 1e6), "l1": (0.0, 1e6), "l2": (0.0, 1e6)}
    alpha: float = 0.1
    beta: float = 1.0
    l1: float = 1.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, sums: Floats, squares: Floats, learned: int) -> Floats:  # noqa: ARG002
        """Return the weights that a lane's two numbers stand for.

        Parameters
        ----------
        sums, squares
            float32, of one shape: the two numbers that the table keeps of each coordinate.
        learned
            The number of examples that the model has learned from; FTRL does not need it.

        Returns
        -------
        float32
            Of the same shape, in log-odds for a feature of value 1.

        Examples
        --------
        >>> import numpy as np
        >>> FTRL(alpha=1, l1=1).weights(np.float32([-3, 0.5]), np.float32([1, 1]), 10).tolist()
        [1.0, -0.0]
        """
        return _leader(sums, self.rates(squares), self.l1)

    def rates(self, squares: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight.

        Parameters
        ----------
        squares
            float32: the second number that the table keeps of each coordinate.

        Returns
        -------
        float32
            Of the same shape, in log-odds.

        Examples
        --------
        >>> import numpy as np
        >>> FTRL(alpha=1, beta=1).rates(np.float32([0, 9])).tolist()
        [1.0, 0.25]
        """
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

    Examples
    --------
    >>> from nonzero import DualAveraging, LogisticRegression
    >>> LogisticRegression(bits=10, optimizer=DualAveraging(l1=1e-4)).lanes[0].l1
    0.0001
    """

    name: ClassVar[str] = "dual_averaging"
    family: ClassVar[str] = "leader"
    largest: ClassVar[np.float32] = MAX_SUM
    places: ClassVar[Places] = {"learning_rate": RATE, "epsilon": DAMPING, "l1": L1, None: AVERAGED}
    ranges: ClassVar[Ranges] = {"learning_rate": (1e-9, 1e3), "l1": (0.0, 1e6), "epsilon": (1e-6, 1e6)}
    learning_rate: float = 0.1
    l1: float = 1e-6
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        _check(self)

    def weights(self, sums: Floats, squares: Floats, learned: int) -> Floats:
        """Return the weights that a lane's two numbers stand for.

        Parameters
        ----------
        sums, squares
            float32, of one shape: the two numbers that the table keeps of each coordinate.
        learned
            The number of examples that the model has learned from: the t of the formula.

        Returns
        -------
        float32
            Of the same shape, in log-odds for a feature of value 1.

        Examples
        --------
        >>> import numpy as np
        >>> DualAveraging(learning_rate=1, l1=0.5).weights(np.float32([-3]), np.float32([1]), 2).tolist()
        [1.0]
        """
        return _leader(sums, self.rates(squares), np.float32(self.l1) * np.float32(learned))

    def rates(self, squares: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight, to the first order.

        Parameters
        ----------
        squares
            float32: the second number that the table keeps of each coordinate.

        Returns
        -------
        float32
            Of the same shape, in log-odds.

        Examples
        --------
        >>> import numpy as np
        >>> DualAveraging(learning_rate=1).rates(np.float32([0, 9])).tolist()
        [1.0, 0.25]
        """
        rates: Floats = np.float32(self.learning_rate) / (np.float32(self.epsilon) + np.sqrt(squares))
        return rates


@dataclass(frozen=True)
class Kalman:
    r"""A diagonal Kalman filter: each weight has a variance, which is its rate. Eight lanes, never one alone.

    .. math::

        m = \sum_i w_i x_i, \quad \sigma^2 = \sum_i v_i x_i^2, \quad g = p - y, \quad
        h = \max(p (1 - p), e\, g^2), \quad k = 1 / (1 + c\, h\, \sigma^2)

        z_i = v_i x_i^2 (a\, h + b\, v_i\, g^2), \qquad v_i \leftarrow v_i / \sqrt{1 + 2 z_i}, \qquad
        w_i \leftarrow w_i - v_i\, x_i\, g\, k, \qquad v_i \leftarrow \max(v_i, f)

    With a = c = 1 and b = e = f = 0 it is Bayesian logistic regression with one variance a coordinate, each
    example taken by a quadratic approximation; with a = c = e = f = 0, :math:`b = 1 / (2 \eta^2)` and
    :math:`v_0 = \eta / \sqrt\epsilon` it is AdaGrad.

    An importance weight s takes the step that infinitely many small steps of total weight s would take at the
    rates that s touches leave, as of :class:`nonzero.AdaGrad`.

    Parameters
    ----------
    prior_variance
        :math:`v_0`: of a weight before its feature was seen; from 1e-12 to 1e9.
    intercept_variance
        The same of the intercept.
    curvature
        a: how much of an example's curvature a rate falls by; from 0 to 1e3.
    gradient
        b: how much of its squared gradient; from 0 to 1e18.
    damping
        c: how much the example's other features damp the step; from 0 to 1e3.
    fisher
        e: how many times the squared gradient, the empirical Fisher information, the curvature is at least;
        from 0 to 1e3. At a label that surprises, p (1 - p) is that of a prediction which was just refuted.
    floor
        f: the least rate, below which none falls; from 0, which none reaches, to 1e9. Where a first rate is
        less, that counts in its place.

    Raises
    ------
    SettingsError
        For a setting out of its range.

    References
    ----------
    Spiegelhalter, Lauritzen, "Sequential updating of conditional probabilities on directed graphical
    structures", Networks 20 (1990), section 5: the update of one logistic observation, by its curvature.

    Examples
    --------
    >>> from nonzero import LogisticRegression
    >>> lanes = [Kalman(0.1 * k) for k in range(1, 9)]
    >>> LogisticRegression(bits=10, optimizer=lanes).lanes[1].prior_variance
    0.2
    """

    name: ClassVar[str] = "kalman"
    family: ClassVar[str] = "kalman"
    largest: ClassVar[np.float32] = MAX_STEPPED
    places: ClassVar[Places] = {
        "prior_variance": PRIOR,
        "intercept_variance": INTERCEPT_PRIOR,
        "curvature": CURVATURE,
        "gradient": GRADIENT,
        "damping": JOINT_DAMPING,
        "fisher": FISHER,
        "least_rate": FLOOR,
        None: KALMAN,
    }
    ranges: ClassVar[Ranges] = {
        "prior_variance": (1e-12, 1e9),
        "intercept_variance": (1e-12, 1e9),
        "curvature": (0.0, 1e3),
        "gradient": (0.0, 1e18),
        "damping": (0.0, 1e3),
        "fisher": (0.0, 1e3),
        "floor": (0.0, 1e9),
    }
    prior_variance: float = 0.1
    intercept_variance: float = 1.0
    curvature: float = 1.0
    gradient: float = 0.0
    damping: float = 1.0
    fisher: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def least_rate(self) -> float:
        """The floor, or a first rate where that is less: no rate rises."""
        return min(self.floor, self.prior_variance, self.intercept_variance)

    @classmethod
    def of(cls, lane: AdaGrad | Kalman) -> Kalman:
        """Return the lane that learns as another one does, and keeps its rate.

        Raises
        ------
        SettingsError
            For AdaGrad with a decay.

        Examples
        --------
        >>> Kalman.of(AdaGrad(0.5, epsilon=0.25)).prior_variance
        1.0
        """
        if isinstance(lane, Kalman):
            return lane
        if lane.decay != 1:
            raise SettingsError(f"decay is {lane.decay!r}; AdaGrad beside lanes of 'kalman' must have 1")
        first = lane.learning_rate / math.sqrt(lane.epsilon)
        return cls(first, first, 0.0, 1 / (2 * lane.learning_rate**2), 0.0)

    def for_intercept(self) -> Kalman:
        """Return the rule as the intercept's row follows it.

        Examples
        --------
        >>> Kalman(0.1, intercept_variance=1.0).for_intercept().prior_variance
        1.0
        """
        return replace(self, prior_variance=self.intercept_variance)

    def rescaled(self, rates: Floats, factor: float) -> Floats:
        """Return rates as they would be had their inverse squares risen by `factor` times what they did.

        As AdaGrad's accumulators, made smaller by the factor, make its rates.

        Parameters
        ----------
        rates
            float32: the second number that the table keeps of each coordinate.
        factor
            From 0 to 1.

        Returns
        -------
        float32
            The same of the larger rates.

        Examples
        --------
        >>> import numpy as np
        >>> lane, kept = Kalman(1.0), np.zeros(1, np.float32)
        >>> lane.rescaled(kept, 0.5).tolist()
        [0.0]
        """
        first = 1 / float(np.float32(self.prior_variance)) ** 2
        now = self.rates(rates)
        squares = 1 / now.astype(np.float64) ** 2
        larger = np.where(squares > first, 1 / np.sqrt(first + factor * (squares - first)), now)
        return self.rates(larger.astype(np.float32))  # what is kept of rates is kept of that: the rates

    def weights(self, weights: Floats, rates: Floats, learned: int) -> Floats:  # noqa: ARG002
        """Return the weights that a lane's two numbers stand for.

        Parameters
        ----------
        weights, rates
            float32, of one shape: the two numbers that the table keeps of each coordinate.
        learned
            The number of examples that the model has learned from; it is not needed.

        Returns
        -------
        float32
            Of the same shape, in log-odds for a feature of value 1.

        Examples
        --------
        >>> import numpy as np
        >>> Kalman().weights(np.float32([0.5]), np.float32([0.1]), 10).tolist()
        [0.5]
        """
        return weights

    def rates(self, rates: Floats) -> Floats:
        """Return the effective learning rates: how far a gradient of 1 moves a weight.

        Parameters
        ----------
        rates
            float32: the second number that the table keeps of each coordinate, the exclusive or of the rate's
            bits with those of the first rate.

        Returns
        -------
        float32
            Of the same shape, in log-odds.

        Examples
        --------
        >>> import numpy as np
        >>> Kalman(0.5).rates(np.float32([0, 0])).tolist()
        [0.5, 0.5]
        """
        first = np.float32(self.prior_variance).view(np.uint32)
        found: Floats = (rates.view(np.uint32) ^ first).view(np.float32)
        return found


Rule: TypeAlias = AdaGrad | FTRL | DualAveraging | Kalman
"""What one lane is."""

RULES: Final[Mapping[str, type[Rule]]] = {rule.name: rule for rule in (AdaGrad, FTRL, DualAveraging, Kalman)}
"""The update rules by name."""


def is_combined(lanes: Sequence[Rule]) -> bool:
    """Whether lanes are combined by :mod:`nonzero.kernels.newton`: where there is a Kalman filter."""
    return any(isinstance(lane, Kalman) for lane in lanes)


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


def hyperparameters_of(lanes: Sequence[Rule]) -> Floats:
    """Return the hyperparameters as kernels take them.

    Returns
    -------
    float32[8, 2 * lanes]
        At each place the numbers of the lanes.
    """
    array = np.zeros((PLACE_ROWS, 2, len(lanes)), np.float32)
    array[DECAY] = 1  # where rules are mixed each is worked out for all lanes: AdaGrad's numbers stay finite
    for k, lane in enumerate(lanes):
        for name, place in lane.places.items():
            array[*place, k] = getattr(lane, name) if name else 1
    return array.reshape(PLACE_ROWS, -1)
