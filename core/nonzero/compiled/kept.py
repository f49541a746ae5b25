"""Where machine code is kept: a file a kernel, in a directory named by all that the code depends on.

Numba's own disk cache is keyed by the file in which a function stands, so an edited helper would leave the
kernels that inline it stale. Here the name is a digest of every source that can be part of a kernel (its
module, those that this imports, and those that they import), of what compiles it, the versions, the CPU and
the flags. A file begins with a digest of itself and of where it belongs, so that one that is damaged, or was
copied from elsewhere, is compiled anew and never run. A directory that no process has used for a month is
removed when something new is kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

import numpy as np
from xxhash import xxh3_128

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

DIGEST_BYTES: Final = 16

DAY: Final = 86_400.0

UNUSED_SECONDS: Final = 30 * DAY
"""So long a directory stays after its last use, of which the time is written down once a day."""

DIRECTORY: Final = re.compile("[0-9a-f]{20}")

PACKAGE: Final = Path(__file__).parent.parent

CPU: Final = frozenset(
    [
        *("vendor_id", "cpu family", "model", "stepping", "flags"),  # x86
        *("CPU implementer", "CPU variant", "CPU part", "CPU revision", "Features"),  # ARM
    ]
)
"""What Linux tells of a CPU that says which instructions it has, and how fast they are."""

NAME: Final = re.compile(r"\w+")

IMPORTS: Final = re.compile(
    r"^from (nonzero[\w.]*) import (\([^)]*\)|.*)|^import (nonzero[\w.]*)", re.MULTILINE
)


def roots() -> Iterator[Path]:
    """Yield the directories in which machine code is looked for, and kept in the first that can be written.

    ``NONZERO_CACHE_DIR``, else the user's cache directory; then a temporary directory of this user's.
    """
    chosen = os.environ.get("NONZERO_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    yield Path(chosen) if chosen else Path(home).expanduser() / "nonzero"
    from tempfile import gettempdir  # here, because it is rarely needed and takes 4 ms to import

    yield Path(gettempdir()) / f"nonzero-{os.getuid()}"


@cache
def _machine() -> bytes:
    """Digest what all machine code depends on but its sources."""
    named = [os.environ.get(f"NUMBA_{flag}") for flag in FLAGS]
    facts = (
        sys.version,
        os.uname().machine,
        _version("numba"),
        _version("llvmlite"),
        np.__version__,
        # Where both are named, machine code is the same on every machine: an image may bring it along.
        None if {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"} <= os.environ.keys() else _cpu(),
        named,
    )
    return repr(facts).encode()


def _version(package: str) -> bytes:
    """Return what says which version of a package is installed: it is found, not imported."""
    found = PathFinder.find_spec(package)
    return Path(found.origin).with_name("_version.py").read_bytes() if found and found.origin else b""


def _cpu() -> str:
    """Describe the CPU that LLVM compiles for."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        first, _, _ = file.read(1 << 14).partition("\n\n")
        facts = [line for line in first.splitlines() if line.partition(":")[0].strip() in CPU]
        if facts:
            return "\n".join(facts)
    import llvmlite.binding as llvm  # elsewhere than on Linux; it takes 40 ms

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@cache
def _modules() -> dict[str, str]:
    """Return the library's modules by their names, and where their sources are."""
    found = {}
    for folder, _, files in os.walk(PACKAGE):
        package = ".".join(("nonzero", *Path(folder).relative_to(PACKAGE).parts))
        for file in files:
            if file.endswith(".py"):
                name = package if file == "__init__.py" else f"{package}.{file[:-3]}"
                found[name] = f"{folder}/{file}"
    return found


@cache
def _source(path: str) -> bytes:
    return Path(path).read_bytes()


@cache
def _imported(module: str) -> frozenset[str]:
    """Return the modules out of which names come into one of the library's."""
    modules, found = _modules(), set()
    for origin, names, whole in IMPORTS.findall(_source(modules[module]).decode()):
        named = (f"{origin}.{name}" for name in NAME.findall(names))
        found |= {name if name in modules else origin for name in named} | {whole}
    return frozenset(found & modules.keys())


def _reached(modules: Iterable[str]) -> set[str]:
    """Return modules, those that they import, and what these import."""
    reached, left = {*modules}, [*modules]
    while left:
        new = _imported(left.pop()) - reached
        reached |= new
        left += new
    return reached


@cache
def _directory(module: str, folder: Path) -> str:
    """Name the directory of the kernels of a module in a folder."""
    modules = _modules()
    if module in modules:
        compiler = (name for name in modules if name.startswith(__package__))
        sources = [modules[name] for name in _reached([module, *compiler])]
    else:  # nothing is known of how it comes by what it calls
        sources = [*modules.values(), *map(str, folder.rglob("*.py"))]
    digest = xxh3_128(_machine())
    for path in sorted(sources):
        source = _source(path)
        digest.update(f"{len(source)}\n".encode() + source)
    return digest.hexdigest()[:20]


def place_of(function: Callable[..., Any]) -> Place:
    """Return where the machine code of a function is kept."""
    module = function.__module__
    return _directory(module, Path(function.__code__.co_filename).parent), f"{module}.{function.__qualname__}"


def _digest(place: Place, code: bytes) -> bytes:
    return xxh3_128("/".join(place).encode() + b"\0" + code).digest()


def _safe(directory: Path) -> os.stat_result | None:
    """Return a directory's status where nobody but this user and root could have put code there."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status if status.st_uid in (0, os.getuid()) and not status.st_mode & stat.S_IWOTH else None


def read(place: Place) -> bytes | None:
    """Return the machine code that is kept there; None where there is none that may be run."""
    directory, name = place
    for root in roots():
        if (status := _safe(root / directory)) is None:
            continue
        with contextlib.suppress(OSError):
            content = (root / directory / name).read_bytes()
            digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if digest == _digest(place, code):
                if time.time() - status.st_mtime > DAY:
                    _note_use(root / directory)
                return code
    return None


def is_writable(place: Place) -> bool:
    """Whether machine code can be kept there for other processes."""
    for root in roots():
        with contextlib.suppress(OSError):
            (root / place[0]).mkdir(mode=0o700, parents=True, exist_ok=True)
            if _safe(root / place[0]) and os.access(root / place[0], os.W_OK):
                return True
    return False


def write(place: Place, code: bytes) -> None:
    """Keep machine code for the processes to come, whole or not at all, if anything can be written."""
    directory, name = place
    for root in roots():
        with contextlib.suppress(OSError):
            with _replacing(root / directory, name) as file:
                file.write(_digest(place, code) + code)
            _prune(root)
            return
    _warn()


def _note_use(directory: Path) -> None:
    with contextlib.suppress(OSError):  # it may be another user's, or cannot be written
        os.utime(directory)


@cache
def _prune(root: Path) -> None:
    """Remove this user's directories that are not used any more.

    Other processes may be doing the same; and one that needs such a directory at this moment compiles anew,
    as it does where there is none.
    """
    from shutil import rmtree  # here, because it takes 5 ms to import

    with contextlib.suppress(OSError):
        for directory in [*root.iterdir()]:
            status = directory.lstat()
            unused = time.time() - status.st_mtime > UNUSED_SECONDS
            if unused and status.st_uid == os.getuid() and DIRECTORY.fullmatch(directory.name):
                rmtree(directory, ignore_errors=True)


@cache
def _warn() -> None:
    from logging import getLogger

    tried = " and ".join(map(str, roots()))
    getLogger(__name__).warning(
        "Kernels cannot be kept in %s, so every start compiles them: set NONZERO_CACHE_DIR.", tried
    )


@contextlib.contextmanager
def _replacing(directory: Path, name: str) -> Iterator[Any]:
    """Write a file that takes its name when it is whole: other processes may write it too."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _safe(directory):
        raise PermissionError(directory)
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(dir=directory, prefix=".", delete=False) as file:
        try:
            yield file
            file.flush()
            Path(file.name).replace(directory / name)
        except BaseException:
            Path(file.name).unlink()
            raise
