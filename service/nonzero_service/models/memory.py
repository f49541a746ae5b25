"""Memory: whether a new model fits into what is left, before the system ends the process for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nonzero_service.errors import TooLargeError

LIMITS: Final = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""The limit of a container, and what it uses: of control groups in version 2 and 1."""


def available() -> int | None:
    """Return the bytes that can be taken without swapping; None where the system does not say."""
    found = []
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):  # another system
        pass
    for limit, used in LIMITS:
        try:
            found.append(int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(found, default=None)


def check_room(bits: int, lanes: int) -> None:
    """Refuse a model whose table, and the second one that a snapshot takes, do not fit into memory.

    Parameters
    ----------
    bits, lanes
        The size of its table.

    Raises
    ------
    TooLargeError
        It says how large they are, and what there is.
    """
    table = 8 * lanes * 2**bits
    needed, there = 2 * table, available()
    if there is not None and needed > there:
        raise TooLargeError(
            f"a model of {bits} bits and {lanes} lanes takes {needed >> 20} MiB with its snapshots, and "
            f"{there >> 20} MiB of memory are left; take fewer bits, or one lane (a learning_rate)"
        )
