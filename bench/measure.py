"""How two ways of doing the same work are compared: alternating, in one run, by the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Comparison", "Outcome", "Work", "compare"]

Work = Callable[[], float | None]
"""Does the work once. Returns the rate or the cost in the row's unit, or None: the clock tells the rate."""


@dataclass(frozen=True)
class Comparison:
    """The same work by us and by a peer, or ours against a limit."""

    name: str
    ours: Work
    peer_name: str
    """The peer and its flags."""
    peer: Work
    unit: str
    """What the works return, and what the clock counts: a rate, or a cost."""
    target: float
    """The ratio to reach: how many times as good ours is as theirs."""
    amount: float = 0
    """How much work it is, in `unit` times seconds, where the clock tells the rate."""
    cost: bool = False
    """Whether less is better: seconds, bytes. The ratio is theirs over ours then, else ours over theirs."""
    most_runs: int = 100
    """How often it may run at most, where a run takes long."""


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
        How often each side runs, unless the row asks for less.
    advance
        Called after each of the ``2 * (runs + 1)`` runs.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for run in range(min(runs, row.most_runs) + 1):
        for side, work in zip(figures, (row.ours, row.peer), strict=True):
            figure = _figure(work, row.amount)
            if run:
                side.append(figure)
            advance()
    sign = -1 if row.cost else 1
    ratios = [(ours / peer) ** sign for ours, peer in zip(*figures, strict=True)]
    ours, peer = (statistics.median(side) for side in figures)
    return Outcome(
        row.name,
        row.unit,
        ours,
        row.peer_name,
        peer,
        (ours / peer) ** sign,
        min(ratios),
        max(ratios),
        row.target,
    )


def _figure(work: Work, amount: float) -> float:
    start = time.perf_counter()
    figure = work()
    return amount / (time.perf_counter() - start) if figure is None else figure
