# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The gate: negatives are learned from at once as long as clicks keep pace with what was expected of them.

A negative that is learned when its impression is predicted stands for a click that may yet come. In ordinary
traffic as many clicks come, of what was learned before, as are expected of what is learned now. Where they
stay out (an outage of the labels, labels in bulk), whoever learned on would learn that nothing is clicked. So
a balance is kept: the clicks that were expected of what was learned, less those that came. When it has run up
to :data:`BOUND` further impressions wait, in order, until clicks come again, or they have had their chance.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.native import inlined, kernel, types

BOUND: Final = 2.0
"""So many clicks may be expected of what was learned without that they come."""

SLACK: Final = 0.1
"""By such a share it forgets as it grows, so that an error of the expected rate does not close the gate."""

MEMORY: Final = 200.0
"""The expected rate is that over about so many clicks."""

FIRST: Final = 1000.0
"""About so many impressions are learned from before the first click has come."""

BULK: Final = 20.0
"""Where so many clicks are expected of those that wait, labels come in bulk: none is learned from that is
much newer than the newest that was clicked, for the next bulk may hold its click."""

# What is kept: the balance; clicks and impressions, of which the rate is; whether impressions have had to
# wait, and the labels have not caught up since; the number of the newest impression that was clicked.
BALANCE, CLICKS, IMPRESSIONS, BEHIND, NEWEST = range(5)


@inlined
def count_click(sums):
    """Take a click into the expected rate."""
    sums[CLICKS] += 1.0
    if sums[CLICKS] > MEMORY:
        sums[IMPRESSIONS] *= MEMORY / sums[CLICKS]
        sums[CLICKS] = MEMORY


@inlined
def expected_rate(sums):
    """The clicks that are expected of an impression."""
    return sums[CLICKS] / sums[IMPRESSIONS] if sums[CLICKS] > 0.0 else BOUND / FIRST


@kernel(
    types.intp(types.uint8.readonly, types.intp, types.intp, types.intp, types.float64[::1], types.uint8[::1])
)
def take_turns(clicked, limit, forced, corrections, sums, order):
    """Let impressions that wait, and corrections, take turns; return how many turns there were.

    `clicked` says which impressions have been. No more than `limit` of them have their turn; the first
    `forced` have it whatever the balance is; all corrections have. `order` gets 1 for a correction, 0 for the
    next impression.
    """
    for _ in range(corrections):
        count_click(sums)
    at, done, turns, here = np.intp(0), np.intp(0), np.intp(0), 0.0
    while True:
        shut = sums[BALANCE] >= BOUND and at >= forced
        if done < corrections and (here >= 0.0 or done * limit < corrections * at or at >= limit or shut):
            sums[BALANCE] = max(sums[BALANCE] - 1.0, -BOUND)
            here -= 1.0
            done += 1
            order[turns] = 1
        elif at >= limit or shut:
            return turns
        else:
            rate = expected_rate(sums)
            click = np.float64(clicked[at])
            here += rate - click
            balance = sums[BALANCE] + rate * (1.0 - SLACK * sums[BALANCE] / BOUND) - click
            sums[BALANCE] = min(max(balance, -BOUND), 2.0 * BOUND)
            sums[IMPRESSIONS] += 1.0
            if click > 0.0:
                count_click(sums)
            at += 1
            order[turns] = 0
        turns += 1


class Gate:
    """Says how many impressions may be learned from; on the committer."""

    def __init__(self) -> None:
        self.sums = np.zeros(5)
        """float64[5]: see the names above."""

    @property
    def balance(self) -> float:
        """Clicks that were expected of what was learned from, less those that came."""
        return float(self.sums[BALANCE])

    @property
    def newest_clicked(self) -> int:
        """The number of the newest impression that was clicked."""
        return int(self.sums[NEWEST])

    def note_clicked(self, numbers: NDArray[np.int64]) -> None:
        """Take note of impressions whose click has come."""
        if numbers.size:
            self.sums[NEWEST] = max(self.sums[NEWEST], float(numbers.max()))

    def drain(
        self, numbers: NDArray[np.int64], clicked: NDArray[np.uint8], forced: int, corrections: int
    ) -> NDArray[np.bool_]:
        """Return in which order corrections, all of them, and impressions that wait are learned from.

        Parameters
        ----------
        numbers
            int64[n]: the impressions that wait, in order.
        clicked
            uint8[n]: which of them have been clicked.
        forced
            So many of them are learned from whatever the balance is: they have had their chance of a click.
        corrections
            How many clicks have come of impressions that were learned from as negatives.

        Returns
        -------
        bool[k]
            True for the next correction, False for the next impression.
        """
        sums, limit = self.sums, numbers.size
        if sums[BEHIND]:
            rate = float(expected_rate(sums))
            ahead = sums[NEWEST] + BOUND / rate
            if not limit or ahead >= numbers[-1] + 1:
                sums[BEHIND] = 0.0
            elif limit * rate > BULK:
                limit = max(int(numbers.searchsorted(ahead)), forced)
        order = np.empty(numbers.size + corrections, np.uint8)
        turns = int(take_turns(clicked, limit, forced, corrections, sums, order))
        if turns < order.size and self.balance >= BOUND:
            sums[BEHIND] = 1.0
        found: NDArray[np.bool_] = order[:turns] == 1
        return found

    def replay(self, numbers: NDArray[np.int64], clicked: NDArray[np.bool_], corrections: int) -> None:
        """Count what a row of the journal taught: impressions in their turn, and corrections."""
        order = np.empty(numbers.size + corrections, np.uint8)
        take_turns(clicked.astype(np.uint8), numbers.size, numbers.size, corrections, self.sums, order)
