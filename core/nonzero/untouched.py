"""Memory that is taken when it is touched.

What ``numpy.zeros`` returns may be memory that was used before, and cleared: then all of it is there. A
service of many models, most of which learn little, has that many times.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

_NO_MEMORY: Final = ctypes.c_void_p(-1).value


def private(nbytes: int) -> mmap.mmap:
    """Return zeroed memory of this process alone: what could be shared gets no huge pages, unless told to.

    It is taken page by page when it is written to, and given back when nobody has it any more. The C library
    keeps what was freed, some ten megabytes of it, for whoever asks next.
    """
    return mmap.mmap(-1, max(nbytes, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return zeros, whose memory is taken page by page when it is written to."""
    size = math.prod(np.atleast_1d(shape).tolist())
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(private(size * np.dtype(dtype).itemsize), dtype, size).reshape(shape)


def several(shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float64]]:
    """Return float64 zeros of some shapes in one mapping: the system bounds how many there are of these."""
    sizes = [math.prod(shape) for shape in shapes]
    memory, ends = zeros(sum(sizes)), np.cumsum(sizes).tolist()
    return [
        memory[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)
    ]


def minus_ones(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return integers that are all -1; what is not written to is the same memory for all."""
    nbytes = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
    if not nbytes:
        return np.zeros(shape, dtype)
    calls = _calls()  # Python's own would keep a descriptor for each
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = calls.mmap(None, nbytes, protection, mmap.MAP_PRIVATE, _all_ones(nbytes), 0)
    if address == _NO_MEMORY:
        raise MemoryError(f"there is no memory for {nbytes} bytes")
    memory = (ctypes.c_char * nbytes).from_address(address)
    weakref.finalize(memory, calls.munmap, address, nbytes).atexit = False
    return np.frombuffer(memory, dtype).reshape(shape)


@cache
def _calls() -> ctypes.CDLL:
    calls = ctypes.CDLL(None, use_errno=True)
    calls.mmap.restype = ctypes.c_void_p
    calls.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
        ctypes.c_long,
    )
    calls.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return calls


@cache
def _all_ones(nbytes: int) -> int:
    """Return the descriptor of memory of which every bit is set."""
    descriptor = os.memfd_create("all ones", os.MFD_CLOEXEC)
    with open(os.dup(descriptor), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(b"\xff" * nbytes)
    return descriptor
