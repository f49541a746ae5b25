"""The circuit breaker: notices that what is to be learned from has changed all at once.

It looks at blocks of 250 examples before they are journalled, and compares the last 1,000 with an
exponential mean over about the 50,000 before them. Three figures are watched:

- the **click rate**, weighted: its odds have changed by more than a factor;
- the share of **unseen** features, whose row of the table is still nothing but zeros: it has grown by more
  than a difference;
- the **loss** of what the model predicts for them: it is more than a multiple.

A change must also be beyond chance: six standard errors for a click rate, twelve for a loss, whose tail is
long where clicks are rare. So a jump is noticed within 1,250 examples of its start, if it is large enough
once the 1,000 are all after it. The first 10,000 examples after a start of the process or a resumption only
make the means.

What is noticed becomes a row of the journal; nobody decides it anew.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression

__all__ = ["Bounds", "Breaker"]

BLOCK: Final = 250
WINDOW: Final = 4
"""Blocks that are compared with those before them."""

WARM: Final = 40
"""Blocks before anything is compared."""

MEMORY: Final = 200
"""Blocks over which the means go, about."""

STRIDE: Final = 8
"""One example of so many is predicted and looked up: it costs as much as learning does."""

CLICK_ERRORS: Final = 6.0
LOSS_ERRORS: Final = 12.0
SMALLEST: Final = 1e-6


@dataclass(frozen=True)
class Bounds:
    """How far figures may jump.

    Parameters
    ----------
    click_odds
        The factor by which the odds of a click may rise or fall.
    unseen
        By how much the share of unseen features may grow.
    loss
        The multiple that the mean log loss may come to.
    """

    click_odds: float = 5.0
    unseen: float = 0.3
    loss: float = 5.0


class _Block(NamedTuple):
    """Sums over a block: weights, squares, clicks; of its sample: weights, losses, squares, features."""

    weight: float
    squares: float
    clicks: float
    sampled: float
    loss: float
    loss_squares: float
    features: float
    unseen: float


class Breaker:
    """Watches the examples of one model. Used on the committer's thread.

    Parameters
    ----------
    model
        Whose predictions and table are looked at, beside its learner.
    bounds
        What trips it.
    """

    def __init__(self, model: LogisticRegression, bounds: Bounds) -> None:
        self._model = model
        self._bounds = bounds
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the means begin anew."""
        self._window: deque[NDArray[np.float64]] = deque()
        self._mean = np.zeros(len(_Block._fields))
        self._blocks = 0
        self._block = [0.0] * len(_Block._fields)
        self._filled = self._seen = 0

    def admit(self, batch: Batch) -> tuple[int, dict[str, Any] | None]:
        """Look at examples that are to be learned from.

        Returns
        -------
        tuple[int, dict | None]
            How many of them may be; and where not all, why: the figure and what it was compared with, as JSON
            holds it.
        """
        n = len(batch)
        if n == 1 and self._seen % STRIDE and self._filled < BLOCK - 1:  # most single updates
            weight = float(batch.weights[0])
            self._take([weight, weight * weight, weight * float(batch.labels[0]), 0, 0, 0, 0, 0], 1)
            return 1, None
        # At once for all: what has been learned from since would be no surprise any more.
        first = -self._seen % STRIDE
        whole, sampled = self._whole(batch), self._sampled(batch, first)
        start = 0
        while start < n:
            stop = min(start + BLOCK - self._filled, n)
            a, b = (max(-(-(row - first) // STRIDE), 0) for row in (start, stop))
            self._take([*(whole[stop] - whole[start]), *(sampled[b] - sampled[a])], stop - start)
            start = stop
            if self._filled == BLOCK:
                reason = self._look()
                if reason is not None:
                    return stop, reason
        return n, None

    def _take(self, sums: list[float], examples: int) -> None:
        self._block = [a + b for a, b in zip(self._block, sums, strict=True)]
        self._filled += examples
        self._seen += examples

    @staticmethod
    def _whole(batch: Batch) -> NDArray[np.float64]:
        """Return float64[n + 1, 3]: running sums of weights, their squares, clicks."""
        weights = batch.weights.astype(np.float64)
        return _running(weights, weights**2, weights * (batch.labels == 1))

    def _sampled(self, batch: Batch, first: int) -> NDArray[np.float64]:
        """Return float64[m + 1, 5]: running sums over every eighth example, the one at `first` the first."""
        sample = batch.select(np.arange(len(batch)) % STRIDE == first)
        p = np.clip(self._model.predict(sample).astype(np.float64), 1e-15, 1 - 1e-15)
        losses = -np.where(sample.labels == 1, np.log(p), np.log1p(-p))
        slots = (sample.indices & np.uint32(self._model.table.slots - 1)).astype(np.intp)
        # By all accumulators: a change that the model notices empties those of most lanes, never of all.
        seen: NDArray[np.bool_] = np.asarray(self._model.table.accumulators[slots].any(axis=1))
        unseen = _running(~seen)[:, 0]
        ends = sample.indptr
        w = sample.weights.astype(np.float64)
        return _running(w, w * losses, w * losses**2, np.diff(ends), unseen[ends[1:]] - unseen[ends[:-1]])

    def _look(self) -> dict[str, Any] | None:
        """Take the block into the window, and compare."""
        self._window.append(np.array(self._block))
        self._block, self._filled = [0.0] * len(_Block._fields), 0
        if len(self._window) > WINDOW:
            self._blocks += 1
            self._mean += (self._window.popleft() - self._mean) / min(self._blocks, MEMORY)
        if self._blocks < WARM:
            return None
        now = _Block(*np.sum(self._window, axis=0).tolist())
        before = _Block(*self._mean.tolist())
        return self._click_rate(now, before) or self._unseen(now, before) or self._loss(now, before)

    def _click_rate(self, now: _Block, before: _Block) -> dict[str, Any] | None:
        if not now.weight or not before.weight:
            return None
        n = now.weight**2 / now.squares
        rate, usual = now.clicks / now.weight, before.clicks / before.weight
        c = min(max(usual, SMALLEST), 1 - SMALLEST)
        errors = abs(rate - c) / math.sqrt(c * (1 - c) / n)
        factor = (rate + 0.5 / n) / (1 - rate + 0.5 / n) / (c / (1 - c))
        if errors > CLICK_ERRORS and max(factor, 1 / factor) > self._bounds.click_odds:
            return _reason("click_rate", rate, usual, self._bounds.click_odds)
        return None

    def _unseen(self, now: _Block, before: _Block) -> dict[str, Any] | None:
        share, usual = now.unseen / max(now.features, 1), before.unseen / max(before.features, 1)
        if share - usual > self._bounds.unseen:
            return _reason("unseen_features", share, usual, self._bounds.unseen)
        return None

    def _loss(self, now: _Block, before: _Block) -> dict[str, Any] | None:
        if not now.sampled or not before.sampled:
            return None
        loss, usual = now.loss / now.sampled, before.loss / before.sampled
        spread = math.sqrt(max(before.loss_squares / before.sampled - usual**2, SMALLEST))
        n = WINDOW * BLOCK / STRIDE
        if loss > self._bounds.loss * usual and (loss - usual) * math.sqrt(n) > LOSS_ERRORS * spread:
            return _reason("log_loss", loss, usual, self._bounds.loss)
        return None


def _running(*columns: NDArray[Any]) -> NDArray[np.float64]:
    """Return running sums of columns, from 0 on."""
    sums = np.zeros((columns[0].size + 1, len(columns)))
    np.cumsum(np.stack(columns, axis=1, dtype=np.float64), axis=0, out=sums[1:])
    return sums


def _reason(figure: str, now: float, before: float, bound: float) -> dict[str, Any]:
    return {"figure": figure, "now": now, "before": before, "bound": bound, "examples": WINDOW * BLOCK}
