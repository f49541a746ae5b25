"""How two ways of doing the same work are compared: alternating, in one run, by the median."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Comparison", "Outcome", "Work", "compare", "cpu_seconds"]

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
    lanes: int = 0
    """How many lanes learn, in examples a second; 0 where it is another kind of work."""
    most_runs: int = 100
    """How often it may run at most, where a run takes long."""

    def total_runs(self, runs: int) -> int:
        """Return the runs of both sides: of each, `runs` that count and a first one that does not."""
        return 2 * (min(runs, self.most_runs) + 1)


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
    lanes: int


def compare(row: Comparison, runs: int, advance: Callable[[], None]) -> Outcome:
    """Run both sides in turn `runs` times, after once each that does not count.

    Parameters
    ----------
    row
        What is compared.
    runs
        How often each side runs, unless the row asks for less.
    advance
        Called after each of the :meth:`Comparison.total_runs`.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for run in range(row.total_runs(runs) // 2):
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
        row.lanes,
    )


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _figure(work: Work, amount: float) -> float:
    start = time.perf_counter()
    figure = work()
    return amount / (time.perf_counter() - start) if figure is None else figure
