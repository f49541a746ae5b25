"""What is known of a model for one step: a second, a minute, an hour, a day, or a block of examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.history.events import Event
from nonzero_service.history.kept_file import SERIES
from nonzero_service.history.points import NO_TOTALS, POINT, Point, Totals, point_of


class StepRecords(NamedTuple):
    """What is known of a model for one step."""

    points: NDArray[np.void]
    """In the order of the stream."""
    before: Totals
    """The figures before the first of them."""
    events: list[Event]
    since: int
    """Since when there are points of this step, in milliseconds since 1970."""


def records_of_blocks(kept: list[bytes], last: Point, events: list[Event]) -> StepRecords:
    """Return what is known of blocks of examples.

    Parameters
    ----------
    kept
        The points of the learning curve; what came after them up to the last point becomes one more.
    last, events
        The last point of all, and what happened.
    """
    reached = point_of(_joined(kept)[-1]) if kept else None
    if last.totals[0] > (reached.totals[0] if reached else 0):
        begun = reached.time if reached else last.begun
        kept = [*kept, last._replace(begun=begun).packed(0)]
    return StepRecords(_joined(kept), NO_TOTALS, events, 0)


def records_of_seconds(kept: list[bytes], last: Point, events: list[Event]) -> StepRecords:
    """Return what is known of seconds, as :func:`records_of_blocks` has it."""
    return _behind_the_first(_joined(kept), last, events)


def records_of_clock(step: str, points: NDArray[np.void], last: Point, events: list[Event]) -> StepRecords:
    """Return what is known of minutes, hours or days.

    Parameters
    ----------
    step
        Which of them.
    points
        Those that are kept.
    last, events
        As for :func:`records_of_blocks`.
    """
    if not len(points) or int(points["number"].max()) < SERIES[step].slots:
        return StepRecords(points, NO_TOTALS, events, 0)
    return _behind_the_first(points, last, events)


def _behind_the_first(points: NDArray[np.void], last: Point, events: list[Event]) -> StepRecords:
    """Return points of which the first only says where the others begin: what was before it is not kept."""
    if not len(points):
        return StepRecords(points, NO_TOTALS, events, last.time)
    return StepRecords(points[1:], point_of(points[0]).totals, events, int(points["time"][0]))


def _joined(kept: Iterable[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(kept), POINT)
