"""How the counts of a log of Criteo's form are best read: as buckets, categories, numbers, or not at all.

``python -m bench.counts [FILE...]`` prints the mean log loss of one pass over simulated logs, and over files
of that form where there are any. The simulated effect of a count is smooth in its logarithm, not monotone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import AdaGrad, LogisticRegression, formats

COUNTS, CATEGORIES = 13, 26

WAYS: Final = {
    "bucket": {},
    "category": {"I*": "category"},
    "number": {"I*": "number"},
    "left out": {"I*": "ignore"},
}

Array = NDArray[np.float64]


def simulated(n: int, seed: int) -> bytes:
    """Make a log: counts with long tails, some of them missing, and categories of which few are frequent."""
    rng = np.random.default_rng(seed)
    scale: Array = rng.normal(rng.uniform(0, 5, COUNTS), rng.uniform(0.8, 2, COUNTS), (n, COUNTS))
    counts = np.floor(np.exp(scale)).astype(np.int64) - 1
    missing = rng.random((n, COUNTS)) < rng.uniform(0, 0.4, COUNTS)
    sizes = [int(10 ** rng.uniform(0.5, 5)) for _ in range(CATEGORIES)]
    values = [np.minimum((rng.pareto(0.8, n) * 3).astype(np.int64), size - 1) for size in sizes]
    margin = np.zeros(n)
    for k in range(COUNTS):
        x = np.log1p(np.maximum(counts[:, k], 0))
        slope, wave = rng.normal(0, 0.25, 2)
        effect = slope * (x - x.mean()) / x.std() + wave * np.sin(x)
        margin += np.where(missing[:, k], rng.normal(0, 0.3), effect)
    for size, chosen in zip(sizes, values, strict=True):
        margin += rng.normal(0, 0.25, size)[chosen]
    margin += -1.1 - margin.mean()
    clicks = rng.random(n) < 1 / (1 + np.exp(-margin))
    names = [[format(value * 2654435761 % 2**32, "08x") for value in chosen.tolist()] for chosen in values]
    numbers = np.where(missing, "", counts.astype(str)).tolist()
    rows = zip(clicks.tolist(), numbers, zip(*names, strict=True), strict=True)
    return "".join("\t".join([str(int(click)), *some, *named]) + "\n" for click, some, named in rows).encode()


def log_loss(text: bytes, schema: dict[str, str], optimizer: AdaGrad | None) -> tuple[int, float]:
    """Learn a log in one pass; return how many examples it has, and the mean log loss."""
    reader = formats.reader("criteo", schema={**schema, "C*": "category"}, boolean=())
    model = LogisticRegression(18, optimizer)
    for parsed in (reader.feed(text), reader.finish()):
        model.learn(parsed.batch)
    return model.examples, model.metrics()["log_loss"] or float("nan")


def main() -> None:
    """Print a row for each log and way of reading."""
    logs = {Path(name).name: Path(name).read_bytes() for name in sys.argv[1:]}
    logs |= {f"simulated, seed {seed}": simulated(n, seed) for n, seed in ((20_000, 1), (200_000, 2))}
    print(f"{'log':<24}{'counts as':<12}{'examples':>10}{'default':>10}{'AdaGrad':>10}")
    for name, text in logs.items():
        for way, schema in WAYS.items():
            found = [log_loss(text, schema, optimizer) for optimizer in (None, AdaGrad(0.05))]
            print(f"{name:<24}{way:<12}{found[0][0]:>10,}" + "".join(f"{loss:>10.5f}" for _, loss in found))


if __name__ == "__main__":
    main()
