"""Memory that is taken when it is touched.

What ``numpy.zeros`` returns may be memory that was used before, and cleared: then all of it is there. A
service of many models, most of which learn little, has that many times.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return zeros, whose memory is taken page by page when it is written to."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return _array(lambda nbytes: mmap.mmap(-1, nbytes, flags=private), shape, np.dtype(dtype))


def minus_ones(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return integers that are all -1; the memory of those that are not written to is that of all others."""

    def copy_on_write(nbytes: int) -> mmap.mmap:
        return mmap.mmap(_all_ones(nbytes), nbytes, flags=mmap.MAP_PRIVATE)

    return _array(copy_on_write, shape, np.dtype(dtype))


def _array(
    take: Callable[[int], mmap.mmap], shape: int | tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    size = math.prod(np.atleast_1d(shape).tolist())
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(take(size * dtype.itemsize), dtype).reshape(shape)


@cache
def _all_ones(nbytes: int) -> int:
    """Return the descriptor of memory of which every bit is set."""
    descriptor = os.memfd_create("all ones", os.MFD_CLOEXEC)
    with open(os.dup(descriptor), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(b"\xff" * nbytes)
    return descriptor
