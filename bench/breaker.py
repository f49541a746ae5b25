"""``python -m bench.breaker``: what the circuit breaker does on the click logs, untuned, and at jumps.

Every log is learned by the default model in its own order. Calm, nothing may trip. Then the same log is
learned anew up to three fifths, where it jumps: all labels 1; every feature another one; every label turned
round. The table says which figure tripped, and after how many examples of the jump.

A second table is of the loss alone, at several bounds: where all else stays as it is, which jumps does it
notice? The labels of the logs turned round, and those of others; and simulated streams in which all tastes of
all values are drawn anew at once, the click rate kept. That is no fault, and the model learns it by itself.

A third table is of streams that stay as they are, with weights of every kind: nothing but chance can trip.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np
from bench.click_logs import LOGS, Array, categorical, labels_of

from nonzero import Batch, LogisticRegression
from nonzero_service.writer.breaker import Bounds, Breaker

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


def trip(batch: Batch, bounds: Bounds = Bounds()) -> tuple[int, str] | None:  # noqa: B008 - it is frozen
    """Return how many examples were admitted before the breaker tripped, and the figure; None: it did not."""
    model = LogisticRegression(20)
    breaker = Breaker(model, bounds)
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


def _others(batch: Batch) -> Batch:
    return _with(batch, None, np.random.default_rng(41).permutation(batch.labels))


def turns_of_taste() -> dict[str, list[Batch]]:
    """Return streams whose every taste turns after three fifths of them, by how strong the tastes are."""
    cardinalities = [4, 8, 12, 24, 40, 60, 100, 150, 200, 300, 500, 1000]

    def stream(seed: int, rate: float, spread: float) -> Batch:
        before = categorical(seed, 60_000, cardinalities, rate, spread)
        return Batch.concatenate([before, categorical(seed + 100, 40_000, cardinalities, rate, spread)])

    return {
        f"tastes of standard deviation {spread}": [
            stream(seed, rate, spread) for seed in (51, 52, 53) for rate in (0.01, 0.05, 0.2, 0.45)
        ]
        for spread in (0.2, 0.35, 0.5, 0.65, 0.8)
    }


def _noticed(streams: list[Batch], bound: float) -> str:
    """Say of how many streams the loss alone noticed the jump after three fifths, and how soon at worst."""
    found = [trip(stream, Bounds(1e9, 1e9, bound)) for stream in streams]
    after = [
        one[0] - len(stream) * 3 // 5 for one, stream in zip(found, streams, strict=True) if one is not None
    ]
    early = sum(count < 0 for count in after)
    return f"{len(after) - early} of {len(streams)}{f', {early} before it' if early else ''}"


def loss_alone(logs: dict[str, Batch]) -> None:
    """Print at which bounds the loss notices what."""
    bounds = (1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
    print(f"| the loss alone, at a bound of | {' | '.join(map(str, bounds))} |")
    print("|---" * (1 + len(bounds)) + "|")
    balanced = {name: one for name, one in logs.items() if 0.3 < one.labels.mean() < 0.7}
    jumps = {
        "labels turned round": (logs, JUMPS["labels turned round"]),
        "the same, 30 to 70 % clicks": (balanced, JUMPS["labels turned round"]),
        "labels of other examples": (logs, _others),
    }
    rows = {
        name: [
            Batch.concatenate([one.rows(0, len(one) * 3 // 5), jump(one.rows(len(one) * 3 // 5, len(one)))])
            for one in batches.values()
        ]
        for name, (batches, jump) in jumps.items()
    }
    for name, streams in (rows | turns_of_taste()).items():
        print(f"| {name} | {' | '.join(_noticed(streams, bound) for bound in bounds)} |", flush=True)


WEIGHTS: Final[dict[str, Callable[[Array, np.random.Generator], Array]]] = {
    "all 1": lambda labels, _: np.ones(labels.size),
    "negatives thinned to a tenth": lambda labels, _: np.where(labels, 1, 10),
    "negatives thinned to a thousandth": lambda labels, _: np.where(labels, 1, 1000),
    "a fifth of the clicks are corrections, of up to 101": lambda labels, rng: np.where(
        labels & (rng.random(labels.size) < 0.2), 1 + 100 * rng.beta(0.5, 5, labels.size), 1
    ),
    "log-normal, sigma 1": lambda labels, rng: np.exp(rng.normal(size=labels.size)),
    "log-normal, sigma 2": lambda labels, rng: np.exp(2 * rng.normal(size=labels.size)),
    "log-normal, sigma 2, of clicks only": lambda labels, rng: np.where(
        labels, np.exp(2 * rng.normal(size=labels.size)), 1
    ),
    "Pareto, exponent 1.5": lambda labels, rng: 1 + rng.pareto(1.5, labels.size),
    "Pareto, exponent 1": lambda labels, rng: 1 + rng.pareto(1, labels.size),
}
"""Importance weights of examples with these labels; more than 1e6 is 1e6."""


def trips(batch: Batch) -> int:
    """Return how often a stream trips, each time discarded."""
    breaker, count = Breaker(LogisticRegression(8), Bounds()), 0
    start = 0
    while start < len(batch):
        admitted, reason = breaker.admit(batch.rows(start, min(start + 1_000_000, len(batch))))
        start += admitted
        if reason is not None:
            count += 1
            breaker.forget(reason["figure"])
    return count


def weighted() -> None:
    """Print how often streams of ten million examples trip that stay as they are."""
    rates = (0.0005, 0.005, 0.05, 0.3)
    print(f"| weights, and the share of clicks | {' | '.join(f'{100 * rate:g} %' for rate in rates)} |")
    print("|---" * (1 + len(rates)) + "|")
    for name, weights in WEIGHTS.items():
        cells = []
        for rate in rates:
            count = 0
            for seed in (61, 62):
                rng = np.random.default_rng(seed)
                labels = rng.random(10_000_000) < rate
                n = labels.size
                heavy = np.minimum(weights(labels, rng), 1e6)
                count += trips(Batch(np.arange(n + 1), np.arange(n) % 50, labels=labels, weights=heavy))
            cells.append(str(count))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.breaker", description=__doc__)
    parser.parse_args()
    print(f"| log | examples | clicks | calm | {' | '.join(JUMPS)} |")
    print("|---" * (4 + len(JUMPS)) + "|")
    made = [*LOGS.items(), ("3 % clicks, threefold up and down a day", daily)]
    logs = {name: batch for name, make in made if len(batch := make()) * 3 // 5 >= WARM}
    for name, batch in logs.items():
        print(_row(name, batch), flush=True)
    print()
    loss_alone(logs)
    print()
    weighted()


if __name__ == "__main__":
    main()
