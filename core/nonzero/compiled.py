"""How kernels are compiled, and where the machine code is kept.

Numba's own disk cache is keyed by the file in which a function stands, so an edited helper would leave the
kernels that inline it stale; and it must be writable, or importing fails. Kernels are therefore kept in a
directory of our own, named by a digest of everything that the machine code depends on: every source of this
package, the versions, the CPU and the flags.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
from numba.core import config as numba_config

config: Any = numba_config  # its settings are made at run time, out of the type checker's sight
__all__ = ["cache_directory", "entry_point", "inlined", "kernel", "outlined"]

OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Kernels do not allocate, and so need no run time that counts references: it would count every array that is
handed to an inlined function, atomically. Without it a reader of short cells runs six times as fast."""

_compiler: Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]] = numba.njit


def _key() -> str:
    """Digest everything that compiled kernels depend on."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    facts = (
        platform.python_version(),
        platform.machine(),
        numba.__version__,
        version("llvmlite"),
        np.__version__,
        config.CPU_NAME,
        config.CPU_FEATURES,
        config.BOUNDSCHECK,
        config.OPT,
    )
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:20]


def _find_cache_directory() -> Path:
    """Return the first place for machine code that can be written to.

    ``NONZERO_CACHE_DIR``, else the user's cache directory, else a temporary directory of this user's.
    """
    chosen = os.environ.get("NONZERO_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    roots = [Path(chosen)] if chosen else [Path(home).expanduser() / "nonzero"]
    roots.append(Path(tempfile.gettempdir()) / f"nonzero-{os.getuid()}")
    for root in roots:
        directory = root / _key()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        # A directory of another user's could hand us code to run.
        if os.access(directory, os.W_OK) and directory.stat().st_uid == os.getuid():
            return directory
    return Path(tempfile.mkdtemp(prefix="nonzero-"))


cache_directory = _find_cache_directory()
"""Where the machine code of this version on this CPU is kept."""


def kernel(*signatures: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for exactly the given signatures, once, when it is defined.

    A kernel releases the GIL, divides like IEEE 754 (no ``ZeroDivisionError`` branch in the loop) and is
    never compiled while a request waits: an argument of another type is a ``TypeError``. ``fastmath`` stays
    off: the same stream must give the same bits in any chunking, on any CPU.
    """

    def compile_now(function: Callable[..., Any]) -> Callable[..., Any]:
        # The setting is put back: what else uses Numba in this process keeps its own cache.
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache_directory)
        try:
            return _compiler(list(signatures), **OPTIONS, cache=True)(function)
        finally:
            config.CACHE_DIR = before

    return compile_now


def entry_point(compiled: Any) -> Callable[..., Any]:
    """Return the machine code of a kernel with one signature, to be called at once, for what must be quick.

    Calling a kernel looks up which of its signatures fits: with a tuple of eleven arrays that takes three
    times as long as the reading of one example (1.5 of 2.2 microseconds). Here the arguments must be of the
    kernel's types: an array is refused where its items have another size, and by nothing else.
    """
    [version] = compiled.overloads.values()
    entry: Callable[..., Any] = version.entry_point
    return entry


def outlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let kernels call a function that is rarely needed without its code standing in their loops."""
    return _compiler(**OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let kernels call a function at no cost: it becomes part of each kernel that calls it."""
    return _compiler(**OPTIONS, forceinline=True)(function)
