"""The attribution windows of a model's impressions: which have ended, and which are of no more use."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import OPEN, first_of
from nonzero_service.impressions.undo_log import UndoLog


class Windows:
    """The windows of one model. Used under the store's lock.

    Parameters
    ----------
    segments
        The impressions.
    rules
        They say how long windows are, which never changes.
    undo_log
        Takes what undoes a change.
    """

    def __init__(self, segments: Segments, rules: Rules, undo_log: UndoLog) -> None:
        self.ended = 0
        """The windows of all impressions before this number have been ended."""
        self.ends_from_ms = 0
        """Before this time no window ends: labels that wait since the service was down have their chance."""
        self._segments = segments
        self._attribution_ms = rules.attribution_ms
        self._correction_ms = rules.correction_ms
        self._undo_log = undo_log

    def set_ended(self, number: int) -> None:
        """Note that the windows of all impressions before this number have been ended."""
        self._undo_log.restore(self, "ended")
        self.ended = number

    def not_after(self, now_ms: int) -> None:
        """Take note of the journal's clock, which may have been set back: windows end within one of it."""
        self.ends_from_ms = min(self.ends_from_ms, now_ms + self._attribution_ms)

    def ended_at(self, now_ms: int) -> int:
        """Return the number before which all windows have ended by then."""
        return 0 if now_ms < self.ends_from_ms else self._segments.made_until(now_ms - self._attribution_ms)

    def due(self, limit: int, now_ms: int) -> tuple[NDArray[np.int64], int] | None:
        """Return the next impressions whose window has ended, in order, and how far all have ended then.

        Parameters
        ----------
        limit
            So many at most.
        now_ms
            The journal's clock.

        Returns
        -------
        (int64[n], int) | None
            The numbers of those for which something is to be done; none may be. None where no more have
            ended.
        """
        segment = next((one for one in self._segments if one.next > self.ended), None)
        if segment is None or now_ms < self.ends_from_ms:
            return None
        start = max(self.ended - segment.first, 0)
        stop = segment.made_until(now_ms - self._attribution_ms)
        if stop <= start:
            return None
        places = first_of(segment.states, start, stop, OPEN, limit)
        if places.size == limit:
            stop = int(places[-1]) + 1
        return places + segment.first, segment.first + stop

    def useless(self, now_ms: int, unplaced: Container[int]) -> list[Segment]:
        """Return the segments that are of no more use.

        Parameters
        ----------
        now_ms
            The journal's clock.
        unplaced
            The first numbers of segments that are not in the journal yet: a group of a backlog may last long.
        """
        last = now_ms - self._attribution_ms - 2 * self._correction_ms
        return [
            one
            for one in self._segments
            if one.next <= self.ended
            and one.first not in unplaced
            and (not one.rows or int(one.times[-1]) < last)
        ]
