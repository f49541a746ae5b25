"""The watch over examples in the order in which they come: blocks of them, held against those before.

What is compared, and by which bounds, is said in :mod:`nonzero_service.writer.breaker`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.selecting import ordered
from nonzero_service.writer import jumps
from nonzero_service.writer.block_sums import advance, count_unseen
from nonzero_service.writer.jumps import new_statistics

STRIDE: Final = 64
"""One example of so many is predicted while all is calm."""

ALERT: Final = jumps.WINDOW * jumps.BLOCK
"""So many are all predicted after a suspicion."""

FIGURES: Final = {
    jumps.CLICK_RATE: "click_rate",
    jumps.CLICK_WEIGHT: "click_weight",
    jumps.UNSEEN: "unseen_features",
    jumps.LOSS: "log_loss",
}

PASSING: Final = 3
"""So many windows in a row that would have tripped may have been learned of a jump that did trip. Where there
were more, somebody let them through: they are what is usual now."""


class BlockWatch:
    """Watches examples in their order.

    Parameters
    ----------
    model
        Whose predictions and table are looked at, beside its learner.
    click_odds, unseen, loss
        The bounds, as of :class:`~nonzero_service.writer.breaker.Bounds`; infinite for a figure that is not
        watched.
    """

    def __init__(self, model: LogisticRegression, click_odds: float, unseen: float, loss: float) -> None:
        self._model = model
        self._bounds = np.array([click_odds, unseen, loss])
        self._now = np.zeros_like(new_statistics().block)
        self.reset()

    def reset(self) -> None:
        """Forget all that was seen: the means begin anew."""
        self._stats = new_statistics()
        self._alert = 0

    def replace_model(self, model: LogisticRegression) -> None:
        """Look by the predictions of another model: what was usual of the one before is not of this."""
        self._model = model
        self.reset()

    def forget(self, *, learned: bool = False) -> None:
        """Forget what has not come into the means; they stay.

        Parameters
        ----------
        learned
            Whether the model may have learned of a jump before that was noticed, in something else than the
            loss. What comes as usual then looks wrong to it, and only learning mends that: the loss is
            compared again when it has come back, or, where it does not within 10,000 examples, anew.
        """
        self._stats.block[:] = 0.0
        self._stats.counters[[jumps.FILLED, jumps.BLOCKS, jumps.DENSE]] = 0
        if learned:
            self._stats.counters[jumps.UNSETTLED] = jumps.WARM
        self._alert = 0

    def warm(self, learned: NDArray[np.float32]) -> None:
        """Make the means of what a model has learned from, as if it had come by here.

        Parameters
        ----------
        learned
            float32[n, 4]: probability, log loss, label and weight of its last examples, as
            :class:`~nonzero.kernels.progress.Progress` has them, the oldest first.
        """
        p, _, labels, weights = np.ascontiguousarray(learned[learned[:, 3] > 0].T)
        none = np.zeros(p.size, np.int64)
        start, run, last, n = 0, 0, -1, p.size
        while start < n:
            stop, what = advance(
                labels, weights, start, n, start, 1,
                p[start:], none, none, self._stats, self._bounds, self._now,
            )  # fmt: skip
            start = int(stop)
            if what not in FIGURES:
                continue
            # A jump that was learned for as long as the breaker takes stays out of the means.
            run = run + 1 if start - last == jumps.WINDOW * jumps.BLOCK else 1
            last = start
            self.forget()
            if run > PASSING:
                self.reset()
                start, run = last - run * jumps.WINDOW * jumps.BLOCK, 0

    def admit(self, batch: Batch) -> tuple[int, dict[str, Any] | None]:
        """Look at examples that are to be learned from.

        Returns
        -------
        tuple[int, dict | None]
            How many of them may be; and where not all, why: the figure and what it was compared with, as JSON
            holds it.
        """
        n = len(batch)
        if np.count_nonzero(batch.weights) == n:
            return self._admit(batch)
        # What weighs nothing teaches nothing: it must neither fill blocks nor be what is predicted of them.
        learned = np.flatnonzero(batch.weights)
        count, reason = self._admit(ordered(batch, learned))
        return (n, None) if reason is None else (int(learned[count - 1]) + 1, reason)

    def _admit(self, batch: Batch) -> tuple[int, dict[str, Any] | None]:
        # Beside the learner, and so before it has learned from them: then they would be no surprise any more.
        start, n = 0, len(batch)
        while start < n:
            alert = self._alert > 0
            end = min(start + self._alert, n) if alert else n
            stop, what = self._look(batch, start, end, 1 if alert else STRIDE)
            self._alert = max(self._alert - (stop - start), 0)
            if what in FIGURES:
                return stop, self._reason(what)
            if what == jumps.SUSPICIOUS and not self._alert:
                self._alert = ALERT
                if self._strange(batch.rows(max(stop - jumps.BLOCK, 0), stop)):
                    return stop, self._reason(jumps.UNSEEN)
            start = stop
        return n, None

    def _look(self, batch: Batch, start: int, stop: int, stride: int) -> tuple[int, int]:
        """Look at some rows, of which one in `stride` is predicted; return where that ended, and at what."""
        first = start + -int(self._stats.counters[jumps.SEEN]) % stride
        chosen = np.arange(first, stop, stride)
        new = np.empty(chosen.size, np.int64)
        if chosen.size:
            rows = batch if chosen.size == len(batch) else ordered(batch, chosen)
            p = self._predict(rows)
            count_unseen(rows.indptr, rows.indices, self._model.table.rows, new)
            features = np.diff(rows.indptr)
        else:
            p, features = NOTHING, new
        ended, what = advance(
            batch.labels, batch.weights, start, stop, first, stride,
            p, features, new, self._stats, self._bounds, self._now,
        )  # fmt: skip
        return int(ended), int(what)

    def _predict(self, rows: Batch) -> NDArray[np.float32]:
        """Predict rows; slots of a larger table, from before a promotion, count as hashes of names."""
        if rows.largest_slot >= 2**self._model.bits:
            rows = Batch.trusted(
                rows.indptr, rows.indices, rows.values, rows.labels, rows.weights, rows.fields, largest_slot=0
            )
        return self._model.predict(rows)

    def _strange(self, rows: Batch) -> bool:
        """Whether a suspicious block, where all of it is still at hand, is by itself beyond twice the bound.

        Where a field has few values, new ones are known as soon as the batch with them is learned.
        """
        if len(rows) < jumps.BLOCK or self._stats.counters[jumps.KNOWN] < jumps.WARM:
            return False
        new, features = np.empty(jumps.BLOCK, np.int64), np.diff(rows.indptr)
        count_unseen(rows.indptr, rows.indices, self._model.table.rows, new)
        figures = self._stats.figures
        figures[:] = (new / np.maximum(features, 1)).mean(), self._stats.mean[jumps.UNSEEN_SHARE]
        return bool(figures[0] - figures[1] > 2 * self._bounds[1])

    def _reason(self, what: int) -> dict[str, Any]:
        now, before = self._stats.figures.tolist()
        bound = float(self._bounds[{jumps.UNSEEN: 1, jumps.LOSS: 2}.get(what, 0)])
        return {
            "figure": FIGURES[what],
            "now": now,
            "before": before,
            "bound": bound,
            "examples": jumps.WINDOW * jumps.BLOCK,
        }


NOTHING: Final = np.empty(0, np.float32)
