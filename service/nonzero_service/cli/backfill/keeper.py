"""Ends what a local cluster leaves behind: a process that outlives the one which started it.

It waits until its standard input ends: then whoever started it has ended, in whatever way. A cluster's
processes are those that name its folder, or have a file open in it. Some of them outlive all
others for minutes, and have another parent then. It imports nothing of the package: so it is there at once.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

QUIET = 10
"""So often in a row nobody is found before it is believed: a process may be about to start."""


def users(folder: str) -> Iterator[int]:
    """Yield the processes that have to do with a folder."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                named = folder.encode() in (place / "cmdline").read_bytes()
                if named or any(str(file.readlink()).startswith(folder) for file in (place / "fd").iterdir()):
                    yield int(place.name)


def main(folder: str, starter: int) -> None:
    """Wait; then end the processes that are left, and remove the folder.

    Parameters
    ----------
    folder
        The cluster's.
    starter
        The process that started this one.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    quiet = 0
    while quiet < QUIET:
        left = [process for process in users(folder) if process not in (os.getpid(), starter)]
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        quiet = 0 if left or Path(folder).exists() else quiet + 1
        time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
