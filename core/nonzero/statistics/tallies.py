"""Tallies: how good predictions are that nobody learned from, of several models, by group of examples.

The figures are those of :mod:`nonzero.statistics.progressive`, and the Brier score. A group takes 64 KiB a
model, however many examples it has: AUC comes from a histogram of the predicted log-odds, as there. Coarser
ones would do for the whole, but within a slice predictions are few and close to each other.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.progress import BINS
from nonzero.statistics.batch_means import BatchMeans
from nonzero.statistics.progressive import describe_rows, histogram_auc, ratios

EXACT: Final = 1 << 20
"""Of so many examples AUC may be exact; they take 16 bytes a model each."""

_LOG_ODDS: Final = 16.0
"""Histograms cover log-odds up to so many nats from 0; what is beyond is in the last bin."""

_CERTAIN: Final = 1 - 2.0**-25
"""What a probability of 1 stands for: float32 rounds all above it to 1, and their loss must be finite."""

_IMPOSSIBLE: Final = 2.0**-149
"""The least float32."""


class Scored(NamedTuple):
    """Some examples, and what each model predicted for them."""

    labels: NDArray[np.float64]
    """float64[n]: 0 or 1."""
    weights: NDArray[np.float64]
    """float64[n]: importance weights."""
    probabilities: NDArray[np.float64]
    """float64[models, n]."""
    losses: NDArray[np.float64]
    """float64[models, n]: log loss, in nats."""

    @classmethod
    def of(
        cls, labels: NDArray[np.float32], weights: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> Scored:
        """Work out the losses.

        Parameters
        ----------
        labels, weights
            float32[n].
        probabilities
            float32[models, n], as models predict them.
        """
        predicted = np.clip(probabilities.astype(np.float64), _IMPOSSIBLE, _CERTAIN)
        losses = -np.where(labels > 0, np.log(predicted), np.log1p(-predicted))
        return cls(labels.astype(np.float64), weights.astype(np.float64), predicted, losses)


class Tallies:
    """What predictions add up to, for each group of examples.

    Parameters
    ----------
    models
        How many models have predicted. Of two, the difference of their losses is kept, the first less the
        second.
    groups
        How many groups there are; :meth:`grow` adds some.
    exact
        The AUC of the first group, in which all examples are then, is exact up to so many of them.

    Examples
    --------
    >>> labels, probabilities = np.float32([1, 0, 0, 1]), np.float32([[0.8, 0.5, 0.1, 0.4]])
    >>> scored = Scored.of(labels, np.ones(4, np.float32), probabilities)
    >>> tallies = Tallies(1)
    >>> tallies.add(scored)
    >>> found = tallies.described(0)
    >>> found["examples"], found["auc"], round(found["brier"], 3)
    (4, 0.75, 0.165)
    """

    def __init__(self, models: int, groups: int = 1, exact: int = 0) -> None:
        self.counts = np.zeros(groups, np.int64)
        """int64[groups]: examples."""
        self._weights, self._clicks = np.zeros(groups), np.zeros(groups)
        # By model and group: weighted predictions, log losses and squared errors.
        self._sums = np.zeros((3, models, groups))
        self._histograms = np.zeros((models, groups, 2, BINS))
        self._differences = BatchMeans(groups) if models == 2 else None
        self._exact = exact
        self._kept: list[NDArray[np.float32]] = []  # float32[models, n, 4], as `describe_rows` has them

    @property
    def models(self) -> int:
        """How many models have predicted."""
        return len(self._histograms)

    @property
    def examples(self) -> int:
        """How many examples the first group has."""
        return int(self.counts[0])

    @property
    def weight(self) -> float:
        """Their summed importance weight."""
        return float(self._weights[0])

    @property
    def clicks(self) -> float:
        """That of the clicks among them."""
        return float(self._clicks[0])

    def grow(self, groups: int) -> None:
        """Make room for more groups, which have nothing yet.

        Parameters
        ----------
        groups
            How many there are then.
        """
        more = groups - self.counts.size
        self.counts = np.pad(self.counts, (0, more))
        self._weights, self._clicks = np.pad(self._weights, (0, more)), np.pad(self._clicks, (0, more))
        self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, more)))
        self._histograms = np.pad(self._histograms, ((0, 0), (0, more), (0, 0), (0, 0)))
        if self._differences is not None:
            self._differences.grow(groups)

    def joined(self, groups: NDArray[np.intp]) -> Tallies:
        """Return some groups as one, which is the first of what is returned.

        Parameters
        ----------
        groups
            intp[k]: which.
        """
        found = Tallies(self.models)
        found.counts = self.counts[groups].sum(keepdims=True)
        found._weights = self._weights[groups].sum(keepdims=True)
        found._clicks = self._clicks[groups].sum(keepdims=True)
        found._sums = self._sums[:, :, groups].sum(2, keepdims=True)
        found._histograms = self._histograms[:, groups].sum(1, keepdims=True)
        found._differences = None if self._differences is None else self._differences.joined(groups)
        return found

    def add(
        self,
        scored: Scored,
        rows: NDArray[np.intp] | None = None,
        groups: NDArray[np.intp] | None = None,
    ) -> None:
        """Count some examples, which follow on those before.

        Parameters
        ----------
        scored
            The examples.
        rows, groups
            intp[k]: examples, and the group that each is counted in; one may be in several, or in none. None:
            all are in the first group.
        """
        n, size = scored.labels.size, self.counts.size
        self._keep(scored)
        rows = np.arange(n) if rows is None else rows
        groups = np.zeros(n, np.intp) if groups is None else groups
        labels, weights = scored.labels[rows], scored.weights[rows]
        self.counts += np.bincount(groups, minlength=size)
        self._weights += np.bincount(groups, weights, size)
        self._clicks += np.bincount(groups, weights * labels, size)
        sides = (groups * 2 + labels.astype(np.intp)) * BINS
        for model, (predicted, losses) in enumerate(zip(scored.probabilities, scored.losses, strict=True)):
            p = predicted[rows]
            for sums, values in zip(self._sums, (p, losses[rows], (p - labels) ** 2), strict=True):
                sums[model] += np.bincount(groups, weights * values, size)
            log_odds = np.log(p) - np.log1p(-p)
            places = np.clip((log_odds / _LOG_ODDS + 1) * (BINS // 2), 0, BINS - 1).astype(np.intp)
            np.add.at(self._histograms[model].reshape(-1), sides + places, weights)
        if self._differences is not None:
            differences = scored.losses[0] - scored.losses[1]
            self._differences.add(rows, groups, weights, differences[rows], n)

    def described(self, group: int, model: int = 0) -> dict[str, Any]:
        """Return the figures of one model for one group, as :func:`nonzero.statistics.progressive.describe`.

        Parameters
        ----------
        group, model
            Which ones.

        Returns
        -------
        dict
            ``examples``, ``clicks`` (their importance weight), ``weight``, ``log_loss``,
            ``normalized_entropy``, ``calibration``, ``auc``, ``auc_error``, and ``brier``: the weighted mean
            squared error. None where a figure is not defined.
        """
        weight, clicks = float(self._weights[group]), float(self._clicks[group])
        predicted, loss, squares = map(float, self._sums[:, model, group])
        return {
            "examples": int(self.counts[group]),
            "clicks": clicks,
            **ratios(weight, clicks, predicted, loss),
            **self._auc(group, model),
            "brier": squares / weight if weight else None,
        }

    def _keep(self, scored: Scored) -> None:
        """Keep examples as long as there are few."""
        if self.examples + scored.labels.size > self._exact:
            self._exact = 0
            self._kept.clear()
            return
        labels, weights = (
            np.broadcast_to(one, scored.losses.shape) for one in (scored.labels, scored.weights)
        )
        kept = np.stack([scored.probabilities, scored.losses, labels, weights], axis=-1)
        self._kept.append(kept.astype(np.float32))

    def _auc(self, group: int, model: int) -> dict[str, float | None]:
        if group == 0 and self._kept:
            found = describe_rows(np.concatenate([part[model] for part in self._kept]))
            return {key: found[key] for key in ("auc", "auc_error")}
        return histogram_auc(self._histograms[model, group])

    def difference(self, group: int = 0) -> dict[str, Any] | None:
        """Return by how much the first model's mean log loss is above the second's, of one group.

        Parameters
        ----------
        group
            Which one.

        Returns
        -------
        dict or None
            ``mean``, in nats an example, and the interval of 95 % from ``low`` to ``high``, None where there
            are too few examples; ``blocks``, how many it comes from. None where there are not two models, or
            nothing was weighed.
        """
        found = None if self._differences is None else self._differences.interval(group)
        return None if found is None else found._asdict()
