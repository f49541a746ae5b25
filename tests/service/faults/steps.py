"""A fault at one call of many: the n-th system call (or the like) of some work fails, or all from it on."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest

CALLS: list[tuple[Any, str]] = [
    (os, "open"),
    (os, "mkdir"),
    (os, "rename"),
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
    (os, "fsync"),
    (os, "fdatasync"),
    (os, "fchmod"),
    (os, "ftruncate"),
    (os, "pwrite"),
    (os, "posix_fallocate"),
    (os, "memfd_create"),
    (io, "open"),
    (apsw, "Connection"),
    (threading.Thread, "start"),
]
"""What is made to fail. Files are closed for real: who closes them has nothing left to do about an error."""

WANTS: dict[str, Callable[[str], BaseException]] = {
    "no space": lambda _: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "read-only": lambda _: OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "no descriptor": lambda name: (
        apsw.CantOpenError("unable to open database file")
        if name == "Connection"
        else OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    ),
    "no memory": lambda name: (
        RuntimeError("can't start new thread") if name == "start" else MemoryError("out of memory")
    ),
}
"""What may be wanting, and what a call of some name raises for want of it."""


class Fault:
    """Counts calls; fails one, or all from it on."""

    def __init__(self, at: int | None, want: str, lasting: bool) -> None:
        self.at, self.want, self.lasting = at, want, lasting
        self.count = 0
        self.failed = False
        self._lock = threading.Lock()

    def meet(self, name: str) -> None:
        with self._lock:
            self.count += 1
            fails = self.at is not None and (self.count == self.at or (self.lasting and self.count > self.at))
            self.failed |= fails
        if fails:
            raise WANTS[self.want](name)


@contextmanager
def failing(at: int | None, want: str = "no space", *, lasting: bool = False) -> Iterator[Fault]:
    """Let the `at`-th call fail (None: none, they are counted), and where it is `lasting` all that follow."""
    fault = Fault(at, want, lasting)

    def stand_in(real: Any, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            fault.meet(name)
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in CALLS:
            patch.setattr(module, name, stand_in(getattr(module, name), name))
        yield fault
