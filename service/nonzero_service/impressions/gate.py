# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The gate: negatives are learned from at once as long as clicks keep pace with what was expected of them.

A negative that is learned when its impression is predicted stands for a click that may yet come. In ordinary
traffic as many clicks come, of what was learned before, as are expected of what is learned now. Where they
stay out (an outage of the labels, labels in bulk), whoever learned on would learn that nothing is clicked. So
a balance is kept: the clicks that were expected of what was learned, less those that came. When it has run up
to :data:`BOUND` further impressions wait, in order, until clicks come again or their window ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.native import kernel, types

BOUND: Final = 5.0
"""So many clicks may be expected of what was learned without that they come."""

SLACK: Final = 0.2
"""By such a share it forgets as it grows, so that an error of the expected rate does not close the gate."""

MEMORY: Final = 200.0
"""The expected rate is that over about so many clicks."""

FIRST: Final = 1000.0
"""About so many impressions are learned from before the first click has come."""

BALANCE, CLICKS, IMPRESSIONS = range(3)


@kernel(types.intp(types.uint8.readonly, types.intp, types.intp, types.float64[::1]))
def pass_by(clicked, forced, corrections, sums):
    """Learn from impressions in order, as many as may be; return how many.

    `clicked` says which of them have been. The first `forced` are learned from whatever the balance is.
    Where corrections wait too, it is their turn when the balance is not negative.
    """
    for j in range(clicked.size):
        balance = sums[BALANCE]
        if (balance >= BOUND and j >= forced) or (corrections > 0 and balance >= 0.0):
            return j
        rate = sums[CLICKS] / sums[IMPRESSIONS] if sums[CLICKS] > 0.0 else BOUND / FIRST
        click = np.float64(clicked[j])
        balance += rate * (1.0 - SLACK * balance / BOUND) - click
        sums[BALANCE] = min(max(balance, -BOUND), 2.0 * BOUND)
        sums[IMPRESSIONS] += 1.0
        sums[CLICKS] += click
        if sums[CLICKS] > MEMORY:
            sums[IMPRESSIONS] *= MEMORY / sums[CLICKS]
            sums[CLICKS] = MEMORY
    return clicked.size


class Turn(NamedTuple):
    """What is learned from next."""

    corrections: bool
    """Clicks of impressions that were learned from as negatives; or impressions that waited."""
    start: int
    stop: int


class Gate:
    """Says how many impressions may be learned from; on the committer."""

    def __init__(self) -> None:
        self.sums = np.zeros(3)
        """float64[3]: the balance; clicks and impressions, of which the rate is."""

    @property
    def balance(self) -> float:
        """Clicks that were expected of what was learned from, less those that came."""
        return float(self.sums[BALANCE])

    @property
    def is_closed(self) -> bool:
        """Whether impressions wait for clicks."""
        return self.balance >= BOUND

    def admit(self, n: int) -> int:
        """Return how many of `n` new impressions are learned from now: the first ones."""
        return int(pass_by(np.zeros(n, np.uint8), 0, 0, self.sums))

    def replay(self, clicked: NDArray[np.bool_], corrections: int) -> None:
        """Count what a row of the journal taught: impressions in their turn, and corrections."""
        pass_by(clicked.astype(np.uint8), clicked.size, 0, self.sums)
        self.drain(np.empty(0, np.uint8), 0, corrections)

    def drain(self, clicked: NDArray[np.uint8], forced: int, corrections: int) -> Sequence[Turn]:
        """Return in which order corrections, all of them, and impressions that waited are learned from.

        Parameters
        ----------
        clicked
            uint8[n]: of the impressions that wait, in order, which have been clicked.
        forced
            So many of them are learned from whatever the balance is.
        corrections
            How many clicks have come of impressions that were learned from as negatives.
        """
        sums, turns, at, done = self.sums, list[Turn](), 0, 0
        for _ in range(corrections):
            sums[CLICKS] += 1.0
            if sums[CLICKS] > MEMORY:
                sums[IMPRESSIONS] *= MEMORY / sums[CLICKS]
                sums[CLICKS] = MEMORY
        while True:
            start = done
            while done < corrections and (sums[BALANCE] >= 0.0 or at == clicked.size):
                sums[BALANCE] = max(sums[BALANCE] - 1.0, -BOUND)
                done += 1
            if done > start:
                turns.append(Turn(True, start, done))
            if at == clicked.size or (self.is_closed and at >= forced):
                return turns
            taken = int(pass_by(clicked[at:], forced - at, corrections - done, sums))
            if taken:
                turns.append(Turn(False, at, at + taken))
            at += taken
