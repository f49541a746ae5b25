"""The shared library of kernels -> functions that Python calls.

A library holds, of each kernel, one entry: a function as CPython itself calls its built-in ones
(``METH_FASTCALL``), of whose address CPython makes a built-in function. There is one library for each kind of
CPU. Beside it stands what it was made of: by modules, the digests of the source files with definitions that
their kernels need. They are compared when a module is imported, which takes 2 ms in all, so that an edited
source never runs as the machine code of the one before. The library's own digest is compared too.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from xxhash import xxh3_64_hexdigest

from nonzero.native import layout

GIVEN: Final = (np.ndarray, tuple, TypeError, IndexError, None)
"""The objects that an entry needs: they are its ``self``."""

METH_FASTCALL: Final = 0x80

HOME: Final = Path(__file__).parent / "lib"
"""Where the libraries of both packages are. Those of other modules stand in a folder `lib` beside each."""

PACKAGES: Final = ("nonzero", "nonzero_service")

VARIABLE: Final = "NONZERO_KERNELS"
"""The environment variable by which tests name the library: ``x86-64-v2``, or ``checked``."""

V2: Final = frozenset(["cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"])
V3: Final = V2 | frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"])
V4: Final = V3 | frozenset(["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"])
TARGETS: Final = {"x86_64": {"x86-64-v4": V4, "x86-64-v3": V3, "x86-64-v2": V2}}
"""By machine: the CPUs that libraries are made for, the best first, and the flags of Linux's that tell them.

They are the levels of the x86-64 psABI. Linux names LZCNT `abm`, SSE3 `pni`, and tells of AVX only where the
registers are saved (OSXSAVE).
"""

CPU: Final = Path("/proc/cpuinfo")
"""Where Linux tells of the CPU."""

BUILD: Final = "in a checkout, `make kernels` builds them; else install Nonzero anew"

Sources = dict[str, str]
"""Files, as they stand below their packages' roots, and the digests of what was in them."""


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


def made_of(library: Path) -> dict[str, Sources]:
    """Return what a library was made of, by modules; and by "" what tells it from others.

    Raises
    ------
    OSError, ValueError
        Where it is not there, or not as it was linked: of one that was cut short the process would die.
    """
    found: dict[str, Sources] = json.loads(library.with_suffix(".json").read_bytes())
    if found.get("", {}).get("library") != xxh3_64_hexdigest(library.read_bytes()):
        raise ValueError(f"{library} is not as it was linked")
    return found


def entry_of(function: Callable[..., Any]) -> str:
    """Return the symbol under which a function's entry stands in a library."""
    return f"{function.__module__}.{function.__qualname__}"


class Library:
    """A shared library of kernels, and what it was made of."""

    def __init__(self, home: Path, target: str) -> None:
        self.path = home / f"{target}.so"
        self._checked: set[str] = set()
        self._methods: list[_Method] = []  # CPython keeps their addresses
        try:
            self._sources = made_of(self.path)
            self._code = ctypes.CDLL(str(self.path))
        except NotADirectoryError as error:
            raise ImportError(
                f"Nonzero cannot be imported from within a file, as it was from {home}: the system loads a "
                "library only from a file of its own; install Nonzero, or unpack it"
            ) from error
        except (OSError, ValueError) as error:
            raise ImportError(f"there are no kernels for {target} ({error}): {BUILD}") from error

    def function(self, of: Callable[..., Any]) -> Callable[..., Any]:
        """Return the machine code of a function as a function."""
        self._check(of.__module__)
        try:
            entry = getattr(self._code, entry_of(of))
        except AttributeError:
            raise _stale(of.__module__, f"{of.__qualname__} is not in {self.path}") from None
        address = ctypes.cast(entry, ctypes.c_void_p).value
        method = _Method(of.__name__.encode(), address, METH_FASTCALL, (of.__doc__ or "").encode())
        self._methods.append(method)
        made: Callable[..., Any] = _new_function(method, GIVEN, of.__module__)
        return made

    def _check(self, module: str) -> None:
        """Raise an ImportError where a module's kernels were made of other sources than there are."""
        if module in self._checked:
            return
        if module not in self._sources:
            raise _stale(module, f"it is not in {self.path}")
        for file, digest in self._sources[module].items():
            if digest_of(file) not in (digest, None):
                raise _stale(module, f"{file} is not what {self.path} was made of")
        self._checked.add(module)


def _stale(module: str, why: str) -> ImportError:
    return ImportError(f"the kernels of {module} are older than their sources: {why}; {BUILD}", name=module)


@cache
def digest_of(file: str) -> str | None:
    """Return the digest of a source file; None where there is none, as a wheel has no compiler.

    Parameters
    ----------
    file
        As it stands below the root that its package, which has been imported, lies in.
    """
    top = Path(sys.modules[file.partition("/")[0].removesuffix(".py")].__file__ or "")
    root = top.parent.parent if top.stem == "__init__" else top.parent
    try:
        return xxh3_64_hexdigest((root / file).read_bytes())
    except OSError:
        return None


def usable_targets() -> list[str]:
    """Return the names of the libraries that this CPU can run, the fastest first."""
    machine = os.uname().machine
    if machine not in TARGETS:
        return [machine]
    with CPU.open() as file:
        line = next((line for line in file if line.startswith("flags")), "")
    flags = set(line.split())
    return [target for target, needed in TARGETS[machine].items() if needed <= flags]


@cache
def target() -> str:
    """Return the name of the library that this process has.

    Raises
    ------
    ImportError
        Where there is none for this CPU, or NumPy's arrays are not as that code takes them to be.
    """
    layout.check()
    named = os.environ.get(VARIABLE)
    targets = [named] if named else usable_targets()
    if not targets:
        raise ImportError("Nonzero needs a CPU of x86-64-v2, which has SSE4.2 and POPCNT")
    return targets[0]


@cache
def _library(home: Path) -> Library:
    return Library(home, target())


def loaded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the machine code that was made of a function as a function.

    Raises
    ------
    ImportError
        Where there is none of the function as it stands, or none that this machine can run.
    """
    return _library(home_of(function)).function(function)


def home_of(function: Callable[..., Any]) -> Path:
    """Return the folder of the libraries that have a function's machine code."""
    ours = function.__module__.partition(".")[0] in PACKAGES
    return HOME if ours else Path(function.__code__.co_filename).parent / "lib"
