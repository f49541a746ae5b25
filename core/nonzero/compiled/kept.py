"""Where machine code is kept: a file a kernel, in a directory named by all that the code depends on.

Numba's own disk cache is keyed by the file in which a function stands, so an edited helper would leave the
kernels that inline it stale. Here the name is a digest of every source that can be part of a kernel, the
versions, the CPU and the flags. A file begins with a digest of itself and of where it belongs, so that one
that is damaged, or was copied from elsewhere, is compiled anew and never run.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm
import numpy as np

__all__ = ["Place", "is_writable", "place_of", "read", "roots", "write"]

FLAGS: Final = (
    "BOUNDSCHECK",
    "CPU_FEATURES",
    "CPU_NAME",
    "ENABLE_AVX",
    "LOOP_VECTORIZE",
    "OPT",
    "SLP_VECTORIZE",
)
"""Numba's settings (``NUMBA_...`` in the environment) that change machine code."""

Place = tuple[str, str]
"""Where a kernel's machine code is kept under each root: the directory and the file."""

DIGEST_BYTES: Final = 32

_log = logging.getLogger(__name__)


def roots() -> list[Path]:
    """Return the directories in which machine code is looked for, and kept in the first that can be written.

    ``NONZERO_CACHE_DIR``, else the user's cache directory; then a temporary directory of this user's.
    """
    chosen = os.environ.get("NONZERO_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    first = Path(chosen) if chosen else Path(home).expanduser() / "nonzero"
    return [first, Path(tempfile.gettempdir()) / f"nonzero-{os.getuid()}"]


@cache
def _machine() -> bytes:
    """Digest what all machine code depends on but its sources."""
    numba = find_spec("numba")  # found, not imported
    version = Path(numba.origin).with_name("_version.py").read_bytes() if numba and numba.origin else b""
    facts = (
        platform.python_version(),
        platform.machine(),
        hashlib.sha256(version).hexdigest(),
        llvmlite.__version__,
        np.__version__,
        os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name(),
        # Where both are named, machine code is the same on every machine: an image may bring it along.
        os.environ.get("NUMBA_CPU_FEATURES", llvm.get_host_cpu_features().flatten()),
        [os.environ.get(f"NUMBA_{flag}") for flag in FLAGS],
    )
    return repr(facts).encode()


@cache
def _sources(folder: Path) -> bytes:
    """Digest every source in a folder and those below it."""
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(str(source.relative_to(folder)).encode() + b"\0" + source.read_bytes())
    return digest.digest()


@cache
def _directory(folder: Path) -> str:
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(_machine() + _sources(package))
    if not folder.is_relative_to(package):
        digest.update(_sources(folder))
    return digest.hexdigest()[:20]


def place_of(function: Callable[..., Any]) -> Place:
    """Return where the machine code of a function is kept."""
    folder = Path(function.__code__.co_filename).parent
    return _directory(folder), f"{function.__module__}.{function.__qualname__}"


def _digest(place: Place, code: bytes) -> bytes:
    return hashlib.sha256("/".join(place).encode() + b"\0" + code).digest()


def _is_safe(directory: Path) -> bool:
    """Whether nobody but this user and root could have put code there."""
    try:
        status = directory.stat()
    except OSError:
        return False
    return status.st_uid in (0, os.getuid()) and not status.st_mode & stat.S_IWOTH


def read(place: Place) -> bytes | None:
    """Return the machine code that is kept there; None where there is none that may be run."""
    directory, name = place
    for root in roots():
        if not _is_safe(root / directory):
            continue
        with contextlib.suppress(OSError):
            content = (root / directory / name).read_bytes()
            digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if digest == _digest(place, code):
                return code
    return None


def is_writable(place: Place) -> bool:
    """Whether machine code can be kept there for other processes."""
    for root in roots():
        with contextlib.suppress(OSError):
            (root / place[0]).mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_safe(root / place[0]) and os.access(root / place[0], os.W_OK):
                return True
    return False


def write(place: Place, code: bytes) -> None:
    """Keep machine code for the processes to come, whole or not at all, if anything can be written."""
    directory, name = place
    for root in roots():
        with contextlib.suppress(OSError), _replacing(root / directory, name) as file:
            file.write(_digest(place, code) + code)
            return
    _warn()


@cache
def _warn() -> None:
    tried = " and ".join(map(str, roots()))
    _log.warning("Kernels cannot be kept in %s, so every start compiles them: set NONZERO_CACHE_DIR.", tried)


@contextlib.contextmanager
def _replacing(directory: Path, name: str) -> Iterator[Any]:
    """Write a file that takes its name when it is whole: other processes may write it too."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_safe(directory):
        raise PermissionError(directory)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".", delete=False) as file:
        try:
            yield file
            file.flush()
            Path(file.name).replace(directory / name)
        except BaseException:
            Path(file.name).unlink()
            raise
