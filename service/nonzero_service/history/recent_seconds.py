"""The points of a stream's last seconds, in memory alone."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from nonzero_service.history.points import POINT, Point

SECOND: Final = 1000
SECONDS: Final = 900
"""So many seconds are kept."""


class RecentSeconds:
    """One point a second, and the one before the first of them. Used under the history's lock."""

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque(maxlen=SECONDS + 1)

    @property
    def kept(self) -> list[bytes]:
        """The points as they are kept, which takes a quarter of their memory."""
        return list(self._kept)

    def add(self, before: Point, point: Point) -> None:
        """Add a point, in the place of the one before where both are of the same second."""
        kept = self._kept
        if not kept:
            kept.append(before.packed(0))
        elif len(kept) > 1 and before.time // SECOND == point.time // SECOND:
            kept.pop()
        kept.append(point.packed(0))
        self._drop(point.time)

    def _drop(self, now_ms: int) -> None:
        """Drop what is of more than 15 minutes ago, but for the last of it: the next begins there."""
        kept = self._kept
        while len(kept) > 1 and now_ms - _time_of(kept[1]) > SECONDS * SECOND:
            kept.popleft()

    def rest(self, now_ms: int, last_ms: int) -> None:
        """Let go of what is of more than 15 minutes ago; the last point was made at `last_ms`."""
        self._drop(now_ms)
        if len(self._kept) == 2 and now_ms - last_ms > SECONDS * SECOND:
            self._kept.clear()


def _time_of(kept: bytes) -> int:
    return int(np.frombuffer(kept, POINT)["time"][0])
