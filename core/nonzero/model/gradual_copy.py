"""A copy of a model as it is at one moment, made little by little while the model learns on.

To copy a table at once holds learning up for as long as that takes: 20 to 60 ms for 256 MiB. So it is copied
a block at a time, between two batches; and what a batch is about to change, just before it does. The copy is
that of the moment when it was begun, to the bit.

Not by protecting pages, nor by a second process: the first would cost a fault, and the second a copy, of each
huge page that is touched, 2 MB for a row of 64 bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.model.logistic_regression import LogisticRegression

BLOCK: Final = 1 << 12
"""Bytes of a block: small, because a batch of one example touches as many of them as it has features."""

STEP: Final = 1 << 21
"""Bytes that are copied at once, between two batches."""


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
        rows = min(BLOCK // row, slots)
        self._shift = rows.bit_length() - 1
        self._at_once = STEP // (rows * row)
        self._waiting: NDArray[np.bool_] = np.ones(slots // rows, np.bool_)
        # The last row, which every example changes, is no slot's: it is copied with all else.
        self._from, self._to = (
            model.table.rows[:slots].reshape(slots // rows, -1) for model in (source, into)
        )
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew: from now on it is a copy of the model as it is now."""
        self._restarts = self._source.restarts
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
        end = self._next + self._at_once
        self._copy(self._next + np.flatnonzero(self._waiting[self._next : end]))
        self._next = end

    def finish(self) -> None:
        """Copy all that is left."""
        while not self.is_whole:
            self.step()

    def _copy(self, blocks: NDArray[np.intp]) -> None:
        self._to[blocks] = self._from[blocks]
        self._waiting[blocks] = False
