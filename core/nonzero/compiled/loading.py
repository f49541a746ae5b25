"""Machine code -> a function that Python calls.

What is kept of a kernel is the object file that LLVM made of it, and in it one entry: a function as CPython
itself calls its built-in ones (``METH_FASTCALL``). LLVM's loader puts it into memory, and CPython makes a
built-in function of its address.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np

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

_loaded: Final[dict[str, list[Any]]] = {}  # by entry; it all lives as long as the process


def _new_engine() -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


_shared_engine: Final = cache(_new_engine)  # an engine of its own takes a kernel 3 ms, this one 0.6


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
    # One that is defined again, as a closure is, has symbols that are there already.
    engine = _new_engine() if entry in _loaded else _shared_engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(entry)
    if not address:
        raise LoadError(f"there is no {entry}")
    doc = (function.__doc__ or "").encode()
    method = _Method(function.__name__.encode(), address, METH_FASTCALL, doc)
    _loaded.setdefault(entry, []).append((engine, method))
    made: Callable[..., Any] = _new_function(method, GIVEN, function.__module__)
    return made
