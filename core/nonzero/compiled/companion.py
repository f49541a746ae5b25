"""A second process that compiles kernels beside the first, where neither has found them.

The first process starts it at the first kernel of the library that it misses, and goes on compiling by
itself. Both claim a kernel before they compile it, by a lock that ends with its process, on a file without a
name: a kernel that the companion is at is waited for when it is called, one that it has kept is loaded, and
where it died, or takes too long, the first process compiles as if it had never been. It ends with the first
process: its standard input is a pipe that only the first holds open, and names further modules through.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import queue
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from nonzero.compiled import declaring, kept

__all__ = ["MODULES", "add", "claimed", "is_at", "run", "start"]

MODULES: Final = (
    "nonzero.kernels.entry_points",
    "nonzero.formats.json_examples",
    "nonzero.formats.vw_lines",
    "nonzero.formats.libsvm",
)
"""The modules whose kernels the companion compiles.

One of the two that learn, while the first process is at the other; then readers, that of JSON first, which
takes longest and which a service needs first, while the first process is at all else.
"""

PATIENCE_SECONDS: Final = 60.0
"""How long the first process waits for one kernel; the dearest takes 10 seconds of a slow CPU."""

LOOK_SECONDS: Final = 0.01

# Without the package's __init__, which would define, and so compile, every kernel before this has begun.
PROGRAM: Final = """
import sys
from types import ModuleType
claims, package, modules, *sys.path[:] = sys.argv[1:]
sys.modules["nonzero"] = ModuleType("nonzero")
sys.modules["nonzero"].__path__ = [package]
from nonzero.compiled import companion
companion.run(int(claims), modules.split())
"""

_started: list[_Companion] = []
_added: list[str] = []
_starting: Final = threading.Lock()


class _Companion:
    """The second process, as the first sees it."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.claims = os.memfd_create("claims")
        package = str(Path(__file__).parent.parent)
        self.process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", PROGRAM, str(self.claims), package, " ".join(modules), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self.claims],
        )
        self.owner = os.getpid()
        atexit.register(self.end)

    def tell(self, modules: Iterable[str]) -> None:
        """Name further modules; it may have ended."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.write("".join(f"{name}\n" for name in modules).encode())
                self.process.stdin.flush()

    @property
    def is_alive(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def end(self) -> None:
        """Let it end, which it does at once, but not in the middle of a file."""
        if self.owner != os.getpid():
            return
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(place: kept.Place, modules: Iterable[str] = MODULES) -> int | None:
    """Start the companion, once, where there is a core for it and what it compiles can be kept.

    Parameters
    ----------
    place
        A kernel's, in the directory of those that it shall compile.
    modules
        The modules whose kernels it compiles, in this order.

    Returns
    -------
    int | None
        The companion's process id; None where the first process compiles alone.
    """
    with _starting:
        if not _started:
            if len(os.sched_getaffinity(0)) < 2 or not sys.executable or not kept.is_writable(place):
                return None
            try:
                _started.append(_Companion(modules))
            except OSError:
                return None
            _started[0].tell(_added)
        return _started[0].process.pid


def add(modules: Sequence[str]) -> None:
    """Have the companion, if there is to be one, compile the kernels of further modules after its own.

    Parameters
    ----------
    modules
        Best in the reverse of the order in which this process comes to them.
    """
    with _starting:
        _added.extend(modules)
        if _started:
            _started[0].tell(modules)


def is_at(place: kept.Place) -> bool:
    """Whether the companion is compiling a kernel at this moment."""
    if not _started or not _started[0].is_alive:
        return False
    companion, byte = _started[0], _byte_of(place)
    if not _claim(companion.claims, byte):
        return True
    fcntl.lockf(companion.claims, fcntl.LOCK_UN, 1, byte)
    return False


@contextlib.contextmanager
def claimed(place: kept.Place) -> Iterator[None]:
    """Keep the companion from compiling a kernel; first wait until it has finished one that it is at."""
    if not _started or not _started[0].is_alive:
        yield
        return
    companion, byte = _started[0], _byte_of(place)
    until = time.monotonic() + PATIENCE_SECONDS
    while not (ours := _claim(companion.claims, byte)) and companion.is_alive and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        if ours:
            fcntl.lockf(companion.claims, fcntl.LOCK_UN, 1, byte)


def _byte_of(place: kept.Place) -> int:
    """Return the byte that stands for a kernel; two that share one wait for each other needlessly."""
    return zlib.crc32(place[1].encode())


def _claim(claims: int, byte: int) -> bool:
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError:
        return False
    return True


def run(claims: int, modules: Iterable[str]) -> None:
    """Be the companion: compile and keep the kernels of some modules that nobody is at.

    Parameters
    ----------
    claims
        The open file on whose bytes kernels are claimed.
    modules
        The modules, in the order in which their kernels are compiled; those that it is told of come after.
    """
    gc.disable()  # it ends before its garbage is worth looking for, which was a twentieth of its time
    keeping, told = threading.Lock(), queue.SimpleQueue[str]()
    threading.Thread(target=_listen, args=[keeping, told], daemon=True).start()
    collected: list[declaring.Collected] = []
    declaring.collected = collected
    for name in modules:
        _compile(name, collected, claims, keeping)
    if not told.empty():
        del sys.modules["nonzero"]  # which stood for the package until its kernels were done
        import_module("nonzero")
    while not told.empty():
        _compile(told.get(), collected, claims, keeping)


def _compile(name: str, collected: list[declaring.Collected], claims: int, keeping: threading.Lock) -> None:
    """Compile the kernels of a module that nobody is at."""
    from nonzero.compiled import compiling

    import_module(name)
    for function, signature in [one for one in collected if one[0].__module__ == name]:
        place = kept.place_of(function)
        byte = _byte_of(place)
        if not _claim(claims, byte):
            continue
        if kept.read(place) is None:
            code = compiling.compiled(function, signature)
            with keeping:
                kept.write(place, code)
        fcntl.lockf(claims, fcntl.LOCK_UN, 1, byte)


def _listen(keeping: threading.Lock, told: queue.SimpleQueue[str]) -> None:
    """Take the names of further modules; end with the first process."""
    with open(0, "rb", buffering=0) as pipe:
        for line in pipe:
            told.put(line.decode().rstrip())
    with keeping:
        os._exit(0)
