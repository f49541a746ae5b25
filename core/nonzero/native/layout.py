"""Where kernels find what they need of an array, in CPython's and numpy's structs.

A kernel reads ``PyArrayObject`` and ``PyArray_Descr`` by itself, at offsets that neither project promises to
keep. So a live array is held against them before the first kernel is called.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

import numpy as np

# In bytes from an object's start. Its head ends with its type.
HEAD: Final = 16
TYPE: Final = HEAD - 8
DATA, DIMENSIONS, SHAPE, STRIDES, DTYPE, FLAGS = (HEAD + offset for offset in (0, 8, 16, 24, 40, 48))
KIND, BYTE_ORDER, ITEM_SIZE = (HEAD + offset for offset in (8, 10, 24))
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400


def check() -> None:
    """Raise an ImportError where this Python's or numpy's objects look otherwise than kernels read them."""
    if sys.implementation.name != "cpython" or "t" in sys.abiflags:
        raise ImportError(
            "Nonzero needs CPython with its global interpreter lock, and this is "
            + ("a free-threaded build" if "t" in sys.abiflags else sys.implementation.name)
        )
    array: Any = np.empty((3, 5), np.uint16)
    array.flags.writeable = False
    for what, found, expected in _fields(array):
        if found != expected:
            raise ImportError(
                f"Nonzero's kernels cannot read the arrays of numpy {np.__version__}: "
                f"{what} is not where they look"
            )


def _fields(array: Any) -> list[tuple[str, Any, Any]]:
    """Return what kernels read of an array of two dimensions: its name, what they find, what numpy says."""
    start, dtype = id(array), id(array.dtype)
    shape = _read(ctypes.c_void_p, start + SHAPE) or 0
    fields = [
        ("the type", _read(ctypes.c_void_p, start + TYPE), id(type(array))),
        ("the address", _read(ctypes.c_void_p, start + DATA), array.ctypes.data),
        ("the number of dimensions", _read(ctypes.c_int, start + DIMENSIONS), array.ndim),
        ("the dtype", _read(ctypes.c_void_p, start + DTYPE), dtype),
        ("the flags", _read(ctypes.c_int, start + FLAGS), array.flags.num),
        # numpy makes room for both at once, so that no pointer need be followed before it is known for one.
        ("the strides", _read(ctypes.c_void_p, start + STRIDES), shape + 8 * array.ndim),
    ]
    if all(found == expected for _, found, expected in fields):
        fields += [
            ("the shape", tuple(_read(ctypes.c_ssize_t * 2, shape)), array.shape),
            ("the strides", tuple(_read(ctypes.c_ssize_t * 2, shape + 16)), array.strides),
            ("the kind of the dtype", _read(ctypes.c_char, dtype + KIND), array.dtype.kind.encode()),
            ("the byte order", _read(ctypes.c_char, dtype + BYTE_ORDER), array.dtype.byteorder.encode()),
            ("the size of an item", _read(ctypes.c_ssize_t, dtype + ITEM_SIZE), array.itemsize),
        ]
    return fields


def _read(kind: Any, address: int) -> Any:
    """Return what stands at an address."""
    found = kind.from_address(address)
    return getattr(found, "value", found)
