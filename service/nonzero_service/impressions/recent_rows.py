"""Rows of the journal that were written a moment ago, and whose impressions wait: kept to be learned from."""

from __future__ import annotations

import time
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.rows import ImpressionRow

MOST: Final = 8 << 20
"""So many bytes of one model's records are kept; what comes then is read from the journal."""

SECONDS: Final = 60.0
"""For so long: labels in bulk come sooner, and when labels are out nobody needs them for hours."""


class _Row(NamedTuple):
    position: int
    next: int
    """The number behind its last impression."""
    words: NDArray[np.uint32]
    until: float
    """Until when it is kept."""


class RecentRows:
    """The oldest rows of those that wait, as they are the first that are wanted; on the committer."""

    def __init__(self) -> None:
        self._rows: deque[_Row] = deque()
        self._words: dict[int, NDArray[np.uint32]] = {}
        self._nbytes = 0

    def keep(self, row: ImpressionRow, position: int) -> None:
        """Keep what stands at a position, where there is room."""
        if self._nbytes + row.words.nbytes <= MOST:
            until = time.monotonic() + SECONDS
            self._rows.append(_Row(position, row.first + row.stops.size, row.words, until))
            self._words[position] = row.words
            self._nbytes += row.words.nbytes

    def words(self, position: int) -> NDArray[np.uint32] | None:
        """Return the records of the row at a position; None where they have to be read."""
        return self._words.get(position)

    def forget(self, number: int) -> None:
        """Forget the rows whose impressions all come before a number, and those that are too old."""
        now = time.monotonic()
        while self._rows and (self._rows[0].next <= number or self._rows[0].until < now):
            row = self._rows.popleft()
            del self._words[row.position]
            self._nbytes -= row.words.nbytes
