"""What the machine says of a process, and a port for one."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

__all__ = [
    "children",
    "computed",
    "free_port",
    "has_ended",
    "is_stopped",
    "listening_port",
    "open_below",
    "open_files",
    "resident",
]


def listening_port(pid: int) -> int:
    """Return the port that a process listens at, where its log cannot say it; 0 while it does not."""
    sockets = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            sockets.add(str(path.readlink()))
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].rpartition(":")[2], 16)
    return 0


def children(pid: int) -> list[int]:
    """Return the processes that a process's first thread has begun."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or left only its exit status."""
    try:
        return _state(pid) == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP has reached a process."""
    return _state(pid) == "T"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def open_files(pid: int | str = "self") -> int:
    """Return how many descriptors a process has.

    Those of this process may become fewer at any time: what earlier tests have left may be collected.
    """
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def open_below(directory: Path) -> int:
    """Return how many descriptors this process has of what is in a directory."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += descriptor.readlink().is_relative_to(directory)
    return found


def resident(pid: int | str = "self") -> int:
    """Return the memory that a process holds, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def computed(pid: int) -> float:
    """Return the seconds that a process has computed, by all its threads: others beside it change nothing."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def free_port() -> int:
    """Return a port of the loopback for a server that must know its own before it listens.

    It lies below those that the system gives to clients: a server which is begun anew has it for itself.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
