"""Where the rows of a table stand that is touched in few places."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import untouched
from nonzero.kernels.places import look_up, place
from nonzero.native.lanes import OneLane

SPARSE: Final = 4
"""One row in so many is touched, at most, of a table whose rows stand in the order of their touch."""


class Places:
    """Where the rows of a table stand that stand one behind the other, in the order of their first touch.

    Parameters
    ----------
    slots
        How many the table has.

    Attributes
    ----------
    of
        uint32[slots + 1]: by slot, where its row stands; 0 where it has none. No slot's row stands at 0, so
        that what was never touched reads as zeros. The last entry is the intercept's, which stands last.
    slots
        uint32: by place, whose row stands there.
    taken
        How many places are.
    """

    def __init__(self, slots: int) -> None:
        memory = untouched.zeros(slots + 2, np.uint32)
        self._pairs = OneLane(memory.view(np.float32).reshape(-1, 2))
        self.of = memory[:-1]
        self.of[slots] = slots
        self.slots = untouched.zeros(slots // SPARSE + 1, np.uint32)
        self.taken = 0
        self._slot_mask = slots - 1

    def has_room(self, n: int) -> bool:
        """Whether there are so many places more."""
        return self.taken + n < self.slots.size

    def take(self, indices: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return where the rows of features stand; those that have none get one, if there is room."""
        out = np.empty(indices.size, np.uint32)
        self.taken = place(indices, self._slot_mask, self.of, self._pairs, self.slots, self.taken, out)
        return out

    def find(self, indices: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return where the rows of features stand, 0 for those that have none."""
        out = np.empty(indices.size, np.uint32)
        look_up(indices, self._slot_mask, self.of, out)
        return out
