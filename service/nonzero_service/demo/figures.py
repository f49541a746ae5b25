"""How good the predictions were that came over HTTP, and how far they are from a truth that is known."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_BINS: Final = 8192
_BINS_PER_NAT: Final = 256
_SMALLEST: Final = 1e-12


class Figures:
    """Log loss, AUC and calibration over a stream of predictions, in constant memory.

    The AUC counts examples whose log-odds fall into the same 1/256 nat as ties.
    """

    def __init__(self) -> None:
        self._examples = 0
        self._weight = self._clicks = self._predicted = self._loss = 0.0
        self._histogram = np.zeros((2, _BINS))

    def add(
        self, probabilities: NDArray[np.float64], labels: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> None:
        """Count predictions, each shape (n,), and what became of them (0 or 1)."""
        p = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
        self._examples += p.size
        self._weight += float(weights.sum())
        self._clicks += float(weights @ labels)
        self._predicted += float(weights @ p)
        self._loss -= float(weights @ np.where(labels > 0, np.log(p), np.log1p(-p)))
        log_odds = np.log(p) - np.log1p(-p)
        bins = np.clip(log_odds * _BINS_PER_NAT + _BINS / 2, 0, _BINS - 1).astype(np.intp)
        np.add.at(self._histogram, (labels.astype(np.intp), bins), weights)

    def summary(self) -> dict[str, float | None]:
        """Return ``examples``, ``log_loss`` (nats), ``auc``, ``calibration``; None where undefined."""
        negatives, clicks = self._histogram
        pairs = float(negatives.sum() * clicks.sum())
        below = np.cumsum(negatives) - negatives / 2
        return {
            "examples": self._examples,
            "log_loss": self._loss / self._weight if self._weight else None,
            "auc": float(clicks @ below) / pairs if pairs else None,
            "calibration": self._predicted / self._clicks if self._clicks else None,
        }


class Truth:
    """How far predictions are from the true click rates, over twentieths of the log.

    Parameters
    ----------
    examples
        How long the log is.
    """

    PARTS: Final = 20

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._seen = 0
        self._counts = np.zeros(self.PARTS)
        self._distances = np.zeros(self.PARTS)
        self._loss = 0.0

    def add(self, probabilities: NDArray[np.float64], rates: NDArray[np.float64]) -> None:
        """Compare the next predictions of the log with their true rates, each shape (n,)."""
        parts = np.arange(self._seen, self._seen + rates.size) * self.PARTS // self._examples
        np.add.at(self._counts, parts, 1)
        np.add.at(self._distances, parts, np.abs(probabilities - rates))
        self._loss -= float(rates @ np.log(rates) + (1 - rates) @ np.log1p(-rates))
        self._seen += rates.size

    def distances(self) -> NDArray[np.float64]:
        """Return float64[20]: the mean distance in each twentieth, NaN where nothing was seen."""
        with np.errstate(invalid="ignore"):
            distances: NDArray[np.float64] = self._distances / self._counts
        return distances

    def best_log_loss(self) -> float:
        """Return the mean log loss, in nats, that whoever knows the true rates must expect."""
        return self._loss / self._seen
