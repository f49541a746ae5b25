"""Ends what a local cluster leaves behind: a process that outlives the one which started it.

It reads lines of two numbers, a process and when that began, until its standard input ends: then whoever
started it has ended, in whatever way. It imports nothing of the package, to be small and there at once.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def began(process: int) -> str:
    """Return when a process began, in ticks of the system; empty where there is none."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def main() -> None:
    """Wait, then end the processes that are left, and remove the folder that the first argument names."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    noted = [line.split() for line in sys.stdin]
    for _ in range(100):
        left = [int(process) for process, start in noted if began(int(process)) == start]
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.05)
    for _ in range(20):
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        if not Path(sys.argv[1]).exists():
            break
        time.sleep(0.1)  # a process that was just ended had written


if __name__ == "__main__":
    main()
