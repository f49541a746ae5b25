"""Machine code -> a function that Python calls.

What is kept of a kernel is the object file that LLVM made of it, and in it one entry: a function as CPython
itself calls its built-in ones (``METH_FASTCALL``). It is put into memory, and CPython makes a built-in
function of its address.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nonzero.compiled.placing import NotOursError, placed

__all__ = ["GIVEN", "LoadError", "entry_of", "load"]

GIVEN: Final = (np.ndarray, tuple, TypeError, IndexError, None)
"""The objects that an entry needs: they are its ``self``.

By their names in C, LLVM would find the objects where Numba is loaded, and pointers to them where it is not.
"""

METH_FASTCALL: Final = 0x80


class LoadError(Exception):
    """What is to be loaded is no kernel."""


class _Method(ctypes.Structure):
    """CPython's ``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.restype = ctypes.py_object
_new_function.argtypes = [ctypes.POINTER(_Method), ctypes.py_object, ctypes.py_object]

_loaded: Final[list[Any]] = []  # it all lives as long as the process


def entry_of(module: str, qualified_name: str) -> str:
    """Return the symbol under which a function's entry stands in its object file."""
    return f"{module}.{qualified_name}"


def load(code: bytes, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the machine code of a function as a function.

    Parameters
    ----------
    code
        An object file of this machine's, with an entry.
    function
        What it was made of; its name and its docstring are taken.

    Raises
    ------
    LoadError
        Where there is no entry.
    """
    entry = entry_of(function.__module__, function.__qualname__)
    try:
        memory, address = placed(code, entry)
    except NotOursError:
        from nonzero.compiled.linking import linked

        memory, address = linked(code, entry)
    if not address:
        raise LoadError(f"there is no {entry}")
    doc = (function.__doc__ or "").encode()
    method = _Method(function.__name__.encode(), address, METH_FASTCALL, doc)
    _loaded.append((memory, method))
    made: Callable[..., Any] = _new_function(method, GIVEN, function.__module__)
    return made
