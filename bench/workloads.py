"""What the benchmarks work on: a made-up click log of 39 string features with Zipf-distributed values, as files and as rows."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nonzero import Batch, formats

FIELDS = 39
VALUES = 200_000
SEED = 7


@dataclass(frozen=True)
class ClickLog:
    """`n` impressions, made once and kept in the temporary directory."""

    n: int

    @cached_property
    def directory(self) -> Path:
        path = Path(tempfile.gettempdir()) / f"nonzero-bench-{FIELDS}-{SEED}-{self.n}"
        path.mkdir(exist_ok=True)
        return path

    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """(values int64[n, fields], labels bool[n]); what decides a click is the value of some of the fields."""
        rng = np.random.default_rng(SEED)
        values = np.minimum(rng.zipf(1.2, (self.n, FIELDS)), VALUES)
        taste = rng.normal(0, 0.5, (FIELDS, 1000))
        score = sum(taste[k, values[:, k] % 1000] for k in range(0, FIELDS, 3))
        return values, rng.random(self.n) < 1 / (1 + np.exp(3 - score))

    @cached_property
    def vw(self) -> Path:
        """VW text, about 400 bytes a line."""
        path = self.directory / "log.vw"
        if not path.exists():
            values, labels = self.chosen()
            with path.with_suffix(".part").open("w") as file:
                for row, label in zip(values.tolist(), labels.tolist(), strict=True):
                    features = " ".join([f"|f{k} v{value:06d}" for k, value in enumerate(row)])
                    file.write(f"{1 if label else -1} {features}\n")
            path.with_suffix(".part").rename(path)
        return path

    @cached_property
    def ndjson(self) -> Path:
        """The same as JSON, an example a line."""
        path = self.directory / "log.ndjson"
        if not path.exists():
            values, labels = self.chosen()
            with path.with_suffix(".part").open("w") as file:
                for row, label in zip(values.tolist(), labels.tolist(), strict=True):
                    features = {f"f{k}": f"v{value:06d}" for k, value in enumerate(row)}
                    file.write(json.dumps({"features": features, "label": int(label)}) + "\n")
            path.with_suffix(".part").rename(path)
        return path

    @cached_property
    def batch(self) -> Batch:
        """The same as rows."""
        return formats.parse(self.vw.read_bytes(), "vw")

    def dicts(self, n: int) -> tuple[list[dict[str, Any]], list[int]]:
        """The first `n` as Python dicts, and their labels."""
        rows = [json.loads(line) for line in self.ndjson.open().readlines()[:n]]
        return [row["features"] for row in rows], [row["label"] for row in rows]


def text_with_values(data: Path) -> bytes:
    """Real VW text with real-valued features, repeated to 20 MB; empty where the file is absent."""
    path = data / "rcv1_small.vw.gz"
    if not path.exists():
        return b""
    text = gzip.decompress(path.read_bytes())
    return text * (20_000_000 // len(text))
