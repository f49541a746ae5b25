"""The circuit breaker: notices that what is to be learned from has changed all at once.

It looks at blocks of 250 examples before they are journalled, and compares the last 1,000 with an
exponential mean over about the 50,000 before them. Three figures are watched:

- the **click rate**, weighted: its odds have changed by more than a factor;
- the share of **unseen** features, whose row of the table is still nothing but zeros: it has grown by more
  than a difference;
- the **loss** of what the model predicts for them: it is more than a multiple of what it was, and of what the
  predictions themselves promise.

A change must also be beyond chance: six standard errors for a click rate, twelve for a loss, whose tail is
long where clicks are rare. The first 10,000 examples after a start of the process or a resumption only make
the means.

A click rate is that of every example. The other two figures need predictions, which cost about as much as
learning does: while all is calm one example in 64 is predicted, which can only raise a suspicion (half the
bound, two and a half standard errors); the 1,000 examples after that are all predicted, and from 500 of them
on there is a judgement. (A block of which more than twice the bound is unseen is enough for one.) So a jump
is noticed within 2,000 examples of its start, if it is large enough.

What is noticed becomes a row of the journal; nobody decides it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.selecting import ordered
from nonzero_service.learning.jumps import (
    BLOCK,
    CLICK_RATE,
    FEATURES,
    LOSS,
    NEW,
    SEEN,
    SUSPICIOUS,
    UNSEEN,
    WINDOW,
    advance,
    count_unseen,
    new_watch,
)

__all__ = ["Bounds", "Breaker"]

STRIDE: Final = 64
"""One example of so many is predicted while all is calm."""

ALERT: Final = WINDOW * BLOCK
"""So many are all predicted after a suspicion."""

FIGURES: Final = {CLICK_RATE: "click_rate", UNSEEN: "unseen_features", LOSS: "log_loss"}


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

    click_odds: float = 3.0
    unseen: float = 0.3
    loss: float = 2.0


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
        self._bounds = np.array([bounds.click_odds, bounds.unseen, bounds.loss])
        self._now = np.zeros_like(new_watch().block)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the means begin anew."""
        self._watch = new_watch()
        self._alert = 0

    def admit(self, batch: Batch) -> tuple[int, dict[str, Any] | None]:
        """Look at examples that are to be learned from.

        Returns
        -------
        tuple[int, dict | None]
            How many of them may be; and where not all, why: the figure and what it was compared with, as JSON
            holds it.
        """
        # Beside the learner, and so before it has learned from them: then they would be no surprise any more.
        start, n = 0, len(batch)
        while start < n:
            alert = self._alert > 0
            end = min(start + self._alert, n) if alert else n
            stop, what = self._look(batch, start, end, 1 if alert else STRIDE)
            self._alert = max(self._alert - (stop - start), 0)
            if what in FIGURES:
                return stop, self._reason(what)
            if what == SUSPICIOUS and not self._alert:
                self._alert = ALERT
                if self._strange(batch.rows(max(stop - BLOCK, 0), stop)):
                    return stop, self._reason(UNSEEN)
            start = stop
        return n, None

    def _look(self, batch: Batch, start: int, stop: int, stride: int) -> tuple[int, int]:
        """Look at some rows, of which one in `stride` is predicted; return where that ended, and at what."""
        first = start + -int(self._watch.counters[SEEN]) % stride
        chosen = np.arange(first, stop, stride)
        new = np.empty(chosen.size, np.int64)
        if chosen.size:
            rows = batch if chosen.size == len(batch) else ordered(batch, chosen)
            p = self._model.predict(rows)
            count_unseen(rows.indptr, rows.indices, self._model.table.rows, new)
            features = np.diff(rows.indptr)
        else:
            p, features = NOTHING, new
        ended, what = advance(
            batch.labels, batch.weights, start, stop, first, stride,
            p, features, new, self._watch, self._bounds, self._now,
        )  # fmt: skip
        return int(ended), int(what)

    def _strange(self, rows: Batch) -> bool:
        """Whether a suspicious block, where all of it is still at hand, is by itself beyond twice the bound.

        Where a field has few values, new ones are known as soon as the batch with them is learned.
        """
        if len(rows) < BLOCK:
            return False
        new = np.empty(BLOCK, np.int64)
        count_unseen(rows.indptr, rows.indices, self._model.table.rows, new)
        mean, figures = self._watch.mean, self._watch.figures
        figures[:] = new.sum() / max(rows.nnz, 1), mean[NEW] / max(mean[FEATURES], 1)
        return bool(figures[0] - figures[1] > 2 * self._bounds[1])

    def _reason(self, what: int) -> dict[str, Any]:
        now, before = self._watch.figures.tolist()
        bound = float(self._bounds[[*FIGURES].index(what)])
        return {
            "figure": FIGURES[what],
            "now": now,
            "before": before,
            "bound": bound,
            "examples": WINDOW * BLOCK,
        }


NOTHING: Final = np.empty(0, np.float32)
