"""The click logs on which the default model is chosen and tried: real ones at hand, and simulated ones.

Each simulated log has a character of its own: dense binary, sparse with many rare values, few clicks, small
real values, columns of differing scale, tastes that drift. All are drawn from a fixed seed.

More real logs are read from the folder ``NONZERO_CLICK_LOGS``, as ``NAME.npz`` with arrays of a
:class:`~nonzero.Batch`: `indptr`, `indices`, `values`, `labels`, `fields`. ``lanes.md`` says where they are
found and what each was made of. Lanes may be chosen by some of them. The others are set aside: nothing is
chosen by them, so they tell what a choice is worth.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nonzero import Batch, formats

Array = np.ndarray[Any, Any]
REAL = Path(os.environ.get("NONZERO_DATA") or Path(__file__).parents[2] / "shared" / "data")
GATHERED = Path(os.environ.get("NONZERO_CLICK_LOGS") or "click-logs")


def _unpacked(name: str) -> bytes:
    return gzip.decompress((REAL / name).read_bytes())


def attribution(rows: slice = slice(None), keep_clicks: float = 1.0) -> Batch:
    """Criteo's attribution log in its own order; `keep_clicks` drops clicks at random, to make them rare."""
    table = list(csv.DictReader(io.StringIO(_unpacked("criteo_attribution.csv.gz").decode())))[rows]
    kept = np.random.default_rng(1).random(len(table)) < keep_clicks
    table = [row for row, keep in zip(table, kept, strict=True) if keep or row["click"] == "0"]
    labels = [int(row["click"]) for row in table]
    named = [{k: v for k, v in row.items() if k.startswith("cat")} for row in table]
    return Batch.from_dicts(named, labels)


def gathered(name: str) -> Batch:
    """Read one of the gathered logs."""
    with np.load(GATHERED / f"{name}.npz") as arrays:
        return Batch(**arrays)


def zipf(rng: np.random.Generator, n: int, cardinality: int, exponent: float = 1.1) -> Array:
    """Draw n values from 0 to cardinality - 1, the k-th about as often as k**-exponent."""
    chances = np.arange(1, cardinality + 1) ** -exponent
    return rng.choice(cardinality, n, p=chances / chances.sum())


def intercept_of(margin: Array, rate: float) -> float:
    """Return b such that the mean of sigmoid(margin + b) is `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        b = (low + high) / 2
        low, high = (b, high) if (1 / (1 + np.exp(-margin - b))).mean() < rate else (low, b)
    return low


def labels_of(rng: np.random.Generator, margin: Array, rate: float) -> Array:
    """Draw clicks at the chances sigmoid(margin + b), with b such that `rate` of the examples are clicks."""
    b = intercept_of(margin, rate)
    return (rng.random(margin.size) < 1 / (1 + np.exp(-margin - b))).astype(np.float32)


def categorical(
    seed: int, n: int, cardinalities: list[int], rate: float, spread: float = 0.5, drift: float = 0.0
) -> Batch:
    """A value of each field an example; each value has a taste, which walks `drift` over the log's length."""
    rng = np.random.default_rng(seed)
    indices, margin, offset = [], np.zeros(n), 0
    for cardinality in cardinalities:
        values = zipf(rng, n, cardinality)
        taste = rng.normal(0, spread, cardinality)
        turn = rng.normal(0, spread * drift, cardinality)
        margin += taste[values] + turn[values] * np.sin(np.linspace(0, 6, n) + values)
        indices.append(values + offset)
        offset += cardinality
    k = len(cardinalities)
    return Batch(np.arange(0, n * k + 1, k), np.stack(indices, 1).ravel(), None, labels_of(rng, margin, rate))


def dense(seed: int, n: int, columns: int, rate: float, scales: Array | float, heavy: bool) -> Batch:
    """Real columns, each of its own scale; with `heavy` they are counts with a long tail."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, 1.2, (n, columns)) if heavy else rng.normal(0, 1, (n, columns))
    taste = rng.normal(0, 0.3, columns)
    margin = (np.log1p(x) if heavy else x) @ taste
    values = (x * scales).astype(np.float32)
    indices = np.tile(np.arange(columns), n)
    return Batch(
        np.arange(0, n * columns + 1, columns), indices, values.ravel(), labels_of(rng, margin, rate)
    )


def binary(seed: int, n: int, columns: int, density: float, rate: float) -> Batch:
    """Binary columns of which each example has about `density`."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, columns)) < density * rng.uniform(0.1, 1.9, columns)
    labels = labels_of(rng, x @ rng.normal(0, 0.4, columns), rate)
    return Batch(np.concatenate(([0], np.cumsum(x.sum(1)))), np.nonzero(x)[1], None, labels)


def documents(seed: int, n: int, words: int, rate: float) -> Batch:
    """Word weights of documents, each document's of length 1: many small values."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(30, 120, n)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    indices = zipf(rng, int(indptr[-1]), words, 0.9)
    raw = rng.lognormal(0, 0.5, indices.size)
    values = raw / np.repeat(np.sqrt(np.add.reduceat(raw**2, indptr[:-1])), lengths)
    margin = np.add.reduceat(values * rng.normal(0, 4, words)[indices], indptr[:-1])
    return Batch(indptr, indices, values.astype(np.float32), labels_of(rng, margin, rate))


def mixed(seed: int, n: int, rate: float) -> Batch:
    """Ten fields and six real columns, from a few thousandths to some thousands in scale."""
    fields, columns = categorical(seed, n, [3, 7, 20, 50, 100, 300, 1000, 3000, 10000, 40000], 0.5), 6
    rng = np.random.default_rng(seed + 1)
    x = rng.lognormal(0, 0.7, (n, columns))
    taste = np.concatenate([rng.normal(0, 0.4, 60_000), rng.normal(0, 0.4, columns)])
    indices = np.hstack([fields.indices.reshape(n, 10), np.tile(np.arange(60_000, 60_000 + columns), (n, 1))])
    scaled = np.hstack([np.ones((n, 10)), x * np.array([3e-3, 0.1, 1, 10, 100, 2000])])
    true = np.hstack([np.ones((n, 10)), x])
    labels = labels_of(rng, (taste[indices] * true).sum(1), rate)
    return Batch(np.arange(0, n * 16 + 1, 16), indices.ravel(), scaled.ravel().astype(np.float32), labels)


MANY = [2, 7, 24, 60, 100, 300, 1000, 3000, 8000, 20_000, 60_000, 100_000]
LOGS: dict[str, Callable[[], Batch]] = {
    "criteo_attribution": attribution,
    "criteo_attribution, 20,000 rows": lambda: attribution(slice(20_000)),
    "criteo_attribution, 0.6 % clicks": lambda: attribution(keep_clicks=0.01),
    "a9a": lambda: formats.parse(_unpacked("a9a.svm.gz"), "libsvm"),
    "a9a.t": lambda: formats.parse(_unpacked("a9a.t.svm.gz"), "libsvm"),
    "rcv1_small": lambda: formats.parse(_unpacked("rcv1_small.vw.gz"), "vw"),
    "vw_0001": lambda: formats.parse(_unpacked("vw_0001.dat.gz"), "vw"),
    "dense binary": lambda: binary(11, 40_000, 100, 0.14, 0.24),
    "many fields, 3 %": lambda: categorical(12, 100_000, MANY, 0.03),
    "many fields, 17 %": lambda: categorical(13, 100_000, MANY, 0.17, 0.35),
    "many fields, drifting": lambda: categorical(14, 100_000, MANY, 0.1, 0.5, 1.0),
    "0.2 % clicks, 165,000 rows": lambda: categorical(15, 165_000, MANY[:9], 0.002),
    "0.2 % clicks, 20,000 rows": lambda: categorical(16, 20_000, MANY[:6], 0.002, 0.3),
    "0.4 % clicks, dense": lambda: binary(17, 60_000, 60, 0.3, 0.004),
    "documents": lambda: documents(18, 20_000, 20_000, 0.4),
    "real columns": lambda: dense(19, 40_000, 20, 0.2, 1.0, heavy=False),
    "columns of differing scale": lambda: dense(20, 40_000, 13, 0.25, 10.0 ** (np.arange(13) / 2 - 3), True),
    "fields and columns": lambda: mixed(21, 60_000, 0.05),
}  # fmt: skip

CHOOSE = (
    "abusive_tweets",
    "avazu",
    "bank_marketing",
    "bird_strikes",
    "caravan",
    "credit_default",
    "criteo_display",
    "flights_nyc",
    "letter_a",
    "mammography",
    "movies",
    "mushroom",
    "police_stops",
    "spam_assassin",
    "talkingdata",
    "vehicle_coupons",
    "weather",
)
"""The gathered logs that lanes may be chosen by. A coin drew them before anything was measured on any."""

ASIDE = (
    "airline_tweets",
    "clickbait",
    "electricity",
    "hillstrom",
    "ipinyou",
    "lending_club",
    "movielens_100k",
    "movielens_small",
    "obd_bts",
    "obd_random",
    "online_shoppers",
    "pet_names",
    "phishing_addresses",
    "sms_spam",
    "spambase",
    "telco_churn",
    "telescope",
    "travel_insurance",
    "trump_tweets",
    "voters",
)
"""The gathered logs that are set aside."""


def readers(names: tuple[str, ...]) -> dict[str, Callable[[], Batch]]:
    """Return what reads each of these gathered logs."""
    return {name: partial(gathered, name) for name in names}


def at_hand(logs: Mapping[str, Callable[[], Batch]]) -> Iterator[tuple[str, Batch]]:
    """Read the logs that are at hand, one after another; say of each other one why it is passed over."""
    for name, read in logs.items():
        try:
            yield name, read()
        except FileNotFoundError as absent:
            print(f"{name} is passed over: there is no {absent.filename} (see lanes.md)", file=sys.stderr)
