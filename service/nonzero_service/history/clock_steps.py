"""The points of a stream by the clock: one a minute, an hour and a day, in rings of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nonzero_service.history.kept_records import Found, KeptRecords
from nonzero_service.history.points import Point, point_of
from nonzero_service.history.recent_seconds import SECOND

STEPS: Final = {"minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}
"""Milliseconds of each step."""


@dataclass
class _RingPosition:
    """Where a series of points is."""

    number: int = -1
    bucket: int | None = None
    """Which minute, hour or day its newest point is of."""


class ClockSteps:
    """Points by the clock. Used under the history's lock.

    Parameters
    ----------
    records
        Where they are kept.
    """

    def __init__(self, records: KeptRecords) -> None:
        self._records = records
        self._rings: dict[str, _RingPosition] = {}

    def add(self, point: Point) -> None:
        """Add a point to each step, in the place of one of the same minute, hour or day."""
        for name in self._rings:
            self._add_to(name, point)

    def _add_to(self, name: str, point: Point) -> None:
        ring = self._rings[name]
        bucket = point.time // STEPS[name]
        if bucket != ring.bucket:
            ring.number, ring.bucket = ring.number + 1, bucket
        self._records.put(name, ring.number, point.packed(ring.number))

    def take(self, kept: Found, last: Point) -> Point:
        """Go on from what was kept; return the last point: the one that is given, where none was kept."""
        newest = {name: kept[name][-1] for name in STEPS if len(kept[name])}
        points = {name: point_of(one) for name, one in newest.items()}
        last = max(points.values(), key=lambda point: point.position, default=last)
        for name, step in STEPS.items():
            point = points.get(name)
            ring = self._rings[name] = _RingPosition()
            if point is not None:
                ring.number, ring.bucket = int(newest[name]["number"]), point.time // step
            if points and (point is None or point.position < last.position):
                self._add_to(name, last)  # a kill has come between, or what was later is cut
        return last
