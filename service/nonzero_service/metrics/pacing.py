"""Pacing: work in Python that takes long lets other threads run now and then.

Who computes in Python is asked for the interpreter's lock only when another has waited for it for 5 ms, and
the event loop waits for it twice a request or more often.
"""

from __future__ import annotations

import time
from typing import Final

WORK_SECONDS: Final = 0.0005
"""For so long the lock is held at a time, about."""

PAUSE_SECONDS: Final = 0.0001
"""For so long it is left to others: to let go of it for no time gives it back to whoever let go."""


class Pace:
    """Of one work on one thread.

    Examples
    --------
    >>> pace = Pace()
    >>> for _ in range(1000):
    ...     pace.breathe()
    """

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def breathe(self) -> None:
        """Let others run, if the last time is long enough ago; called between two small pieces of work."""
        if time.perf_counter() - self._since >= WORK_SECONDS:
            time.sleep(PAUSE_SECONDS)
            self._since = time.perf_counter()
