"""Memory in huge pages, taken before anybody waits for it."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.untouched import private

HUGE_PAGE: Final = 1 << 21
"""Its bytes."""

POPULATE_WRITE: Final = 23
"""MADV_POPULATE_WRITE of ``linux/mman.h``, since Linux 5.14, which Python has no name for."""

TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of ``malloc.h``."""


def allocate(rows: int, columns: int) -> NDArray[np.float32]:
    """Return zeroed float32[rows, columns] that starts at a page's border, and so at a cache line's.

    The memory is the process's own, taken page by page as it is first touched, in huge pages where the system
    gives them: with a table far larger than the caches, the look-up of small pages would cost as much as the
    row.
    """
    memory = private(rows * columns * 4)
    if len(memory) >= HUGE_PAGE:
        ask_for_huge(memory)
    return np.frombuffer(memory, np.float32, rows * columns).reshape(rows, columns)


def in_pages(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of float32[rows, columns] that starts at a page's border."""
    copy = allocate(*array.shape)
    copy[:] = array
    return copy


def ask_for_huge(memory: mmap.mmap) -> None:
    """Have the system give huge pages for this memory, where it has any."""
    with suppress(OSError, AttributeError):
        memory.madvise(mmap.MADV_HUGEPAGE)


def take(memory: NDArray[Any], nbytes: int) -> None:
    """Take the memory of an array's first bytes now, and leave its content alone: others may write to it.

    Where the system is older than that, or has not so much, a page is taken when it is touched.
    """
    advise = ctypes.CDLL(None).madvise  # Python's own would let no other thread run meanwhile
    for start in range(0, nbytes, HUGE_PAGE):
        length = min(HUGE_PAGE, nbytes - start)
        if advise(ctypes.c_void_p(memory.ctypes.data + start), ctypes.c_size_t(length), POPULATE_WRITE):
            return


def keep_freed(most: int = 1 << 30) -> None:
    """Have the C library keep the memory that is freed, for a process that takes as much again at once.

    Blocks of text and batches come and go by the thousand. Each time that their pages go back to the system,
    the next must be given anew, cleared, and that was a tenth of what ``nonzero train`` takes. Another C
    library than glibc does as it does.

    Parameters
    ----------
    most
        So many bytes are kept at one place: each thread may have one of its own.
    """
    with suppress(AttributeError):
        option = ctypes.CDLL(None).mallopt
        option(TRIM_THRESHOLD, most)
        option(MMAP_THRESHOLD, 1 << 25)  # the most that glibc takes
