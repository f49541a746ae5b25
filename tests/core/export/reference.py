"""A reader of exported JSON in plain Python, written from ``docs/export.md`` alone: it imports no Nonzero."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from math import exp, log
from typing import Any

Feature = tuple[int, int, float]
"""Index, field and value."""

MASK = 0xFFFFFFFF


def murmur(data: bytes) -> int:
    """MurmurHash3, x86, 32 bits, seed 0."""

    def rotated(x: int, r: int) -> int:
        return (x << r | x >> 32 - r) & MASK

    def scrambled(k: int) -> int:
        return rotated(k * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK

    h, whole = 0, len(data) // 4 * 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        h = (rotated(h ^ scrambled(k), 13) * 5 + 0xE6546B64) & MASK
    h ^= scrambled(int.from_bytes(data[whole:], "little")) ^ len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def index_of(data: bytes) -> int:
    h = murmur(data)
    return h if h < 2**31 else 2**32 - h


def field_of(name: str) -> int:
    return murmur(name.encode()) & 0xFFFF or 1


def float32(x: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def kept(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def product(a: Feature, b: Feature, field: int) -> Feature:
    index = index_of(struct.pack("<II", a[0], b[0]))
    return index, field, kept(float32(a[2] * b[2]), -1e6, 1e6)


class Reference:
    """A model as its JSON has it."""

    def __init__(self, exported: dict[str, Any]) -> None:
        assert exported["format"] == "nonzero-export-1"
        assert exported["whole"]
        self.exported = exported
        self.slots = {entry["slot"]: entry for entry in exported["weights"]}
        self.scales = {entry["field"]: entry["rms"] for entry in exported["scales"] or ()}

    def predict_names(self, features: Sequence[tuple[str, str, float]]) -> float:
        """Predict an example of features with a name, the name of their field, and a value."""
        return self.predict(
            [(index_of(name.encode()), field_of(field), value) for name, field, value in features]
        )

    def predict(self, features: Sequence[Feature]) -> float:
        given = [feature for feature in features if feature[2]]
        whole = [*given, *self.products(given)][: max(65_536, len(given))]
        return self.recalibrated(self.mixed(*self.sums(whole)))

    def products(self, features: Sequence[Feature]) -> Iterator[Feature]:
        for pair in self.exported["settings"].get("interactions", ()):
            left, right = map(field_of, pair.split("*"))
            for i, a in enumerate(features):
                for b in features[i + 1 :] if left == right else features:
                    if a[1] == left and b[1] == right:
                        yield product(a, b, field_of(pair))

    def scaled(self, index: int, field: int, x: float) -> float:
        if self.exported["scales"] is None:
            return x
        rms = self.scales.get(field or index & 0xFFFF)
        if rms is None:
            return (x > 0) - (x < 0)
        return float32(kept(x / rms, -30, 30))

    def sums(self, features: Sequence[Feature]) -> tuple[list[float], float]:
        """Return the lanes' margins, and the variance."""
        intercept, untouched = self.exported["intercept"], self.exported["untouched"]
        margins, variance = [*intercept["lanes"]], intercept.get("variance", 0)
        for index, field, value in features:
            x = self.scaled(index, field, value)
            entry = self.slots.get(index % self.exported["slots"], untouched)
            margins = [m + weight * x for m, weight in zip(margins, entry["lanes"], strict=True)]
            variance += entry.get("variance", 0) * x * x
        return [kept(m, -50, 50) for m in margins], variance

    def mixed(self, margins: Sequence[float], variance: float) -> float:
        mixing = self.exported["mixing"]
        if mixing["kind"] == "one":
            return sigmoid(margins[0])
        yes, no = mixture(mixing["shares"], margins)
        if mixing["kind"] == "mixture":
            return yes / (yes + no)
        base, unsure = log(yes / no), log(1 + variance)
        inputs = [m - base for m in margins] + [
            base,
            1,
            unsure,
            unsure * base,
            abs(base),
            base * abs(base) / 4,
        ]
        r = kept(sum(w * u for w, u in zip(mixing["regression"], inputs, strict=True)), -30, 30)
        if mixing["answer"] == "free":
            return aggregated(yes, no, r, mixing["free_odds"])
        plain = [m for m, share in zip(margins, mixing["plain_shares"], strict=True) if share > 0]
        yes, no = mixture(mixing["plain_shares"], margins)
        return aggregated(yes, no, kept(r, min(plain), max(plain)), mixing["restricted_odds"])

    def recalibrated(self, p: float) -> float:
        if (learned := self.exported["recalibration"]) is None:
            return p
        p = kept(float32(p), 2e-22, 1 - 2**-24)
        return sigmoid(kept(learned["slope"] * log(p / (1 - p)) + learned["offset"], -50, 50))


def mixture(shares: Sequence[float], margins: Sequence[float]) -> tuple[float, float]:
    yes = sum(share * sigmoid(m) for share, m in zip(shares, margins, strict=True))
    return yes, sum(share * sigmoid(-m) for share, m in zip(shares, margins, strict=True))


def aggregated(yes: float, no: float, odds: float, share_odds: float) -> float:
    share = share_odds / (1 + share_odds)
    return (1 - share) * yes / (yes + no) + share * sigmoid(odds)
