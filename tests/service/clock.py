"""The clocks of a service's machine, as a test turns them; and looks that come fifty times as often.

A test that waits for windows to end, or for a clock to be wrong, lets no time pass: it turns the clock, and
waits until that has been looked at.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Clock", "follow"]

LOOK_SECONDS = 0.02


class Clock:
    """What a test turns; the service that :func:`follow` s its file goes by it.

    Parameters
    ----------
    path
        The file.
    ahead
        By how many seconds the machine's clock is wrong at first.
    """

    def __init__(self, path: Path, ahead: int = 0) -> None:
        self.path = path
        self._wall, self._steady = ahead, 0
        self._write()

    def turn(self, ahead: int) -> None:
        """Let the machine's clock be wrong by so many seconds; no time passes."""
        self._wall = ahead + self._steady
        self._write()

    def pass_by(self, seconds: int) -> None:
        """Let time pass, by the machine's clock and by the one that nobody can turn."""
        self._wall += seconds
        self._steady += seconds
        self._write()

    def looks(self, what: str) -> int:
        """Return how often it was looked for windows that have ended, or whether a snapshot is due."""
        return self._looks().read_text().count(what[0]) if self._looks().exists() else 0

    def _looks(self) -> Path:
        return self.path.with_suffix(".looks")

    def _write(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"{self._wall} {self._steady}")
        new.replace(self.path)


def follow(path: Path) -> None:
    """Have this process, a service to be, go by a test's clock."""
    from nonzero_service.journal import clock as journal_clock
    from nonzero_service.models import rounds
    from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
    from nonzero_service.models.window_watch import WindowWatch

    rounds.LOOK_SECONDS = LOOK_SECONDS  # type: ignore[misc]
    wall, wall_ns, steady_ns = time.time, time.time_ns, time.clock_gettime_ns

    held, asking = threading.local(), threading.Lock()

    def turned(which: int) -> int:
        text: str = getattr(held, "text", None) or path.read_text()
        return int(text.split()[which])

    def at_one_moment(now_ms: Callable[[Any], int]) -> Callable[[Any], int]:
        """Let a journal's clock ask both clocks as they were before, or after, the test turned them.

        One thread after another: the steady clock must not be asked as of before it was turned by one that
        had looked before another. It would be taken to go back, and the time that passed to pass twice.
        """

        def asked(clock: Any) -> int:
            with asking:
                held.text = path.read_text()
                try:
                    return now_ms(clock)
                finally:
                    held.text = None

        return asked

    journal_clock.Clock.now_ms = at_one_moment(journal_clock.Clock.now_ms)  # type: ignore[method-assign, assignment]

    time.time = lambda: wall() + turned(0)
    time.time_ns = lambda: wall_ns() + turned(0) * 10**9
    time.clock_gettime_ns = lambda clock: steady_ns(clock) + turned(1) * 10**9

    looks = os.open(path.with_suffix(".looks"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for watch, mark in ((WindowWatch, b"w"), (SnapshotScheduler, b"s")):
        watch.look = counted(watch.look, looks, mark)  # type: ignore[method-assign, assignment]


def counted(look: Callable[[Any], Any], looks: int, mark: bytes) -> Callable[[Any], Any]:
    """Return a look that leaves a mark, when what the one before it began has ended."""

    def marked(watch: Any) -> Any:
        os.write(looks, mark)
        return look(watch)

    return marked
