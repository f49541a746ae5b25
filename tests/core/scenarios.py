"""Simulated click streams whose truth is known, for what is said of a model's learning."""

from typing import Any

import numpy as np

from nonzero import Batch

CARDINALITIES = (4, 8, 12, 24, 40, 60, 100, 150, 200, 300, 500, 1000)


class Stream:
    """Twelve fields of Zipf-distributed values; a click's log-odds are the sum of the values' tastes.

    A scenario changes the tastes; the intercept is such that about a fifth of the examples are clicks, if no
    other one is given.
    """

    def __init__(
        self, seed: Any, cardinalities: Any = CARDINALITIES, spread: float = 0.5, intercept: float = -1.7
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.cardinalities = cardinalities
        self.spread = spread
        self.intercept = intercept
        self.shares = [np.cumsum(np.arange(1, c + 1) ** -1.05) for c in cardinalities]
        self.tastes = [self.draw(c) for c in cardinalities]
        self.offsets = np.concatenate(([0], np.cumsum(cardinalities)))[:-1]
        self.fields = np.arange(1, len(cardinalities) + 1, dtype=np.uint16)

    def draw(self, cardinality: Any) -> Any:
        return self.rng.normal(0, self.spread, cardinality)

    def change(self, fields: Any = None) -> None:
        """Draw the tastes of all fields, or of some, anew."""
        for f in range(len(self.cardinalities)) if fields is None else fields:
            self.tastes[f] = self.draw(self.cardinalities[f])

    def drift(self, far: float) -> None:
        """Move every taste a little, without making tastes stronger."""
        keep = np.sqrt(1 - far**2)
        self.tastes = [keep * taste + far * self.draw(taste.size) for taste in self.tastes]

    def values(self, n: Any) -> Any:
        """Draw int64[n, fields]: each example's value of each field."""
        return np.stack([np.searchsorted(s, self.rng.random(n) * s[-1]) for s in self.shares], axis=1)

    def draw_batch(self, n: Any, without: Any = ()) -> Any:
        """Draw n examples; return the batch and the true chances of a click."""
        kept = [f for f in range(len(self.cardinalities)) if f not in without]
        values = self.values(n)[:, kept]
        margin = sum(self.tastes[f][values[:, k]] for k, f in enumerate(kept)) + self.intercept
        chances = 1 / (1 + np.exp(-margin))
        indices = values + self.offsets[kept]
        k = len(kept)
        labels = self.rng.random(n) < chances
        fields = np.tile(self.fields[kept], n)
        return Batch(np.arange(0, n * k + 1, k), indices.ravel(), None, labels, None, fields), chances

    def batch(self, n: Any, without: Any = ()) -> Any:
        return self.draw_batch(n, without)[0]
