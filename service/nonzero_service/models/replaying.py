"""How far a replay is: a bar on a terminal, a line in the log now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import structlog

from nonzero_service.progress_bar import new_bar

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE: Final = 0.5
"""Seconds after which a bar is shown: most replays are done by then."""

SAY_SECONDS: Final = 2.0

_SHOWN: Final = threading.Lock()
"""Held by the replay that a bar is shown of: several models are opened at a time."""


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

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            with suppress(OSError):  # the terminal has gone: no reason not to start
                self._bar.stop()
            _SHOWN.release()

    def __call__(self, position: int, end: int) -> None:
        """Take note that the row at `position` was applied; the last is at `end`."""
        self._first = first = position if self._first is None else self._first
        now = time.monotonic()
        if sys.stderr.isatty():
            if self._bar is None and now - self._begun >= PATIENCE and _SHOWN.acquire(blocking=False):
                self._bar = new_bar(transient=True)
                self._bar.add_task(f"replaying {self._name}", total=None, note="")
                with suppress(OSError):
                    self._bar.start()
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=position - first, total=end - first)
        elif now - self._said >= SAY_SECONDS:
            self._said = now
            structlog.get_logger("models").info("replaying", model=self._name, position=position, end=end)
