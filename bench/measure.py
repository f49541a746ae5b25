"""How two ways of doing the same work are compared: alternating, in one run, by the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.progress import Progress

Work = Callable[[], float | None]
"""Does the work once. Returns the seconds that count, or None for all that it took."""


@dataclass(frozen=True)
class Comparison:
    """The same work by us and by a peer (or against a limit)."""

    name: str
    ours: Work
    peer_name: str
    peer: Work
    amount: float
    """How much work: examples, or bytes."""
    unit: str
    """What the rates count, such as ``M examples/s``; a million of `amount`'s unit."""
    target: float
    """The ratio to reach, ours over theirs."""


@dataclass(frozen=True)
class Outcome:
    """Medians of alternating runs."""

    name: str
    unit: str
    ours: float
    peer_name: str
    peer: float
    ratio: float
    spread: tuple[float, float]
    target: float


def compare(comparison: Comparison, runs: int, progress: Progress) -> Outcome:
    """Run both sides in turn `runs` times, after once each that does not count."""
    rates: tuple[list[float], list[float]] = ([], [])
    task = progress.add_task(comparison.name, total=2 * (runs + 1))
    for run in range(runs + 1):
        for side, work in zip(rates, (comparison.ours, comparison.peer), strict=True):
            seconds = timed(work)
            if run:
                side.append(comparison.amount / seconds / 1e6)
            progress.advance(task)
    ratios = sorted(ours / peer for ours, peer in zip(*rates, strict=True))
    ours, peer = (statistics.median(side) for side in rates)
    return Outcome(
        comparison.name,
        comparison.unit,
        ours,
        comparison.peer_name,
        peer,
        ours / peer,
        (ratios[0], ratios[-1]),
        comparison.target,
    )


def timed(work: Work) -> float:
    """Return the seconds that `work` took, by its own account or by the clock."""
    start = time.perf_counter()
    counted = work()
    return time.perf_counter() - start if counted is None else counted
