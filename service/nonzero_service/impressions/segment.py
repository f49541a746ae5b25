"""A segment: up to a million impressions, as they are known in memory."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.index import enter, find, leave

CAPACITY: Final = 1 << 20
"""How many impressions a segment takes. An id is looked for in each segment: they should be few."""

UNPLACED: Final = 0
"""The position of a row that is not in the journal yet."""


class RowPlaces(NamedTuple):
    """The rows of the journal that a segment's impressions stand in; each array has room for a million.

    Parameters
    ----------
    first
        uint32: the place of a row's first impression.
    position
        int64: the row's position in the journal.
    time
        int64: when its last impression was predicted, in milliseconds since 1970.
    rate
        float32: the share of negatives that it taught; NaN where it taught none.
    """

    first: NDArray[np.uint32]
    position: NDArray[np.int64]
    time: NDArray[np.int64]
    rate: NDArray[np.float32]


class Segment:
    """Impressions with the numbers from `first` on. Used under the store's lock.

    Parameters
    ----------
    first
        The number of its first impression.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.used = 0
        self.rows = 0
        """How many rows of the journal its impressions stand in."""
        # Zeros take no memory until they are written to.
        self.hashes = np.zeros(CAPACITY, np.uint64)
        self.stops = np.zeros(CAPACITY, np.uint32)
        """Where each record ends in its row, in words."""
        self.states = np.zeros(CAPACITY, np.uint8)
        self.probabilities = np.zeros(CAPACITY, np.float32)
        """What was answered."""
        self.usual: list[NDArray[np.uint16]] = []
        """The usual fields of each row; mostly one and the same array."""
        self._index = np.zeros(2 * CAPACITY, np.uint32)
        self._places = RowPlaces(
            np.zeros(CAPACITY, np.uint32),
            np.zeros(CAPACITY, np.int64),
            np.zeros(CAPACITY, np.int64),
            np.zeros(CAPACITY, np.float32),
        )

    @property
    def next(self) -> int:
        """The number after its last."""
        return self.first + self.used

    @property
    def times(self) -> NDArray[np.int64]:
        """int64[rows]: when the last impression of each row was predicted; to be written to."""
        return self._places.time[: self.rows]

    @property
    def positions(self) -> NDArray[np.int64]:
        """int64[rows]: where each row stands in the journal; to be written to."""
        return self._places.position[: self.rows]

    @property
    def firsts(self) -> NDArray[np.uint32]:
        """uint32[rows]: the place of each row's first impression."""
        return self._places.first[: self.rows]

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the place of each hash in this segment, -1 where it is not here."""
        places = np.full(hashes.size, -1, np.int64)
        find(hashes, self.hashes, self._index, places)
        return places

    def enter(self, hashes: NDArray[np.uint64], fresh: NDArray[np.uint8]) -> int:
        """Enter those that are fresh; the others, and those that are here already, are not then.

        Returns
        -------
        int
            How many are new. Their row is not known before :meth:`add_row`.
        """
        before = self.used
        self.used = int(enter(hashes, self.hashes, self._index, before, fresh))
        return self.used - before

    def add_row(
        self, place: int, time_ms: int, rate: float, usual: NDArray[np.uint16], position: int = UNPLACED
    ) -> None:
        """Note that the impressions from a place on stand in another row."""
        places, row = self._places, self.rows
        places.first[row], places.position[row] = place, position
        places.time[row], places.rate[row] = time_ms, rate
        self.usual[row:] = [usual]
        self.rows += 1

    def withdraw(self, used: int, rows: int) -> None:
        """Forget all but the first `used`, of the first rows."""
        leave(self.hashes, self._index, used, self.used)
        self.states[used : self.used] = 0
        self.used, self.rows = used, rows

    def rows_of(self, places: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return intp[n]: which rows impressions stand in."""
        return self.firsts.searchsorted(places, "right") - 1

    def rates(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return float64[n]: the share of negatives that their rows taught; NaN where they taught none."""
        return self._places.rate[self.rows_of(places)].astype(np.float64)

    def forget_rates(self) -> None:
        """Let no row have taught any negatives: another model learns, which they did not teach."""
        self._places.rate[: self.rows] = np.nan

    def spans(
        self, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        """Return intp[n], int64[n], int64[n]: which row each stands in, and its words there."""
        rows = self.rows_of(places)
        stops = self.stops[places].astype(np.int64)
        inside = places > self.firsts[rows]
        starts = np.where(inside, self.stops[np.maximum(places, 1) - 1], 0).astype(np.int64)
        return rows, starts, stops

    def made_until(self, time_ms: int) -> int:
        """Return how many were predicted until a time."""
        rows = int(self.times.searchsorted(time_ms, "right"))
        return int(self.firsts[rows]) if rows < self.rows else self.used
