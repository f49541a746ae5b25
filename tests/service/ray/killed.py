"""Trainings on a cluster of which something is killed half-way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from command_line import run
from fork_server import fork_server
from nonzero import Batch, LogisticRegression
from nonzero_service.cli import checkpoints
from nonzero_service.cli.backfill import blocks, parts
from waiting import SECONDS

SMALL = {"SMALLEST": 40_000, "NONZEROS": 1_000}
"""Blocks of a few parts."""


def tasks() -> Iterator[int]:
    """Yield the processes of this one's cluster that run tasks of trainings."""
    for process in started_by(os.getpid()):
        with suppress(OSError):
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::read"):
                yield process


def started_by(process: int) -> Iterator[int]:
    """Yield the processes that one has started, and those that they have."""
    for threads in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, threads.read_text().split()):
            yield child
            yield from started_by(child)


def learn_and(act: Callable[[], object], nth: int) -> Any:
    """Return a patch by which something is done before the `nth` part is learned."""
    learn, calls = LogisticRegression.learn_checked, iter(range(1, 1 << 30))

    def patched(self: LogisticRegression, batch: Batch, *more: Any, **options: Any) -> Any:
        if next(calls) == nth:
            act()
        return learn(self, batch, *more, **options)

    return patch.object(LogisticRegression, "learn_checked", patched)


def killed(address: str, place: Path, *arguments: str | Path, nth: int) -> tuple[int, str]:
    """Train in a process that is killed before its `nth` part is learned, with checkpoints all the time."""
    streams = [place / name for name in (".stdin", ".stdout", ".stderr")]
    for stream in streams:
        stream.write_bytes(b"")
    words = ["train", *map(str, arguments), f"--ray={address}"]
    child = fork_server().fork(f"{__name__}:be_killed", streams, os.environ, arguments=words, nth=nth)
    child.go()
    status = child.wait(SECONDS)
    said = streams[2].read_text()
    for stream in streams:
        stream.unlink()
    return status, said


def be_killed(arguments: list[str], nth: int) -> None:
    """Be that process."""
    with (
        patch.object(checkpoints, "SECONDS", 0),
        patch.object(checkpoints, "SHARE", 0),
        patch.object(blocks, "SMALLEST", SMALL["SMALLEST"]),
        patch.object(parts, "NONZEROS", SMALL["NONZEROS"]),
        learn_and(lambda: os.kill(os.getpid(), signal.SIGKILL), nth),
    ):
        run(arguments)
