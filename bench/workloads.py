"""What the benchmarks work on: a made-up click log of 39 string features, as files, as rows and as dicts."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, formats

__all__ = ["FIELDS", "ClickLog", "text_with_values"]

FIELDS = 39
VALUES = 200_000
SEED = 7
PART = 20_000
"""So many impressions are drawn at once."""


@dataclass(frozen=True)
class ClickLog:
    """`n` impressions with Zipf-distributed values; the files are made once, in the temporary directory."""

    n: int

    @cached_property
    def directory(self) -> Path:
        path = Path(tempfile.gettempdir()) / f"nonzero-bench-{FIELDS}-{SEED}-{self.n}"
        path.mkdir(exist_ok=True)
        return path

    @cached_property
    def vw(self) -> Path:
        """VW text, a namespace a field: about 400 bytes a line."""
        form = " ".join(f"|f{k} v%d" for k in range(FIELDS)) + "\n"
        return self._written("log.vw", lambda row, click: f"{1 if click else -1} " + form % tuple(row))

    @cached_property
    def ndjson(self) -> Path:
        """The same as JSON, an example a line."""
        form = ",".join(f'"f{k}":"v%d"' for k in range(FIELDS))
        return self._written(
            "log.ndjson", lambda row, click: f'{{"features":{{{form % tuple(row)}}},"label":{int(click)}}}\n'
        )

    @cached_property
    def csv(self) -> Path:
        """The same as delimited text, with a header."""
        header = ",".join(["click", *(f"f{k}" for k in range(FIELDS))]) + "\n"
        form = ",".join(["v%d"] * FIELDS) + "\n"
        return self._written("log.csv", lambda row, click: f"{int(click)}," + form % tuple(row), header)

    @cached_property
    def parquet(self) -> Path:
        """The same as Parquet, as pyarrow writes it unless told otherwise."""
        path = self.directory / "log.parquet"
        if not path.exists():
            import pyarrow.csv
            import pyarrow.parquet

            part = path.with_suffix(".part")
            pyarrow.parquet.write_table(pyarrow.csv.read_csv(self.csv), part)
            part.rename(path)
        return path

    @cached_property
    def batch(self) -> Batch:
        """The same as rows."""
        return formats.parse(self.vw.read_bytes(), "vw")

    def dicts(self, n: int) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the first `n` as Python dicts, and their labels."""
        with self.ndjson.open() as lines:
            rows = [json.loads(line) for line, _ in zip(lines, range(n), strict=False)]
        return [row["features"] for row in rows], [row["label"] for row in rows]

    def bodies(self, n: int) -> list[bytes]:
        """Return the first `n` as JSON bodies of requests."""
        with self.ndjson.open("rb") as lines:
            return [line.rstrip() for line, _ in zip(lines, range(n), strict=False)]

    def _written(self, name: str, line: Any, header: str = "") -> Path:
        path = self.directory / name
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("w") as file:
                file.write(header)
                for values, clicks in self._drawn():
                    file.writelines(map(line, values.tolist(), clicks.tolist()))
            part.rename(path)
        return path

    def _drawn(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Draw values and clicks; the values of every third field decide how likely a click is."""
        rng = np.random.default_rng(SEED)
        taste = rng.normal(0, 0.5, (FIELDS, 1000))
        for start in range(0, self.n, PART):
            values = np.minimum(rng.zipf(1.2, (min(PART, self.n - start), FIELDS)), VALUES)
            score = sum(taste[k, values[:, k] % 1000] for k in range(0, FIELDS, 3))
            yield values, rng.random(len(values)) < 1 / (1 + np.exp(3 - score))


def text_with_values(data: Path, size: int) -> bytes:
    """Return real VW text with real values, repeated to about `size` bytes; nothing without the file."""
    path = data / "rcv1_small.vw.gz"
    if not path.exists():
        return b""
    text = gzip.decompress(path.read_bytes())
    return text * max(size // len(text), 1)
