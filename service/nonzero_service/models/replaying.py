"""How far a replay is: a bar on a terminal, a line in the log now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["ReplayProgress"]

PATIENCE: Final = 0.5
"""Seconds after which a bar is shown: most replays are done by then."""

SAY_SECONDS: Final = 2.0


class ReplayProgress:
    """Shows how far the replay of a model's journal is; told from another thread.

    Parameters
    ----------
    name
        The model's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: int | None = None
        self._begun = self._said = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):  # the terminal has gone: no reason not to start
                self._bar.stop()

    def __call__(self, position: int, end: int) -> None:
        """Take note that the row at `position` was applied; the last is at `end`."""
        if self._first is None:
            self._first = position
        now = time.monotonic()
        if sys.stderr.isatty():
            if self._bar is None and now - self._begun >= PATIENCE:
                self._bar = _bar(self._name)
                with suppress(OSError):
                    self._bar.start()
            if self._bar is not None:
                self._bar.update(
                    self._bar.task_ids[0], completed=position - self._first, total=end - self._first
                )
        elif now - self._said >= SAY_SECONDS:
            self._said = now
            structlog.get_logger("models").info("replaying", model=self._name, position=position, end=end)


def _bar(name: str) -> Progress:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task(f"replaying {name}", total=None)
    return bar
