"""Which of two models predicts better, told while both go on learning, whenever somebody looks.

Both predict each example before either learns from it. The difference of their log losses is paired: what
makes an example hard for both does not count. Its mean over all examples so far has an interval by
:mod:`nonzero.statistics.confidence_sequence`, which holds at all times at once, for any stream. What it
covers is the mean of what the differences were to be expected to be, each given all that came before: how
much better one was on this stream, the chance of the clicks aside.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.statistics.confidence_sequence import BANDS, SUM, interval
from nonzero.statistics.paired_losses import (
    EXAMPLES,
    FIRST,
    LOSS,
    PREDICTED,
    SIZE,
    WEIGHTS,
    Pair,
    check_state,
    count,
)
from nonzero.statistics.progressive import ratios

LEAST: Final = 1000
"""Of fewer examples no interval is told, and no verdict."""

Verdict = Literal["better", "worse", "undecided"]


class Interval(NamedTuple):
    """A mean difference, and where the expected one is, in nats an example."""

    mean: float | None
    """None where nothing was weighed."""
    low: float | None
    """None, as `high` is, where there were too few examples."""
    high: float | None

    @property
    def verdict(self) -> Verdict:
        """What they are: better or worse than we where 0 is outside, else undecided."""
        if self.low is None or self.high is None:
            return "undecided"
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "undecided"


class Comparison:
    """Two models' log losses of the same examples, and an interval of their difference that always holds.

    Examples are counted one by one in their order, so that any parts of a stream come to the same bits.

    Parameters
    ----------
    confidence
        The chance, at least, with which the interval holds at all times at once; above 0 and below 1.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.uniform(0.01, 0.3, 50_000).astype(np.float32)
    >>> clicks = (rng.random(50_000) < truth).astype(np.float32)
    >>> comparison = Comparison()
    >>> comparison.add(clicks, np.ones(50_000, np.float32), np.full(50_000, 0.155, np.float32), truth)
    >>> comparison.verdict()
    'better'
    """

    def __init__(self, confidence: float = 0.95) -> None:
        self.confidence = confidence
        self._states = np.zeros((1, SIZE))

    @property
    def examples(self) -> int:
        """How many examples there were, those of weight 0 included."""
        return int(self._states[0, EXAMPLES])

    @property
    def weight(self) -> float:
        """Their summed importance weight."""
        return float(self._states[0, WEIGHTS : WEIGHTS + 2].sum())

    @property
    def log_losses(self) -> tuple[float | None, float | None]:
        """Mean log losses in nats, ours and theirs; None where nothing was weighed."""
        ours, theirs = self._figures("log_loss")
        return ours, theirs

    @property
    def calibrations(self) -> tuple[float | None, float | None]:
        """Predicted clicks over those that came, ours and theirs; None where none came."""
        ours, theirs = self._figures("calibration")
        return ours, theirs

    def add(
        self,
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
    ) -> None:
        """Count examples that follow on those before.

        Parameters
        ----------
        labels, weights
            float32[n]: 0 or 1, and importance weights.
        ours, theirs
            float32[n]: what each model predicted before it learned from any of these labels.

        Examples
        --------
        >>> comparison, some = Comparison(), np.full(2, 0.5, np.float32)
        >>> comparison.add(np.array([0, 1], np.float32), some, some, some)
        >>> comparison.examples, comparison.weight
        (2, 1.0)
        """
        count(self._states, np.zeros(labels.size, np.int64), labels, weights, Pair(ours, theirs))

    def interval(self) -> Interval:
        """Return the mean of their log loss less ours, in nats an example, and its interval.

        It is of the mean over all examples so far. A look at it costs nothing: it holds whenever it is looked
        at, and however often.

        Returns
        -------
        Interval
            Below 0: they are better.

        Examples
        --------
        >>> Comparison().interval()
        Interval(mean=None, low=None, high=None)
        """
        weight, bands = self.weight, self._states[0, FIRST:].reshape(3, BANDS)
        if not weight:
            return Interval(None, None, None)
        mean = float(bands[SUM].sum()) / weight
        if self.examples < LEAST:
            return Interval(mean, None, None)
        low, high = interval(bands, self.confidence)
        return Interval(mean, low / weight, high / weight)

    def verdict(self) -> Verdict:
        """Return what they are: better or worse than we where 0 is outside the interval, else undecided."""
        return self.interval().verdict

    def state(self) -> NDArray[np.float64]:
        """Return all that is kept, as float64[129], for :meth:`from_state`."""
        return np.array(self._states[0])

    @classmethod
    def from_state(cls, state: NDArray[np.float64], confidence: float = 0.95) -> Comparison:
        """Return a comparison that goes on from a state, to the same bits.

        Parameters
        ----------
        state
            What :meth:`state` returned.
        confidence
            As of the constructor; the state is that of any.

        Returns
        -------
        Comparison
            It goes on where the state was taken.

        Raises
        ------
        ValueError
            For an array that no comparison returned.

        Examples
        --------
        >>> Comparison.from_state(Comparison().state()).examples
        0
        """
        check_state(state)
        found = cls(confidence)
        found._states[0] = state
        return found

    def _figures(self, name: str) -> list[float | None]:
        state = self._states[0]
        positive = float(state[WEIGHTS + 1])
        return [
            ratios(self.weight, positive, float(state[PREDICTED + j]), float(state[LOSS + j]))[name]
            for j in (0, 1)
        ]
