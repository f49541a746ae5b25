"""A simulated click log whose true click rates are known, and whose readers change their taste half-way.

An impression draws one value of every field; popular values are drawn far more often than rare ones (Zipf's
law). A hidden logistic model gives the true click rate::

    rate = 1 / (1 + exp(-(intercept + sum over fields of effect[value])))

and a click is drawn with it. Half-way through the log the effects of some fields are drawn anew: whoever has
learned them must learn them again. Every block of impressions has a generator of its own, so that the log is
the same in any order of reading, on any day, and needs no more memory than a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 10_000
_SAMPLE: Final = 200_000
"""Impressions drawn to find the intercept that gives the base rate."""


@dataclass(frozen=True)
class Field:
    """One categorical field of an impression.

    Parameters
    ----------
    name
        Its name, as in ``site=news``.
    values
        How many values it has.
    zipf
        The exponent of Zipf's law: value ``k`` (from 1) is drawn in proportion to ``k ** -zipf``; 0 draws all
        alike.
    spread
        The standard deviation of its values' effects on the log-odds.
    changes
        Whether the change of taste draws its effects anew.
    """

    name: str
    values: int
    zipf: float
    spread: float
    changes: bool = False


FIELDS: Final = (
    Field("site", 1000, 1.1, 0.5),
    Field("ad", 500, 1.0, 0.8, changes=True),
    Field("segment", 100, 0.8, 0.5, changes=True),
    Field("city", 300, 1.1, 0.2),
    Field("device", 4, 0.7, 0.3),
    Field("hour", 24, 0.0, 0.2),
    Field("position", 5, 0.5, 0.4),
)


@dataclass(frozen=True)
class SimulatedImpressions:
    """Consecutive impressions of the log.

    Attributes
    ----------
    values
        int64[n, fields]: the value that each field drew, from 0.
    rates
        float64[n]: the true click rates.
    clicks
        bool[n]: whether each was clicked.
    """

    values: NDArray[np.int64]
    rates: NDArray[np.float64]
    clicks: NDArray[np.bool_]


class SimulatedLog:
    """A click log of a known truth.

    Parameters
    ----------
    examples
        How many impressions it has; the taste changes after half of them.
    base_rate
        The share of impressions that are clicked, before and after the change.
    seed
        Equal seeds, equal logs.

    Examples
    --------
    >>> log = SimulatedLog(20_000)
    >>> sum(len(block.clicks) for block in log.blocks()), log.change
    (20000, 10000)
    """

    fields = FIELDS

    def __init__(self, examples: int = 100_000, base_rate: float = 0.05, seed: int = 0) -> None:
        self.examples = examples
        self.seed = seed
        self.change = examples // 2
        self._chances = [_zipf(field) for field in self.fields]
        generator = np.random.default_rng([seed, 0])
        before = [generator.normal(0, field.spread, field.values) for field in self.fields]
        after = [
            generator.normal(0, field.spread, field.values) if field.changes else effects
            for field, effects in zip(self.fields, before, strict=True)
        ]
        sample = self._draw(generator, _SAMPLE)
        self._tastes = [
            (effects, _intercept(_sum(effects, sample), base_rate)) for effects in (before, after)
        ]

    def blocks(self) -> Iterator[SimulatedImpressions]:
        """Yield the log in order, up to 10,000 impressions at a time."""
        for start in range(0, self.examples, _BLOCK):
            n = min(_BLOCK, self.examples - start)
            generator = np.random.default_rng([self.seed, 1, start])
            values = self._draw(generator, n)
            first, second = (_rate(intercept + _sum(effects, values)) for effects, intercept in self._tastes)
            rates = np.where(np.arange(start, start + n) < self.change, first, second)
            yield SimulatedImpressions(values, rates, generator.random(n) < rates)

    def features(self, values: NDArray[np.int64]) -> dict[str, str]:
        """Return one impression's features by name, as the service takes them.

        Examples
        --------
        >>> SimulatedLog(10).features(np.zeros(7, np.int64))["device"]
        'device-1'
        """
        return {
            field.name: f"{field.name}-{value + 1}" for field, value in zip(self.fields, values, strict=True)
        }

    def _draw(self, generator: np.random.Generator, n: int) -> NDArray[np.int64]:
        """Draw int64[n, fields], each field by inverting its cumulative distribution."""
        columns = [np.searchsorted(chances, generator.random(n), side="right") for chances in self._chances]
        return np.stack(columns, axis=1)


def _zipf(field: Field) -> NDArray[np.float64]:
    """Return the cumulative distribution of a field's values, without its last point (which is 1)."""
    weights = np.arange(1, field.values + 1) ** -field.zipf
    cumulative: NDArray[np.float64] = np.cumsum(weights / weights.sum())[:-1]
    return cumulative


def _sum(effects: list[NDArray[np.float64]], values: NDArray[np.int64]) -> NDArray[np.float64]:
    total = np.zeros(len(values))
    for column, effect in enumerate(effects):
        total += effect[values[:, column]]
    return total


def _rate(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    rates: NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
    return rates


def _intercept(log_odds: NDArray[np.float64], base_rate: float) -> float:
    """Return what to add to the log-odds so that the mean rate is the base rate, by bisection."""
    low, high = -30.0, 30.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if _rate(log_odds + middle).mean() < base_rate:
            low = middle
        else:
            high = middle
    return low
