"""Impressions that wait for their turn, which the gate gives them, where negatives are learned at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.gate import Gate
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.label_arrivals import LabelArrivals
from nonzero_service.impressions.row_builder import EnteredRow
from nonzero_service.impressions.rows import ImpressionRow, Teaching
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import CLICKS, TURNED, WAITING, first_of, is_one_of
from nonzero_service.impressions.undo_log import UndoLog
from nonzero_service.impressions.windows import Windows


class WaitingImpressions:
    """The impressions of one model that wait for their turn. Used under the store's lock.

    Parameters
    ----------
    segments, windows, arrivals
        The impressions, their windows, and when labels came.
    undo_log
        Takes what undoes a change.
    """

    def __init__(
        self, segments: Segments, windows: Windows, arrivals: LabelArrivals, undo_log: UndoLog
    ) -> None:
        self.gate = Gate()
        """Says how many impressions are learned from at once."""
        self.next_taught = 0
        """The number of the first impression that waits."""
        self._segments = segments
        self._windows = windows
        self._arrivals = arrivals
        self._undo_log = undo_log

    def first(self, limit: int) -> NDArray[np.int64]:
        """Return int64[n]: the numbers of the first that wait, so many at most."""
        found = [np.empty(0, np.int64)]
        for one in self._segments:
            if one.next > self.next_taught and limit > 0:
                start = max(self.next_taught - one.first, 0)
                places = first_of(one.states, start, one.used, WAITING, limit)
                found.append(places + one.first)
                limit -= places.size
        return np.concatenate(found)

    def had_their_chance(self, now_ms: int) -> int:
        """Return the number before which all impressions have had the chance of a click.

        Their window has ended; or clicks of newer ones have come, and they are older than three mean delays.
        """
        ended = self._windows.ended_at(now_ms)
        if self._arrivals.ripe_ms is None:
            return ended
        ripe = self._segments.made_until(now_ms - round(self._arrivals.ripe_ms))
        return max(ended, min(ripe, self.gate.newest_clicked + 1))

    def set_next_taught(self, number: int) -> None:
        """Note that all impressions before this number have had their turn."""
        self._undo_log.restore(self, "next_taught")
        self.next_taught = number

    def note_gate(self) -> Gate:
        """Return the gate, to be moved: where it was is noted."""
        before = self.gate.sums.copy()
        self._undo_log.append(lambda: self.gate.sums.__setitem__(slice(None), before))
        return self.gate

    def admitted(self, entered: EnteredRow) -> list[EnteredRow]:
        """Say which impressions of a row are learned from now: the first ones, where none wait already."""
        row, begins = entered
        if self.next_taught < row.first:
            return [entered]
        n = row.stops.size
        count = self.note_gate().drain(row.numbers, np.zeros(n, np.uint8), 0, 0).size
        if not count:
            return [entered]
        now = row.part(0, count, Teaching.NOW)
        self._segments.set(now.numbers, now.states, self._undo_log)
        self.set_next_taught(row.first + count)
        if count == n:
            return [EnteredRow(now, begins)]
        return [EnteredRow(now, begins), EnteredRow(row.part(count, n, Teaching.LATER), begins=False)]

    # -- what the journal's rows say, at a start -------------------------------------------------------

    def replay_row(self, row: ImpressionRow) -> None:
        """Count what a row taught when it came."""
        if row.teaching != Teaching.LATER:
            self.gate.replay(row.numbers, np.zeros(row.stops.size, np.bool_), 0)

    def replay(self, references: References) -> None:
        """Count those that had their turn by a row, before what becomes of them is noted."""
        numbers, states = references.numbers, references.states
        before = self._segments.states(numbers)
        passed = is_one_of(before, WAITING) & ~is_one_of(states, WAITING)
        corrections = is_one_of(states, CLICKS) & is_one_of(before, TURNED)
        self.gate.note_clicked(numbers[is_one_of(states, CLICKS)])
        self.gate.replay(numbers[passed], is_one_of(states[passed], CLICKS), int(corrections.sum()))

    def begin(self) -> None:
        """Take note that all rows have been seen."""
        waiting = self.first(1)
        self.next_taught = int(waiting[0]) if waiting.size else self._segments.next_number
