"""The learning curve: points of the whole stream, about equally many examples apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nonzero_service.history.kept_file import BLOCKS
from nonzero_service.history.points import EXAMPLES_TOTAL, Point


class Curve:
    """At most 256 points of a stream, each the first at or after a multiple of so many examples.

    When they are full the distance is doubled, and the points are those that there would be, had it been so
    from the first.

    Parameters
    ----------
    width
        The distance, in examples.
    points
        Those that there are.
    """

    def __init__(self, width: int = 1, points: Iterable[Point] = ()) -> None:
        self.width: Final = max(width, 1)
        self.points = list(points)
        self._begun: int | None = None  # when what came after the last of them began

    @property
    def edge(self) -> int:
        """From so many examples on there is another point."""
        reached = self.points[-1].totals[EXAMPLES_TOTAL] if self.points else 0.0
        return (int(reached) // self.width + 1) * self.width

    def add(self, point: Point) -> Curve:
        """Take in a point, which may become one of the curve; return the curve that goes on from there."""
        self._take(point)
        curve = self
        while len(curve.points) > (BLOCKS if curve is self else BLOCKS // 2):
            coarser = Curve(2 * curve.width)
            for one in curve.points:
                coarser._take(one)
            curve = coarser
        return curve

    def _take(self, point: Point) -> None:
        self._begun = point.begun if self._begun is None else self._begun
        if point.totals[EXAMPLES_TOTAL] >= self.edge:
            self.points.append(point._replace(begun=self._begun))
            self._begun = None
