"""Commands in processes of their own that get a real signal at a stage of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_line import run
from fork_server import Child, fork_server
from waiting import SECONDS

__all__ = ["REACHED", "Stopped", "be_stopped", "started", "stopped_at"]

STAGES = {
    "imports": ("nonzero_service.cli", "_Commands.get_command"),
    "loads": ("nonzero.persistence.snapshot", "read"),
    "sample": ("nonzero.sources.files", "Source.samples"),
    "reading": ("nonzero.sources.examples", "usable"),
    "learning": ("nonzero.model.logistic_regression", "LogisticRegression.learn_checked"),
    "predicting": ("nonzero.model.logistic_regression", "LogisticRegression.predict"),
    "rows": ("nonzero.batches.codec", "encode_batch"),
    "lines": ("nonzero.formats.writing", "slot_lines"),
    "saving": ("os", "fsync"),
}
"""What is called at each stage: the signal comes in the middle of it."""

REACHED = ".reached"
"""A file of this name tells that the stage is reached."""

Stopped = subprocess.CompletedProcess[str]


def stopped_at(
    place: Path, stage: str, *arguments: str | Path, nth: int = 1, number: int = signal.SIGINT, times: int = 1
) -> Stopped:
    """Run a command that gets a signal when it comes to a stage for the `nth` time; again after a second."""
    _, ended = started(place, *arguments, stage=stage, nth=nth, number=number, times=times)
    return ended()


def started(
    place: Path,
    *arguments: str | Path,
    stage: str = "",
    nth: int = 1,
    number: int = signal.SIGINT,
    times: int = 0,
) -> tuple[Child, Callable[[], Stopped]]:
    """Start a command; return its process, and what waits for its end."""
    streams = [place / name for name in (".stdin", ".stdout", ".stderr")]
    for stream in streams:
        stream.write_bytes(b"")
    given = {"stage": stage, "nth": nth, "number": number, "times": times}
    words = [*map(str, arguments)]
    child = fork_server().fork(
        f"{__name__}:be_stopped", streams, os.environ, place=str(place), arguments=words, **given
    )
    child.go()

    def ended() -> Stopped:
        status = child.wait(SECONDS)
        out, err = streams[1].read_text(), streams[2].read_text()
        for path in (*streams, place / REACHED):
            path.unlink(missing_ok=True)
        return Stopped(words, status, out, err)

    return child, ended


def be_stopped(place: str, arguments: list[str], stage: str, nth: int, number: int, times: int) -> None:
    """Be the command, in the process that was forked for it."""
    os.chdir(place)
    if stage:
        _signal_at(*STAGES[stage], nth, number, times)
    run(arguments)


def _signal_at(module: str, name: str, nth: int, number: int, times: int) -> None:
    """Have a function send signals to its process when it is called for the `nth` time."""
    __import__(module)
    *classes, function = name.split(".")
    owner = sys.modules[module]
    for one in classes:
        owner = getattr(owner, one)
    real, calls = getattr(owner, function), 0

    def signalled(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            Path(REACHED).touch()
            for n in range(times):
                time.sleep(1.1 if n else 0)  # what comes within a second is the same signal
                os.kill(os.getpid(), number)
        return real(*given, **named)

    for holder in [owner, *sys.modules.values()] if not classes else [owner]:
        if getattr(holder, function, None) is real:
            setattr(holder, function, signalled)
