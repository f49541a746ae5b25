"""How sure a mean over a stream is, where neighbours may be alike: the method of batch means.

Examples of a log that follow on each other share users, hours and campaigns. So their losses are dependent,
and the interval of independent ones is too narrow. The stream is cut into blocks in its order. Means of long
blocks are nearly independent, and their spread tells how far the whole mean may be off (Schmeiser, "Batch
size effects in the analysis of simulation output", Operations Research 30, 1982, which finds 10 to 30 blocks
to be enough). Nobody knows the length of the stream before, so neighbours are joined whenever the blocks run
out (Yeh, Schmeiser, "Simulation output analysis via dynamic batch means", Winter Simulation Conference,
2000).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCKS: Final = 32
"""At most so many; more than half of them, once there are so many examples."""

LEAST: Final = 5.0
"""Of fewer blocks, counted by their weight, no interval is told."""

CONFIDENCE: Final = 0.95


class MeanInterval(NamedTuple):
    """A mean, and where the true one is."""

    mean: float
    low: float | None
    """None, as `high` is, where there are too few blocks."""
    high: float | None
    blocks: float
    """How many blocks of equal weight would tell as much."""


class BatchMeans:
    """Sums of a stream by blocks of its examples, for each of some groups of them, in memory that stays flat.

    Any parts of the stream come to the same blocks.

    Parameters
    ----------
    groups
        How many groups there are; :meth:`grow` adds some.

    Examples
    --------
    >>> means = BatchMeans()
    >>> values = np.tile([0.1, 0.3], 500)
    >>> means.add(np.arange(1000), np.zeros(1000, np.intp), np.ones(1000), values, 1000)
    >>> found = means.interval()
    >>> round(found.mean, 3), found.low > 0.19, found.high < 0.21
    (0.2, True, True)
    """

    def __init__(self, groups: int = 1) -> None:
        self._size = 1
        self._examples = 0
        self._weights = np.zeros((groups, BLOCKS))
        self._sums = np.zeros((groups, BLOCKS))

    def grow(self, groups: int) -> None:
        """Make room for more groups, which have nothing yet.

        Parameters
        ----------
        groups
            How many there are then.
        """
        more = ((0, groups - len(self._sums)), (0, 0))
        self._weights, self._sums = np.pad(self._weights, more), np.pad(self._sums, more)

    def add(
        self,
        rows: NDArray[np.intp],
        groups: NDArray[np.intp],
        weights: NDArray[np.float64],
        values: NDArray[np.float64],
        examples: int,
    ) -> None:
        """Add what follows on the stream.

        Parameters
        ----------
        rows
            intp[k]: which example of this part each value is of, from 0.
        groups
            intp[k]: the group that it is counted in. An example may be in several, or in none.
        weights, values
            float64[k]: importance weights, and what the mean is of.
        examples
            How many examples the part has.
        """
        while self._examples + examples > BLOCKS * self._size:
            self._join_neighbours()
        places = groups * BLOCKS + (self._examples + rows) // self._size
        shape, size = self._sums.shape, self._sums.size
        self._weights += np.bincount(places, weights, size).reshape(shape)
        self._sums += np.bincount(places, weights * values, size).reshape(shape)
        self._examples += examples

    def interval(self, group: int = 0) -> MeanInterval | None:
        """Return the weighted mean of a group and its interval of 95 %; None where nothing was weighed.

        Parameters
        ----------
        group
            Which one.
        """
        weights, sums = self._weights[group], self._sums[group]
        total = float(weights.sum())
        if not total:
            return None
        mean = float(sums.sum()) / total
        shares = weights / total
        blocks = float(1 / (shares**2).sum())
        if blocks < LEAST:
            return MeanInterval(mean, None, None, blocks)
        # Blocks weigh differently: those of a group, and the last one, which is not full. The mean is a ratio
        # of sums, and (sum - mean * weight) what a block adds to its error (Cochran, "Sampling Techniques",
        # 1977, section 6.4). With equal weights this is the usual variance of a mean, over blocks - 1.
        errors = sums / total - mean * shares
        variance = float((errors**2).sum()) / (1 - 1 / blocks)
        from scipy.special import stdtrit  # here: few commands need it, and it takes a tenth of a second

        half = float(stdtrit(blocks - 1, (1 + CONFIDENCE) / 2)) * variance**0.5
        return MeanInterval(mean, mean - half, mean + half, blocks)

    def joined(self, groups: NDArray[np.intp]) -> BatchMeans:
        """Return some groups as one.

        Parameters
        ----------
        groups
            intp[k]: which.
        """
        found = BatchMeans()
        found._size, found._examples = self._size, self._examples
        found._weights = self._weights[groups].sum(0, keepdims=True)
        found._sums = self._sums[groups].sum(0, keepdims=True)
        return found

    def _join_neighbours(self) -> None:
        for sums in (self._weights, self._sums):
            sums[:, : BLOCKS // 2] = sums[:, ::2] + sums[:, 1::2]
            sums[:, BLOCKS // 2 :] = 0
        self._size *= 2
