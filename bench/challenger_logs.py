"""Simulated click logs of a known truth, on which `bench.challenger` compares models.

A log's truth is a logistic model of its fields and of the products of two pairs of them. Two more fields do
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from bench.click_logs import intercept_of, zipf
from scipy.signal import lfilter
from scipy.special import expit

Array = np.ndarray[Any, Any]

FIELDS: Final = {"site": 40, "ad": 60, "segment": 20, "device": 4, "hour": 24, "shade": 12, "font": 12}
"""Fields and how many values they have. The last two do nothing."""
PAIRS: Final = (("site", "ad"), ("device", "hour"))


class Log(NamedTuple):
    """Impressions, and what is true of them."""

    values: dict[str, Array]
    chances: Array
    labels: Array
    weights: Array
    thinned: float | None = None
    """How likely a negative was to be kept, where some were not."""


def tastes(rng: np.random.Generator, values: dict[str, Array], strength: float) -> Array:
    """Return log-odds, without the intercept."""
    total = np.zeros(len(values["site"]))
    for name in list(FIELDS)[:-2]:
        total += rng.normal(0, 0.4, FIELDS[name])[values[name]]
    for left, right in PAIRS:
        effects = rng.normal(0, strength, (FIELDS[left], FIELDS[right]))
        total += effects[values[left], values[right]]
    return total


def steady(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """Draw a log whose truth stays as it is."""
    values = {name: zipf(rng, n, size) for name, size in FIELDS.items()}
    return drawn(rng, values, tastes(rng, values, strength), rate)


def drawn(rng: np.random.Generator, values: dict[str, Array], log_odds: Array, rate: float) -> Log:
    chances = expit(log_odds + intercept_of(log_odds, rate))
    labels = (rng.random(chances.size) < chances).astype(np.float32)
    return Log(values, chances, labels, np.ones(chances.size, np.float32))


def changing(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """All tastes are drawn anew half-way."""
    values = {name: zipf(rng, n, size) for name, size in FIELDS.items()}
    before, after = tastes(rng, values, strength), tastes(rng, values, strength)
    return drawn(rng, values, np.where(np.arange(n) < n // 2, before, after), rate)


def daily(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """The rate goes up and down threefold, and tastes walk."""
    values = {name: zipf(rng, n, size) for name, size in FIELDS.items()}
    t = np.linspace(0, 1, n)
    first, second = tastes(rng, values, strength), tastes(rng, values, strength)
    return drawn(rng, values, first * (1 - t) + second * t + 0.55 * np.sin(t * 50), rate)


def bursts(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """Users of 20 impressions in a row, on one site, whom no field tells; and hours in which clicks swarm."""
    values = {name: zipf(rng, n, size) for name, size in FIELDS.items()}
    for name in ("site", "segment", "device"):
        values[name] = np.repeat(values[name][: n // 20], 20)
    users = np.repeat(rng.normal(0, 1, n // 20), 20)
    swarms = lfilter([1], [1, -0.999], rng.normal(0, 0.03, n))
    return drawn(rng, values, tastes(rng, values, strength) + users + swarms, rate)


def thinned(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """A tenth of the negatives, of weight 10 each."""
    log = steady(rng, 10 * n, rate, strength)
    kept = np.flatnonzero((log.labels > 0) | (rng.random(10 * n) < 0.1))[:n]
    weights = np.where(log.labels > 0, 1, 10).astype(np.float32)
    values = {name: column[kept] for name, column in log.values.items()}
    return Log(values, log.chances[kept], log.labels[kept], weights[kept], 0.1)


def unequal(rng: np.random.Generator, n: int, rate: float, strength: float) -> Log:
    """Weights that have nothing to do with the clicks: log-normal, sigma 1."""
    log = steady(rng, n, rate, strength)
    return log._replace(weights=np.exp(rng.normal(0, 1, n)).astype(np.float32))


STREAMS: Final[dict[str, tuple[Callable[..., Log], float]]] = {
    "5 % clicks": (steady, 0.05),
    "1 % clicks": (steady, 0.01),
    "0.2 % clicks": (steady, 0.002),
    "5 %, all tastes change half-way": (changing, 0.05),
    "5 %, tastes walk, threefold days": (daily, 0.05),
    "5 %, bursts of users and hours": (bursts, 0.05),
    "1 %, a tenth of the negatives, weight 10": (thinned, 0.01),
    "5 %, log-normal weights": (unequal, 0.05),
}


def expected(log: Log, rows: slice, ours: Array, theirs: Array) -> Array:
    """Return what the weighted differences were to be expected to be, by the log's true chances."""
    p, (click, none) = log.chances[rows], differences(ours, theirs)
    mean: Array = p * click + (1 - p) * none
    if log.thinned is None:
        return log.weights[rows] * mean
    # What is in the log is a click, or a negative that was kept and weighs as those that were not.
    return mean / (p + (1 - p) * log.thinned)


def differences(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """Return their loss less ours, for a click and for none."""
    p, q = ours.astype(float), theirs.astype(float)
    return np.log(p / q), np.log1p(-p) - np.log1p(-q)
