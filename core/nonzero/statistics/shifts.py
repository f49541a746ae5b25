"""Sudden changes for the worse, of predictions that were made just before their examples were learned from.

A stream is cut into blocks. Of each, one figure says how far the predictions were from telling clicks apart
as well as they promised: the score of the slope in the recalibration model of Cox ("Two further applications
of a model for binary regression", Biometrika 45, 1958), ``logit(rate) = a + b logit(p)``, at ``b = 1``::

    z = sum w (p - y) (logit(p) - c) / sqrt(sum w^2 p (1 - p) (logit(p) - c)^2)

with ``c`` the mean of ``logit(p)`` by ``w p (1 - p)``, which takes the level of the click rate out. Where the
predictions are right, its mean is 0 and its spread is 1, whatever the click rate: chance moves it by what the
predictions themselves say (where it is moved further, as by neighbours that are alike, by what it was moved
before). The loss itself moves several times as much by chance, as clicks are rare, and
moves with the click rate.

The last few blocks are held against the mean of those before them: the largest of their sums over one block,
two and so on to :data:`WINDOW`, in standard errors (a generalized likelihood ratio over a limited window:
Lai, "Sequential changepoint detection in quality control and dynamical systems", Journal of the Royal
Statistical Society B 57, 1995, section 3). Limited, because what comes slowly is no sudden change.
"""

from __future__ import annotations

from collections import deque
from math import ceil, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 1_000
"""The fewest examples of a block."""

CLICKS: Final = 25
"""So many clicks (and so many examples without) are expected of a block: of fewer the figure is skewed."""

LARGEST: Final = 50_000
"""The most examples of a block, however rare clicks are."""

WINDOW: Final = 8
"""Blocks at the most in which a sudden change shows."""

WARM: Final = 10
"""Blocks before anything is compared."""

MEMORY: Final = 100
"""Blocks over which the means go, about."""

ERRORS: Final = 5.0
"""Beyond chance is what is as unlikely as so many standard errors: about once in a million blocks."""

CALM: Final = 2.0
"""It is over when the last blocks are fewer standard errors from what was usual."""

SETTLED: Final = 200
"""After so many blocks what is so much worse is what is usual."""


_LEAST: Final = 1e-7
"""A probability in float32 may be 0 or 1; their logits are none."""


class Shift(NamedTuple):
    """Predictions got worse at once, or are off by no more than chance again."""

    recovered: bool
    examples: int
    """How many examples had been learned from when it began."""
    before: float
    """The mean log loss before, in nats."""
    after: float
    """That of the blocks since."""


class _Block(NamedTuple):
    start: int
    z: float
    loss: float


class ShiftDetector:
    """Looks at a model's predictions, block by block.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = ShiftDetector()
    >>> for block in range(40):
    ...     p = rng.uniform(0.1, 0.9, 1000)
    ...     y = rng.random(1000) < (p if block < 30 else 1 - p)
    ...     losses = -np.log(np.where(y, p, 1 - p))
    ...     rows = np.stack([p, losses, y, np.ones(1000)], axis=1)
    ...     shift = detector.add(rows.astype(np.float32), 1000 * block)
    ...     if shift is not None:
    ...         print(shift.examples, shift.recovered)
    30000 False
    """

    def __init__(self) -> None:
        self._window: deque[_Block] = deque()
        self._blocks = 0  # in the means
        self._z = self._loss = 0.0
        self._spread2 = 1.0
        self._worse = 0  # blocks since a shift that is not over; 0 where there is none

    @staticmethod
    def size_of(rate: float) -> int:
        """Return how many examples a block has.

        Parameters
        ----------
        rate
            The click rate, from 0 to 1.

        Returns
        -------
        int
            From :data:`BLOCK` to :data:`LARGEST`: more, where clicks are rare, or examples without one.

        Examples
        --------
        >>> ShiftDetector.size_of(0.3), ShiftDetector.size_of(0.005), ShiftDetector.size_of(0.0)
        (1000, 5000, 50000)
        """
        rarer = max(min(rate, 1 - rate), CLICKS / LARGEST)
        return max(BLOCK, ceil(CLICKS / rarer))

    def add(self, rows: NDArray[np.float32], start: int) -> Shift | None:
        """Look at the next block.

        Parameters
        ----------
        rows
            float32[n, 4]: probability, log loss, label and weight of each, as
            :meth:`nonzero.LogisticRegression.last` returns them.
        start
            How many examples had been learned from before it.

        Returns
        -------
        Shift or None
            A change, where this block makes it known.
        """
        block = _judged(rows, start)
        if block is None:
            return None
        self._window.append(block)
        if self._worse:
            return self._look_for_the_end()
        if len(self._window) > WINDOW:
            self._take_in(self._window.popleft())
        return self._look() if self._blocks >= WARM else None

    def _take_in(self, block: _Block) -> None:
        self._blocks += 1
        share = 1 / min(self._blocks, MEMORY)
        deviation = block.z - self._z
        self._z += deviation * share
        # Chance alone makes it 1; neighbours that are alike make it more, and so do wrong predictions.
        self._spread2 += (min(deviation * deviation * (1 - share), ERRORS**2) - self._spread2) * share
        self._loss += (block.loss - self._loss) * share

    def _look(self) -> Shift | None:
        z = loss = 0.0
        largest, found = ERRORS, None
        for n, block in enumerate(reversed(self._window), 1):
            z, loss = z + block.z - self._z, loss + block.loss
            errors = z / self._error(n)
            if errors > largest and loss / n > self._loss:
                largest, found = errors, Shift(False, block.start, self._loss, loss / n)
        if found is not None:
            self._worse = sum(block.start >= found.examples for block in self._window)
        return found

    def _look_for_the_end(self) -> Shift | None:
        """Look whether the last blocks are as they were, or have been worse for so long that it is usual."""
        self._worse += 1
        if len(self._window) > WINDOW:
            self._window.popleft()
        if self._worse > SETTLED:
            self._begin_anew()
        elif self._worse > WINDOW:
            n = len(self._window)
            if sum(block.z - self._z for block in self._window) / self._error(n) < CALM:
                loss = sum(block.loss for block in self._window) / n
                found = Shift(True, self._window[0].start, self._loss, loss)
                self._begin_anew()
                return found
        return None

    def _begin_anew(self) -> None:
        """Make the means of the last blocks: what the model has learned anew is what it is compared with."""
        self._worse = self._blocks = 0
        while self._window:
            self._take_in(self._window.popleft())

    def _error(self, n: int) -> float:
        return sqrt(max(self._spread2, 1.0) * n * (1 + n / max(min(self._blocks, MEMORY), 1)))


def _judged(rows: NDArray[np.float32], start: int) -> _Block | None:
    """Return a block's figures; None where its predictions are all alike, or all weigh nothing."""
    p, losses, labels, weights = rows.astype(np.float64).T
    p = p.clip(_LEAST, 1 - _LEAST)
    spread = weights * p * (1 - p)
    total = spread.sum()
    if not total > 0:
        return None
    logits = np.log(p) - np.log1p(-p)
    logits -= (spread * logits).sum() / total
    variance = (weights * spread * logits * logits).sum()
    if not (variance > 0 and np.isfinite(variance)):
        return None
    z = (weights * (p - labels) * logits).sum() / sqrt(variance)
    return _Block(start, float(z), float((weights * losses).sum() / weights.sum()))
