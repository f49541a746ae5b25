"""Progressive validation: how good each prediction was just before its example was learned from.

Every example is a test before it is a lesson, so the mean loss is an honest estimate at no cost (Blum, Kalai,
Langford, "Beating the hold-out", COLT 1999). The sums are part of the model's state, and so of the fold.

The whole stream's AUC comes from a histogram of the predictions over equal steps of log-odds; two examples in
one bin count as a tie, so it is off by at most half the share of pairs that fall together (`auc_error`). The
recent figures are exact.
"""

from __future__ import annotations

from math import lgamma
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.progress import EXAMPLES, LARGEST_WEIGHT, LOSS, POSITIVE, PREDICTED, WEIGHT, Progress
from nonzero.statistics.ranking import totals

FIGURES: Final = {
    "log_loss": ("log loss", ".5f"),
    "auc": ("AUC", ".4f"),
    "normalized_entropy": ("normalized entropy", ".4f"),
    "calibration": ("calibration", ".4f"),
}
"""Figures of :func:`describe` as people read them: the title of each, and the format of its number."""


def describe(progress: Progress, recent: bool = True) -> dict[str, Any]:
    """Return the figures of the whole stream, and under ``recent`` those of the last 100,000 examples.

    Parameters
    ----------
    progress
        What was counted.
    recent
        Whether to look at the last 100,000, which takes 1 ms; all else takes nothing.

    Returns
    -------
    dict
        ``examples``, ``weight`` (their summed importance weight), ``log_loss`` (mean, in nats), ``auc`` and
        ``auc_error`` (a bound), ``normalized_entropy`` (log loss over that of the running base rate; He et
        al., "Practical lessons from predicting clicks on ads at Facebook", 2014, section 3, with
        :func:`base_rate_loss` below the line) and ``calibration`` (mean prediction over mean label). Of the
        recent ones also ``clicks``, their importance weight. None where a figure is not defined: no example,
        no click, nothing but clicks.
    """
    weight, positive, predicted, loss = (float(progress.sums[j]) for j in (WEIGHT, POSITIVE, PREDICTED, LOSS))
    examples = int(progress.counts[EXAMPLES])
    whole = (
        {"examples": examples} | ratios(weight, positive, predicted, loss) | histogram_auc(progress.histogram)
    )
    if not recent:
        return whole
    return whole | {"recent": describe_rows(progress.recent[:examples])}


def since(progress: Progress, before: Progress | None) -> Progress:
    """Return what was counted after a moment, without the recent examples.

    Parameters
    ----------
    progress
        What was counted.
    before
        What :func:`since` returned of the same model at that moment; None: of its whole stream.

    Returns
    -------
    Progress
        A copy, for :func:`describe` without ``recent``.
    """
    counts, sums = progress.counts.copy(), progress.sums.copy()
    lane_losses, histogram = progress.lane_losses.copy(), progress.histogram.copy()
    if before is not None:
        counts -= before.counts
        sums -= before.sums
        sums[LARGEST_WEIGHT] = progress.sums[LARGEST_WEIGHT]  # which is no sum
        lane_losses -= before.lane_losses
        histogram -= before.histogram
    return Progress(counts, sums, lane_losses, histogram, progress.recent[:0])


def describe_rows(rows: NDArray[np.float32]) -> dict[str, Any]:
    """Return the figures of some examples, as :func:`describe` names them; their AUC is exact.

    ``clicks`` is among them, the importance weight of the clicks: on so many the figures rest.

    Parameters
    ----------
    rows
        float32[n, 4]: probability, log loss, label (0 or 1) and importance weight of each.
    """
    weight, positive, predicted, loss, negative, ranked = totals(rows)
    auc = ranked / (positive * negative) if positive and negative else None
    figures = {"examples": len(rows)} | ratios(weight, positive, predicted, loss)
    return figures | {"clicks": positive, "auc": auc, "auc_error": 0.0 if len(rows) else None}


def ratios(weight: float, positive: float, predicted: float, loss: float) -> dict[str, float | None]:
    """Return the figures that are ratios of sums: ``weight``, ``log_loss`` and the like, as :func:`describe`.

    Parameters
    ----------
    weight, positive
        The importance weight of all examples, and of the clicks.
    predicted, loss
        Weighted predictions, and weighted log losses in nats.
    """
    return {
        "weight": weight,
        "log_loss": loss / weight if weight else None,
        "normalized_entropy": loss / base_rate_loss(positive, max(weight - positive, 0.0))
        if weight
        else None,
        "calibration": predicted / positive if positive else None,
    }


def base_rate_loss(clicks: float, others: float) -> float:
    """Return the summed log loss, in nats, of one who predicts the click rate so far, and nothing else.

    Before each example the answer is ``(clicks + 1/2) / (examples + 1)``, as Krichevsky and Trofimov ("The
    performance of universal encoding", 1981) do. In whatever order the clicks come, that adds up to ``-log
    B(c + 1/2, n - c + 1/2) / B(1/2, 1/2)``, so that nothing has to be kept for it. At the end of a stream of
    n examples it is within ``log(n) / 2 + 1`` of the loss of the rate that the whole stream turned out to
    have. An importance weight counts as that many examples, a part of one as a part.
    """
    return lgamma(clicks + others + 1) - lgamma(clicks + 0.5) - lgamma(others + 0.5) + 2 * lgamma(0.5)


def histogram_auc(histogram: NDArray[np.float64]) -> dict[str, float | None]:
    """Return ``auc`` and ``auc_error``, as :func:`describe` names them.

    Parameters
    ----------
    histogram
        float64[2, bins]: importance weight of the negatives and of the positives, by predicted log-odds.
    """
    negatives, positives = histogram
    pairs = float(negatives.sum() * positives.sum())
    if not pairs:
        return {"auc": None, "auc_error": None}
    tied = negatives * positives
    below = np.cumsum(negatives) - negatives
    return {
        "auc": float(((positives * below).sum() + tied.sum() / 2) / pairs),
        "auc_error": float(tied.sum() / 2 / pairs),
    }
