"""``python -m bench.breaker``: what the circuit breaker does on the click logs, untuned, and at jumps.

Every log is learned by the default model in its own order. Calm, nothing may trip. Then the same log is
learned anew up to three fifths, where it jumps: all labels 1; every feature another one; every label turned
round. The table says which figure tripped, and after how many examples of the jump.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np
from bench.click_logs import LOGS, Array, categorical, labels_of

from nonzero import Batch, LogisticRegression
from nonzero_service.breaker import Bounds, Breaker

__all__ = ["JUMPS", "trip"]

WARM: Final = 11_250
"""A log must be so long before its jump that something is compared."""
AT_ONCE: Final = 4000
"""About what a service makes one row of its journal of."""


def _with(batch: Batch, indices: Array | None, labels: Array | None) -> Batch:
    return Batch(
        batch.indptr,
        batch.indices if indices is None else indices,
        batch.values,
        batch.labels if labels is None else labels,
        batch.weights,
        batch.fields,
    )


JUMPS: Final[dict[str, Callable[[Batch], Batch]]] = {
    "all labels 1": lambda batch: _with(batch, None, np.ones(len(batch))),
    "all features new": lambda batch: _with(batch, (batch.indices ^ 0x5A5A5) % 2**20, None),
    "labels turned round": lambda batch: _with(batch, None, 1 - batch.labels),
}


def trip(batch: Batch) -> tuple[int, str] | None:
    """Return how many examples were admitted before the breaker tripped, and the figure; None: it did not."""
    model = LogisticRegression(20)
    breaker = Breaker(model, Bounds())
    for start in range(0, len(batch), AT_ONCE):
        part = batch.rows(start, min(start + AT_ONCE, len(batch)))
        count, reason = breaker.admit(part)
        if reason is not None:
            return start + count, reason["figure"]
        model.learn(part)
    return None


def daily() -> Batch:
    """Clicks whose rate goes up and down threefold, every 25,000 examples."""
    batch = categorical(31, 150_000, [7, 60, 300, 3000], 0.5)
    rng, day = np.random.default_rng(32), np.sin(np.arange(len(batch)) * 2 * np.pi / 25_000)
    labels = labels_of(rng, 0.55 * day + rng.normal(0, 0.3, len(batch)), 0.03)
    return _with(batch, None, labels)


def _row(name: str, batch: Batch) -> str:
    calm = trip(batch)
    cells = ["nothing" if calm is None else f"{calm[1]} at {calm[0]}"]
    at = len(batch) * 3 // 5
    for jump in JUMPS.values():
        found = trip(Batch.concatenate([batch.rows(0, at), jump(batch.rows(at, len(batch)))]))
        cells.append("nothing" if found is None else f"{found[1]}, {found[0] - at}")
    return f"| {name} | {len(batch)} | {100 * batch.labels.mean():.1f} % | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.breaker", description=__doc__)
    parser.parse_args()
    print(f"| log | examples | clicks | calm | {' | '.join(JUMPS)} |")
    print("|---" * (4 + len(JUMPS)) + "|")
    for name, make in [*LOGS.items(), ("3 % clicks, threefold up and down a day", daily)]:
        batch = make()
        if len(batch) * 3 // 5 >= WARM:
            print(_row(name, batch), flush=True)


if __name__ == "__main__":
    main()
