"""How two ways of doing the same work are compared: alternating, in one run, by the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Comparison", "Outcome", "Work", "compare"]

Work = Callable[[], float | None]
"""Does the work once. Returns the rate in the row's unit, or None where the clock is to tell it."""


@dataclass(frozen=True)
class Comparison:
    """The same work by us and by a peer, or ours against a limit."""

    name: str
    ours: Work
    peer_name: str
    """The peer and its flags."""
    peer: Work
    unit: str
    """What a rate counts, a second."""
    target: float
    """The ratio to reach, ours over theirs."""
    amount: float = 0
    """How much work it is, in `unit`, where the clock tells the rate."""


@dataclass(frozen=True)
class Outcome:
    """Medians of alternating runs, and how far the ratios of neighbours spread."""

    name: str
    unit: str
    ours: float
    peer_name: str
    peer: float
    ratio: float
    least: float
    most: float
    target: float


def compare(row: Comparison, runs: int, advance: Callable[[], None]) -> Outcome:
    """Run both sides in turn `runs` times, after once each that does not count.

    Parameters
    ----------
    row
        What is compared.
    runs
        How often each side runs.
    advance
        Called after each of the ``2 * (runs + 1)`` runs.
    """
    rates: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for side, work in zip(rates, (row.ours, row.peer), strict=True):
            rate = _rate(work, row.amount)
            if run:
                side.append(rate)
            advance()
    ratios = [ours / peer for ours, peer in zip(*rates, strict=True)]
    ours, peer = (statistics.median(side) for side in rates)
    return Outcome(
        row.name,
        row.unit,
        ours,
        row.peer_name,
        peer,
        ours / peer,
        min(ratios),
        max(ratios),
        row.target,
    )


def _rate(work: Work, amount: float) -> float:
    start = time.perf_counter()
    rate = work()
    return amount / (time.perf_counter() - start) if rate is None else rate
