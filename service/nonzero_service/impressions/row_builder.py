"""The row builder: predictions become impressions in segments, as rows that the journal is to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.by_time import parts_by_time
from nonzero_service.impressions.packing import PredictedRows, fields_of_first, packed, size_of_records
from nonzero_service.impressions.rows import NO_FIELDS, ImpressionRow, Teaching
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import CAPACITY, Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.undo_log import UndoLog
from nonzero_service.impressions.unpacking import probabilities_of, times_of

MANY: Final = 64
"""So many predictions of one request say by their first what the usual fields are."""

MOST_FIELDS: Final = 1 << 12
"""So many fields are written once for a row at most: they stay in memory."""

SPANS: Final = 128
"""By such a part of a window the impressions of one row differ in time, no more: it has one time for all, the
last, so that their windows end so much later at most, or twice that."""

PASSING: Final = 1000
"""By so many milliseconds one thread's reading of the clock may be later than another's."""


class EnteredRow(NamedTuple):
    """Impressions that were entered."""

    row: ImpressionRow
    begins: bool
    """Whether they begin a row of the journal: none reaches from one segment into the next, nor takes
    impressions whose times are far apart, as it has one time for all."""


class RowBuilder:
    """Enters the impressions of one model. Used under the store's lock.

    Parameters
    ----------
    segments
        Where they are entered.
    rules
        They say how long windows are, which never changes.
    undo_log
        Takes what undoes a change.
    """

    def __init__(self, segments: Segments, rules: Rules, undo_log: UndoLog) -> None:
        self.unplaced: dict[tuple[int, int], ImpressionRow] = {}
        """What is not in the journal yet: by the segment's first number, and the row."""
        self.last_ms = 0
        """When the last impression was predicted."""
        self._segments = segments
        self._undo_log = undo_log
        self._span_ms = rules.attribution_ms // SPANS
        # By so much the first and the last of one segment differ in time.
        self._segment_ms = (rules.attribution_ms + rules.correction_ms) // 4
        self._row_ms = 0  # the time of the first impression of the row that is being made
        self._usual = NO_FIELDS

    def enter(
        self, predictions: PredictedRows, times: NDArray[np.int64] | None, rate: float
    ) -> list[EnteredRow]:
        """Enter predictions whose ids are not known yet; return what is new, as rows that teach later.

        Parameters
        ----------
        predictions
            The predictions.
        times
            int64[k]: when each of their `rows` was made, of those of a topic; None: all at their time.
        rate
            The share of negatives that is learned from.
        """
        entered: list[EnteredRow] = []
        parts = [predictions] if times is None else parts_by_time(predictions, times, self._span_ms)
        for made in parts:  # each at one time
            self._undo_log.restore(self, "last_ms")
            self.last_ms = max(self.last_ms, made.time_ms)
            made = made._replace(time_ms=self.last_ms)
            size, start = made.rows.size, 0
            while start < size:
                segment = self._room()
                stop = min(start + CAPACITY - segment.used, size)
                part = made.part(start, stop)
                for other in self._segments:
                    if other is not segment:
                        part.fresh[other.find(part.hashes) >= 0] = 0
                begins = segment.used == 0 or self.last_ms - self._row_ms > self._span_ms
                if begins:
                    self._row_ms = self.last_ms
                row = self._enter(segment, part, rate)
                if row.stops.size:
                    entered.append(EnteredRow(row, begins))
                start = stop
        return entered

    def _enter(self, segment: Segment, part: PredictedRows, rate: float) -> ImpressionRow:
        used, rows, number = segment.used, segment.rows, self._segments.next_number
        key = segment.first, rows

        def withdraw() -> None:
            segment.withdraw(used, rows)
            self._segments.next_number = number
            self.unplaced.pop(key, None)

        self._undo_log.append(withdraw)
        usual = self._usual_of(part)
        segment.add_row(used, part.time_ms, np.nan, usual)
        count = segment.enter(part.hashes, part.fresh)
        stops = np.empty(count, np.int64)
        words = packed(part, stops, usual)
        # Room was taken for all of a batch that this is a part of.
        if 2 * words.nbytes < size_of_records(part):
            words = words.copy()
        hashes = segment.hashes[used : used + count].copy()
        row = ImpressionRow(segment.first + used, rate, Teaching.LATER, words, stops, hashes, usual)
        if not count:
            withdraw()
            return row
        self._set(segment, used, row)
        segment.stops[used : used + count] = stops
        self.unplaced[key] = row
        return row

    def _set(self, segment: Segment, used: int, row: ImpressionRow) -> None:
        """Note what the impressions of a row are, which were entered behind the first `used`."""
        place = slice(used, segment.used)
        segment.states[place] = row.states
        segment.probabilities[place] = probabilities_of(row.words, row.starts)
        self._segments.next_number = segment.next

    def _usual_of(self, part: PredictedRows) -> NDArray[np.uint16]:
        """Return the fields that are written once for a row: those of the last one, or of many new ones.

        Few predictions with other fields are not worth a row of their own.
        """
        if part.rows.size >= MANY:
            fields = fields_of_first(part)
            self._usual = self._shared(fields if fields.size <= MOST_FIELDS else NO_FIELDS)
        return self._usual

    def _shared(self, usual: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the array that holds these fields already, or a copy: rows mostly have the same."""
        return self._usual if np.array_equal(usual, self._usual) else usual.copy()

    def _room(self) -> Segment:
        """Return the segment that takes the next impression."""
        segments = self._segments
        segment = segments[-1] if segments else None
        if segment is None or segment.used == CAPACITY or segment.next != segments.next_number:
            return segments.begin()
        is_near = not segment.rows or self.last_ms - int(segment.times[0]) <= self._segment_ms
        return segment if is_near else segments.begin()

    # -- rows that the journal has ---------------------------------------------------------------------

    def place(self, placed: Sequence[tuple[ImpressionRow, int]]) -> None:
        """Note where the rows stand in the journal that it has taken instead of those that were entered.

        The time of each is no earlier than that of the one before, wherever the clock was set back.
        """
        for first, rows in self.unplaced:
            segment = next(one for one in self._segments if one.first == first)
            segment.rows = min(segment.rows, rows)
        self.unplaced.clear()
        for row, position in placed:
            segment = next(one for one in self._segments if one.first <= row.first < one.next)
            time_ms = _time_of(row)
            if segment.rows:
                time_ms = max(time_ms, int(segment.times[-1]))
            _place(segment, row, position, time_ms)

    def replay(self, row: ImpressionRow, position: int) -> None:
        """Enter what a row of the journal keeps; there is something."""
        self._usual = self._shared(row.usual)
        row = row._replace(usual=self._usual)
        self._segments.next_number = row.first
        self.last_ms = _time_of(row)
        segment = self._room()
        if segment.used + row.stops.size > CAPACITY:
            segment = self._segments.begin()
        used = segment.used
        fresh = np.ones(row.stops.size, np.uint8)
        if segment.enter(row.hashes, fresh) != row.stops.size:  # two alike: damage
            segment.hashes[used : used + row.stops.size] = row.hashes
            segment.used = used + row.stops.size
        self._set(segment, used, row)
        _place(segment, row, position, self.last_ms)

    def not_after(self, now_ms: int, by_ms: int) -> None:
        """Take back the times of impressions that are after the journal's clock: it has been set back."""
        if self.last_ms > now_ms + PASSING:
            self._segments.mend_times(now_ms, by_ms)
            self.last_ms = now_ms


def _place(segment: Segment, row: ImpressionRow, position: int, time_ms: int) -> None:
    """Note where a row stands, and of which time it is; a segment has its impressions."""
    place = row.first - segment.first
    segment.add_row(place, time_ms, row.rate if row.teaching else np.nan, row.usual, position)
    segment.stops[place : place + row.stops.size] = row.stops


def _time_of(row: ImpressionRow) -> int:
    """Return when the last of a row was predicted."""
    return int(times_of(row.words, row.starts[-1:])[0])
