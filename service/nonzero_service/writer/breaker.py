"""The circuit breaker: notices that what is to be learned from has changed all at once.

It looks at blocks of 250 examples before they are journalled, and compares the last 1,000 with an
exponential mean over about the 50,000 before them. Four figures are watched:

- the **click rate**, each example counted once whatever it weighs: its odds have changed by more than a
  factor;
- the **share of weight** that clicks have: its odds have changed by more than that factor, and lie beyond
  those of any block before;
- the share of **unseen** features, whose row of the table is still nothing but zeros: it has grown by more
  than a difference;
- the **loss** of what the model predicts for them: it is more than a multiple of what it was, and of what the
  predictions themselves promise.

A change must also be beyond chance: six standard errors for a click rate, twelve for a loss, whose tail is
long where clicks are rare. No weight enters an error, so none can hide a jump: each example counts once, and
what weighs nothing, and teaches nothing, is not looked at.

A click rate is that of every example. Unseen features and the loss need predictions, which cost about as much
as learning does: while all is calm one example in 64 is predicted, which can only raise a suspicion (half the
bound, two and a half standard errors); the 1,000 examples after that are all predicted, and from 500 of them
on there is a judgement. (A block of which more than twice the bound is unseen is enough for one.) So a jump
is noticed within 2,000 examples of its start, if it is large enough.

Examples that were impressions come in no order that says anything of a click rate: clicks when they are
clicked, negatives when their windows end. Their click rate is watched by the thousand impressions that were
predicted together (:mod:`~nonzero_service.writer.cohort_watch`), and of the others only unseen features.

What is usual is known again after a start, from what the model has learned from and what the impressions
became. Where there is too little of that, the first 10,000 examples only make the means. So it is after a
pause whose examples were applied: somebody has said that what jumped is right. After one whose examples were
discarded the means are those of before.

What is noticed becomes a row of the journal; nobody decides it anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.kernels.progress import RECENT
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.writer.block_watch import BlockWatch
from nonzero_service.writer.cohort_watch import CohortWatch

FEW_IMPRESSIONS: Final = 0.01
"""Of what the model has learned last, so many may have been impressions without being in the way."""


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
        Whose predictions and table are looked at, beside its learner. It is at rest while this is made.
    bounds
        What trips it.
    impressions
        Those of the model; None where there are none.
    now_ms
        The journal's clock.
    since
        How many examples the model had learned from before it came here: of these nothing is taken for usual.
    """

    def __init__(
        self,
        model: LogisticRegression,
        bounds: Bounds,
        impressions: ImpressionStore | None = None,
        now_ms: int = 0,
        since: int = 0,
    ) -> None:
        self._examples = BlockWatch(model, bounds.click_odds, bounds.unseen, bounds.loss)
        self._features = BlockWatch(model, inf, bounds.unseen, inf)  # of impressions
        self._clicks = None if impressions is None else CohortWatch(impressions, bounds.click_odds, now_ms)
        self._impressions = impressions
        self._warm(model, since)

    def _warm(self, model: LogisticRegression, since: int) -> None:
        """Take for usual what a model has learned from last, after so many examples; not impressions."""
        n = min(model.examples - since, RECENT)
        if self._impressions is None or self._impressions.segments.next_number <= FEW_IMPRESSIONS * n:
            self._examples.warm(model.last(n))

    def reset(self) -> None:
        """Forget all that was seen: the means begin anew."""
        self._examples.reset()
        self._features.reset()
        if self._clicks is not None:
            self._clicks.reset()

    def replace_model(self, model: LogisticRegression, *, relearns: bool) -> None:
        """Watch by the predictions of another model, which has learned from the same examples.

        Parameters
        ----------
        model
            The model.
        relearns
            Whether impressions come again that the one before has learned from: those that were counted are
            not to be counted twice. The mean stays.
        """
        if relearns and self._clicks is not None:
            self._clicks.forget()
        self._examples.replace_model(model)
        self._features.replace_model(model)
        self._warm(model, 0)

    def forget(self, figure: str) -> None:
        """Forget a jump, of which the first examples may have been learned; the means of before stay.

        Parameters
        ----------
        figure
            Which one it was of.
        """
        self._examples.forget(learned=figure != "log_loss")
        self._features.forget()
        if self._clicks is not None:
            self._clicks.forget()

    def admit(self, batch: Batch, references: References | None = None) -> tuple[int, dict[str, Any] | None]:
        """Look at examples that are to be learned from.

        Parameters
        ----------
        batch
            The examples.
        references
            Which impressions they were, the number -1 for none; None where all were none.

        Returns
        -------
        tuple[int, dict | None]
            How many of them may be; and where not all, why: the figure and what it was compared with, as JSON
            holds it.
        """
        if references is None or self._clicks is None:
            return self._examples.admit(batch)
        was_impression = references.numbers >= 0
        if not was_impression.all():
            return self._admit_mixed(batch, references, was_impression)
        count, reason = self._features.admit(batch)
        fewer, jumped = self._clicks.admit(references.rows(0, count))
        return (count, reason) if jumped is None else (fewer, jumped)

    def _admit_mixed(
        self, batch: Batch, references: References, was_impression: NDArray[np.bool_]
    ) -> tuple[int, dict[str, Any] | None]:
        """Look at examples of which some were impressions, each kind by itself; the first jump counts."""
        plain, reason = self._examples.admit(batch.select(~was_impression))
        joined, other = self.admit(batch.select(was_impression), references.known)
        jumps = [
            (int(np.flatnonzero(kind)[count - 1]) + 1 if count else 0, why)
            for kind, count, why in ((~was_impression, plain, reason), (was_impression, joined, other))
            if why is not None
        ]
        return min(jumps, key=lambda jump: jump[0]) if jumps else (len(batch), None)

    def take_back(self, admitted: Iterable[References]) -> None:
        """Take note that what was admitted, some impressions among it, is not journalled: it comes again."""
        self._examples.forget()
        self._features.forget()
        if self._clicks is not None:
            for references in admitted:
                self._clicks.take_back(references)
