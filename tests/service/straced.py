"""strace on forked processes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fork_server import Child
from waiting import until

__all__ = ["needs_strace", "traced"]

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@contextmanager
def traced(child: Child, *options: str, thread: int | None = None) -> Iterator[None]:
    """Attach strace to a child, or to one of its threads in the order in which they were begun.

    Skips the test where it may not, and waits for the child's end.
    """
    tasks = sorted(Path(f"/proc/{child.pid}/task").iterdir(), key=lambda task: int(task.name))
    if thread is not None:
        tasks = tasks[thread : thread + 1]
    whole = ["-f"] if thread is None else []
    command = ["strace", *whole, "-qq", "-p", tasks[0].name, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        attached = f"TracerPid:\t{strace.pid}\n"
        until(
            lambda: (
                strace.poll() is not None or all(attached in (task / "status").read_text() for task in tasks)
            )
        )
        if strace.poll() is not None:
            child.kill()
            child.wait()
            pytest.skip(f"strace cannot attach: {strace.stderr.read()}")
        yield
        child.wait()
        strace.stderr.read()
