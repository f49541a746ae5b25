"""A copy of a model as it is at one moment, made little by little while the model learns on.

To copy a table at once holds learning up for as long as that takes: 20 to 60 ms for 256 MiB. So it is copied
a block at a time, between two batches; and what a batch is about to change, just before it does. The copy is
that of the moment when it was begun, to the bit.

Of a table of which few rows were touched only those are copied, one behind the other: so the copy takes
memory in proportion to them.

Not by protecting pages, nor by a second process: the first would cost a fault, and the second a copy, of each
huge page that is touched, 2 MB for a row of 64 bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.model.logistic_regression import LogisticRegression
from nonzero.persistence.rows import Touched

BLOCK: Final = 1 << 12
"""Bytes of a block: small, because a batch of one example touches as many of them as it has features."""

STEP: Final = 1 << 21
"""Bytes that are copied at once, between two batches."""


def spare_for(model: LogisticRegression) -> LogisticRegression:
    """Return a new model of the same settings to copy a model into, with the memory that the copy will need.

    The model may learn meanwhile. That its touched rows are counted takes some 30 ms for 256 MiB.
    """
    spare = LogisticRegression.from_settings(model.settings)
    n = model.rows.touched().count
    n += n // 8  # those that are touched before the copy is begun
    if spare.rows.are_spread or not spare.rows.table.has_room(n):
        spare.table.take()
    else:
        spare.rows.take_for(n)
    return spare


class GradualCopy:
    """A copy that is being made, on the thread that learns.

    Parameters
    ----------
    source
        The model.
    into
        What it is copied into: a model of the same settings, whose memory should be there already.
    """

    def __init__(self, source: LogisticRegression, into: LogisticRegression) -> None:
        self.into = into
        self._source = source
        slots, row = source.table.slots, source.table.rows[0].nbytes
        self._rows = min(BLOCK // row, slots)
        self._shift = self._rows.bit_length() - 1
        self._at_once = STEP // (self._rows * row)
        self._waiting: NDArray[np.bool_] = np.ones(slots // self._rows, np.bool_)
        # The last row, which every example changes, is no slot's: it is copied with all else.
        self._from = source.table.rows[:slots].reshape(slots // self._rows, -1)
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew: from now on it is a copy of the model as it is now."""
        self._restarts = self._source.restarts
        if not self.into.rows.are_spread:
            self.into.rows.clear()
        self.into.copy_from(self._source, slots=False)
        self._waiting[:] = True
        self._next = 0

    @property
    def is_whole(self) -> bool:
        """Whether all is copied."""
        return self._next >= len(self._waiting)

    @property
    def is_lost(self) -> bool:
        """Whether the model has begun anew in some lanes, which changed what was not copied yet."""
        return self._source.restarts != self._restarts

    def before(self, batch: Batch) -> None:
        """Copy what learning from a batch will change; to be called just before."""
        touched = np.zeros(len(self._waiting), np.bool_)
        for slots in self._source.slots_of(batch):
            touched[slots >> np.uint32(self._shift)] = True
        self._copy(np.flatnonzero(touched & self._waiting))

    def step(self) -> None:
        """Copy the next blocks."""
        begin, end = self._next, self._next + self._at_once
        if self.into.rows.are_spread:
            self._copy(begin + np.flatnonzero(self._waiting[begin:end]))
        else:
            first = begin * self._rows
            rows = self._source.table.rows[first : min(end, len(self._waiting)) * self._rows]
            for numbers in Touched.in_rows(rows).numbers():  # where they lie: a copy of all takes as long
                waiting = self._waiting[(first + numbers) >> self._shift]
                self._put(first + numbers[waiting], rows[numbers[waiting]])
            self._waiting[begin:end] = False
        self._next = end

    def finish(self) -> None:
        """Copy all that is left."""
        while not self.is_whole:
            self.step()

    def _copy(self, blocks: NDArray[np.intp]) -> None:
        if self.into.rows.are_spread:
            into = self.into.table.rows[:-1].reshape(self._from.shape)
            into[blocks] = self._from[blocks]
        else:
            rows = self._from[blocks].reshape(-1, self._source.rows.width)
            for numbers in Touched.in_rows(rows).numbers():
                slots = blocks[numbers >> self._shift] * self._rows + (numbers & (self._rows - 1))
                self._put(slots, rows[numbers])
        self._waiting[blocks] = False

    def _put(self, slots: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Put touched rows one behind the other; where there is no room, all where their slots are."""
        if not self.into.rows.table.has_room(slots.size):
            self.into.table.take()
        self.into.rows.put(slots, rows)
