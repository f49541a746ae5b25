"""The journal's clock: the wall clock, followed where it can be right.

Rows, keys and impressions are stamped with it. It never goes back by itself: where the wall clock does, it
waits, for up to :data:`SLACK_MS`. Where the wall clock is further behind, or has leapt forward by more than
:data:`LEAP_MS` at once, it goes on at the pace of the machine's steady clock, which nobody can set: so
windows end and keys expire in any case, and a leap does not end all of them at once. That is for a person to
mend: the machine's clock, and then this one (:meth:`Clock.set`).
"""

from __future__ import annotations

import threading
import time
from typing import Final

SLACK_MS: Final = 60_000
"""So far behind the wall clock is waited for: what keeps it right sets it back by less."""

LEAP_MS: Final = 24 * 60 * 60 * 1000
"""So far forward it is followed at once: a virtual machine that was paused has a leap to make."""

# Counts while the machine sleeps, where the system has such a clock.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wall_ms() -> int:
    """Return the machine's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    return time.clock_gettime_ns(_STEADY) // 1_000_000


class Clock:
    """The clock of one journal; from any thread.

    Parameters
    ----------
    reached_ms
        Where it has been: the time of the last row, in milliseconds since 1970.
    """

    def __init__(self, reached_ms: int) -> None:
        self._lock = threading.Lock()
        self._ms = max(wall_ms(), reached_ms)
        self._steady = _steady_ms()

    def now_ms(self) -> int:
        """Return the time, in milliseconds since 1970; no earlier than any before, unless it was set."""
        with self._lock:
            wall, steady = wall_ms(), _steady_ms()
            ticked = self._ms + steady - self._steady
            followed = -LEAP_MS <= ticked - wall <= SLACK_MS
            self._ms = max(self._ms, wall) if followed else ticked
            self._steady = steady
            return self._ms

    def ahead_ms(self) -> int:
        """Return how far it is ahead of the machine's clock; negative where it is behind."""
        return self.now_ms() - wall_ms()

    def set(self, ms: int) -> None:
        """Go on from a time, earlier or later."""
        with self._lock:
            self._ms, self._steady = ms, _steady_ms()
