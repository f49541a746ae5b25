"""The table: the learned state, one row a coordinate."""

from __future__ import annotations

import ctypes
import mmap
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batch import MAX_BITS
from nonzero.errors import SettingsError
from nonzero.intrinsics import EightLanes, OneLane

__all__ = ["LANE_COUNTS", "Table", "allocate", "as_lanes"]

LANE_COUNTS: Final = (1, 8)
"""How many lanes a table can have: one (8 bytes a slot), or eight (a 64-byte cache line a slot)."""


PIECE: Final = 1 << 21
"""Bytes of memory that are taken at once: a huge page."""

POPULATE_WRITE: Final = 23
"""MADV_POPULATE_WRITE of ``linux/mman.h``, since Linux 5.14, which Python has no name for."""


def allocate(rows: int, columns: int) -> NDArray[np.float32]:
    """Return zeroed float32[rows, columns] that starts at a page's border, and so at a cache line's.

    The memory is the process's own, taken page by page as it is first touched, in huge pages where the system
    gives them: with a table far larger than the caches, the look-up of small pages would cost as much as the
    row.
    """
    # Private: Linux gives memory that could be shared no huge pages, unless told to for the whole machine.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, max(rows * columns * 4, mmap.PAGESIZE), flags=private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.float32, rows * columns).reshape(rows, columns)


def as_lanes(rows: NDArray[np.float32]) -> OneLane | EightLanes:
    """Wrap float32[n, 2] or float32[n, 16] as kernels take them."""
    return OneLane(rows) if rows.shape[1] == 2 else EightLanes(rows)


class Table:
    """Weights and accumulators of every slot and the intercept.

    Parameters
    ----------
    bits
        log2 of the number of slots, 1 to 30.
    lanes
        1 or 8.

    Attributes
    ----------
    rows
        float32[2**bits + 1, 2 * lanes]: weights first, accumulators after; the last row is the intercept's,
        which no name reaches.
    """

    def __init__(self, bits: int, lanes: int) -> None:
        if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
            raise SettingsError(
                f"bits is {bits!r}; a table has 2**bits slots, with bits a whole number from 1 to {MAX_BITS}"
            )
        if lanes not in LANE_COUNTS:
            raise SettingsError(f"there are {lanes} lanes; a table has 1 lane or 8")
        self.bits = bits
        self.lanes = lanes
        self.rows = allocate(2**bits + 1, 2 * lanes)

    def take(self) -> None:
        """Take the memory of every page now, and change nothing: so nobody waits for it later.

        It must be nobody's yet who writes to it. Where the system itself has to be given the pages first, as
        a virtual machine that never used them, that takes 2.5 s a GB; else a twentieth of that.
        """
        words = self.rows.reshape(-1).view(np.uint32)[:: mmap.PAGESIZE // 4]
        words |= 0  # numpy lets other threads run meanwhile

    def take_ahead(self, nbytes: int) -> None:
        """Have a thread take the first bytes' memory while others learn, who then find it there.

        Taking a page costs who touches it first what learning from some hundred examples does, or, where a
        virtual machine has to be given it, from some thousand.

        Parameters
        ----------
        nbytes
            So much; at most the whole table.
        """
        size = min(nbytes, self.nbytes)
        if size >= PIECE:
            # A daemon: the process may end before it is done.
            threading.Thread(target=_take, args=(self.rows, size), name="pages", daemon=True).start()

    @property
    def slots(self) -> int:
        """The number of slots, without the intercept."""
        return len(self.rows) - 1

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes."""
        return self.rows.nbytes

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32[slots + 1, lanes]: a view of the weights."""
        return self.rows[:, : self.lanes]

    @property
    def accumulators(self) -> NDArray[np.float32]:
        """float32[slots + 1, lanes]: a view of the accumulators."""
        return self.rows[:, self.lanes :]


def _take(rows: NDArray[np.float32], size: int) -> None:
    """Take memory and leave its content alone: others may be writing to it."""
    advise = ctypes.CDLL(None).madvise  # Python's own would let no other thread run meanwhile
    for start in range(0, size, PIECE):
        length = min(PIECE, size - start)
        if advise(ctypes.c_void_p(rows.ctypes.data + start), ctypes.c_size_t(length), POPULATE_WRITE):
            return  # an older system: then a page is taken when it is touched
