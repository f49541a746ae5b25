"""Descriptors: how many files and connections this process may have open, and what it means to have no more.

The limit is RLIMIT_NOFILE. The soft one, which counts, is 1,024 on most systems, for the sake of programs
that use select(2); the hard one, up to which a process may raise it itself, is far more.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nonzero_service.journal.errors import NoDescriptorsError

MOST: Final = 1 << 20
"""The limit is raised no further: a system that sets none means nothing by it."""

SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""The system's errors for it."""

NAMED: Final = "the limit of open files (RLIMIT_NOFILE)"
"""How messages call the limit."""

WAYS: Final = "raise it (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container)"
"""How it is raised."""


def limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> int:
    """Raise the soft limit to the hard one, as far as that makes sense; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft not in (resource.RLIM_INFINITY, most) and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return limit()


def are_none_left() -> bool:
    """Whether this process can open nothing now: libraries do not always say why they could not."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in SHORTAGE
    return False


def shortage_message(what: str) -> str:
    """Return what is said where something could not be done for want of descriptors."""
    return (
        f"{what}, because no descriptors are left: {NAMED} is {limit()}; {WAYS}, or have fewer models or "
        "connections"
    )


@contextmanager
def explain_shortage(what: str) -> Iterator[None]:
    """Turn a want of descriptors into an error that names the limit and the way out.

    Parameters
    ----------
    what
        What could not be done for want of them.

    Raises
    ------
    NoDescriptorsError
        In the place of the system's error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in SHORTAGE:
            raise
        raise NoDescriptorsError(shortage_message(what)) from error
