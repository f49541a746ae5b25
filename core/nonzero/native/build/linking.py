"""Object files -> a shared library."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

OPTIONS: Final = ("-shared", "--strip-all", "--build-id=none", "-z", "noexecstack", "-z", "relro")

SYSTEM: Final = re.compile(r"/\S*/lib[cm](?:\.so\.6|-[\d.]+\.so)$")
"""The C library and its mathematics, as this process has them in memory."""

VERSION: Final = re.compile(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)")


def linker() -> list[str] | None:
    """Return the command that links: the system's, or that of the package ziglang; None without any."""
    for name in (os.environ.get("LD") or "ld", "ld.lld"):
        if found := shutil.which(name):
            return [found]
    try:
        import ziglang
    except ImportError:
        return None
    return [str(Path(ziglang.__file__).parent / "zig"), "ld.lld"]


def link(objects: Iterable[Path], library: Path) -> None:
    """Make a shared library of object files; other processes see the one before, or this one, whole.

    Raises
    ------
    RuntimeError
        Where there is no linker, or it fails.
    """
    command = linker()
    if command is None:
        raise RuntimeError("there is no linker: neither ld (binutils), nor ld.lld, nor PyPI's ziglang")
    library.parent.mkdir(exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}")
    # Libraries are named by their files: only beside a compiler a linker finds them by itself.
    maps = Path("/proc/self/maps").read_text().splitlines()
    system = sorted({line.split()[-1] for line in maps if SYSTEM.search(line)})
    command += [*OPTIONS, "-o", str(unfinished), *map(str, objects), *system]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"the linker failed: {' '.join(command)}\n{done.stderr}")
    unfinished.replace(library)


def glibc_needed(library: Path) -> int | None:
    """Return N of the oldest glibc 2.N that has all that a library needs; None where it does not say."""
    versions = VERSION.findall(library.read_bytes())
    return max(map(int, versions), default=None)
