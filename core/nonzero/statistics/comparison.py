"""Two models on one stream: how much better one of them predicts, and how sure that is."""

from __future__ import annotations

from math import log, sqrt
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95

_SUMS: Final = 9


class Interval(NamedTuple):
    """A mean difference, and where the true one is."""

    mean: float | None
    low: float | None
    high: float | None


class Comparison:
    """Paired losses of two models, in nats.

    Parameters
    ----------
    confidence
        That of the interval.
    """

    def __init__(self, confidence: float = CONFIDENCE) -> None:
        self.confidence = confidence
        self._sums = np.zeros(_SUMS)

    def add(
        self,
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
    ) -> None:
        """Add examples that both have predicted."""
        y, w = labels.astype(np.float64), weights.astype(np.float64)
        p, q = ours.astype(np.float64), theirs.astype(np.float64)
        mine, other = _loss(y, p), _loss(y, q)
        d = w * (other - mine)
        self._sums += np.array([len(y), w.sum(), w @ y, w @ mine, w @ other, w @ p, w @ q, d @ d, w @ w])

    @property
    def examples(self) -> int:
        """How many."""
        return int(self._sums[0])

    @property
    def weight(self) -> float:
        """Their summed importance weight."""
        return float(self._sums[1])

    @property
    def log_losses(self) -> tuple[float | None, float | None]:
        """The mean log loss of both."""
        w = self._sums[1]
        return (float(self._sums[3] / w), float(self._sums[4] / w)) if w else (None, None)

    @property
    def calibrations(self) -> tuple[float | None, float | None]:
        """Predicted over observed clicks of both."""
        c = self._sums[2]
        return (float(self._sums[5] / c), float(self._sums[6] / c)) if c else (None, None)

    def interval(self) -> Interval:
        """Return the mean of theirs minus ours, and where the true one is."""
        n, w = self._sums[0], self._sums[1]
        if not w:
            return Interval(None, None, None)
        mean = float((self._sums[4] - self._sums[3]) / w)
        if n < 100:
            return Interval(mean, None, None)
        variance = max(float(self._sums[7]) - mean * mean * float(self._sums[8]), 0.0)
        wide = sqrt(variance * 2 * log(2 * log(n) / (1 - self.confidence))) / float(w)
        return Interval(mean, mean - wide, mean + wide)

    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """Say what theirs is."""
        _, low, high = self.interval()
        if high is not None and high < 0:
            return "better"
        return "worse" if low is not None and low > 0 else "undecided"

    def state(self) -> NDArray[np.float64]:
        """Return all that it knows."""
        return self._sums.copy()

    @classmethod
    def from_state(cls, state: NDArray[np.float64], confidence: float = CONFIDENCE) -> Self:
        """Return what has such a state."""
        made = cls(confidence)
        made._sums[:] = state
        return made


def _loss(y: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    small = 1e-7
    p = np.clip(p, small, 1 - small)
    loss: NDArray[np.float64] = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss
