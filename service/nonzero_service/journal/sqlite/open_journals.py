"""The journals of a process that are open: few of many, those that were used last.

An open journal takes five descriptors and a page cache. So it is opened when it is needed, and closed when
another needs its place, or when it was not used for some seconds.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from nonzero_service.journal.descriptors import limit
from nonzero_service.turns import Turns

OF_A_JOURNAL: Final = 5
"""The descriptors of an open one: lock, mark, database, WAL and the WAL's index."""

MOST: Final = 52
"""So many are open at most, where the limit of open files allows."""

SHARE: Final = 4
"""They take this part of what that limit allows."""

FEWEST: Final = 8
"""So many stay open, however idle."""

IDLE_SECONDS: Final = 10.0
"""The others are closed when they were not used for so long."""

CHECKPOINTERS: Final = 2
"""Threads that move WALs into their files."""


def most_open() -> int:
    """Return how many journals this process has open at most."""
    return max(min(MOST, limit() // (SHARE * OF_A_JOURNAL)), FEWEST)


class Releasable(Protocol):
    """What is open, and can be opened again."""

    def let_go(self) -> bool:
        """Close it, unless it is in use just now; return whether it is closed."""


class OpenJournals:
    """Bounds how many journals are open. Used by any thread.

    Parameters
    ----------
    most
        So many are open at most; one more for each thread that uses one. None: as many as fit.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most_open() if most is None else most
        self.checkpoints = Turns("journal-checkpoints", CHECKPOINTERS)
        self._lock = threading.Lock()
        self._used: dict[Releasable, float] = {}  # when each was used, the one that is idle for longest first

    def __len__(self) -> int:
        return len(self._used)

    def make_room(self, journal: Releasable) -> None:
        """Take note that a journal is used, and close those that were used longest ago, where it must be."""
        with self._lock:
            self._used.pop(journal, None)
            self._used[journal] = time.monotonic()
            if len(self._used) <= self.most:
                return
            others = list(self._used)[:-1]
        for other in others:
            if len(self._used) <= self.most:
                return
            self._close(other)

    def forget(self, journal: Releasable) -> None:
        """Take note that a journal is closed for good."""
        with self._lock:
            self._used.pop(journal, None)

    def close_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Close what was not used for so long, but for a few."""
        since = time.monotonic() - seconds
        with self._lock:
            spare = list(self._used.items())[: max(len(self._used) - FEWEST, 0)]
        for journal, used in spare:
            if used <= since:
                self._close(journal)

    def close(self) -> None:
        """End the threads; the journals are closed by whoever has them."""
        self.checkpoints.close()

    def _close(self, journal: Releasable) -> None:
        with self._lock:
            used = self._used.pop(journal, None)
        if used is not None and not journal.let_go():
            with self._lock:
                self._used.setdefault(journal, used)
