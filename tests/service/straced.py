"""strace on forked processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fork_server import Child
from waiting import SECONDS, until

__all__ = ["needs_strace", "traced"]

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@contextmanager
def traced(child: Child, *options: str, thread: int | None = None) -> Iterator[None]:
    """Attach strace to a child, or to one of its threads in the order in which they were begun.

    Skips the test where it may not, and waits for the child's end.

    What strace says goes to files. Where a user has many pipes, Linux gives new ones two pages instead of
    sixteen: nobody reads while the child is waited for, and strace would stand still, and the child with it.
    """
    tasks = sorted(Path(f"/proc/{child.pid}/task").iterdir(), key=lambda task: int(task.name))
    if thread is not None:
        tasks = tasks[thread : thread + 1]
    whole = ["-f"] if thread is None else []
    output = [] if "-o" in options else ["-o", os.devnull]
    command = ["strace", *whole, "-qq", "-p", tasks[0].name, *output, *options]
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stderr=said) as strace:
        attached = f"TracerPid:\t{strace.pid}\n"
        try:
            until(
                lambda: (
                    strace.poll() is not None
                    or all(attached in (task / "status").read_text() for task in tasks)
                )
            )
            if strace.poll() is not None:
                child.kill()
                child.wait()
                said.seek(0)
                pytest.skip(f"strace cannot attach: {said.read()}")
            yield
            child.wait(SECONDS)
            strace.wait(SECONDS)
        except subprocess.TimeoutExpired as late:
            for pid in (strace.pid, child.pid):
                late.add_note(_state(pid))
            raise
        finally:  # neither is waited for in vain
            if strace.poll() is None:
                strace.kill()
                child.kill()


def _state(pid: int) -> str:
    """Return what each thread of a process is at."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            at = [(task / name).read_text().strip() for name in ("comm", "wchan", "syscall")]
            states.append(f"{task.name} {(task / 'stat').read_text().rpartition(')')[2].split()[0]} {at}")
    return f"process {pid}: {'; '.join(states) or 'is gone'}"
