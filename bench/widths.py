"""``python -m bench.widths``: how fast models learn 1 to 1,000 features an example, ones or real values."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.kernels.rules.optimizers import Rule

WIDTHS = (1, 10, 39, 100, 1000)
NONZEROS = 4_000_000
VALUES = 200_000
BITS = 22
RUNS = 3
SEED = 7


def drawn(width: int, real: bool) -> Batch:
    """Return examples of so many features, with Zipf-distributed names; real values are normal."""
    rng = np.random.default_rng(SEED)
    n = max(NONZEROS // width, 2000)
    names = np.minimum(rng.zipf(1.2, (n, width)), VALUES) * 2_654_435_761 + np.arange(width) * 40_503
    values = rng.normal(size=n * width).astype(np.float32) if real else None
    fields = np.tile(np.arange(1, width + 1, dtype=np.uint16), n)
    indptr = np.arange(n + 1) * width
    return Batch(indptr, names.ravel() % 2**31, values, rng.random(n) < 0.05, fields=fields)


def features_per_second(batch: Batch, optimizer: Rule | None) -> float:
    """Return how many features a new model learns from in a second of processor time, the median."""
    rates = []
    for _ in range(RUNS):
        model = LogisticRegression(BITS, optimizer)
        model.table.rows[:] = 0
        start = time.thread_time()
        model.learn_checked(batch)
        rates.append(batch.nnz / (time.thread_time() - start))
    return sorted(rates)[RUNS // 2]


def rows() -> Iterator[tuple[str, ...]]:
    for width in WIDTHS:
        for real in (False, True):
            batch = drawn(width, real)
            one, eight = (features_per_second(batch, rule) for rule in (AdaGrad(0.1), None))
            kind = "real" if real else "ones"
            yield f"{width:,}", kind, f"{one / 1e6:.0f}", f"{eight / 1e6:.0f}", f"{eight / one:.2f}"


def main() -> None:
    table = Table(title=f"Million features learned from in a second of processor time, 2**{BITS} slots")
    for heading in ("features an example", "values", "one lane", "eight lanes, values scaled", "ratio"):
        table.add_column(heading, justify="right")
    for row in rows():
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
