"""The store of a model's impressions: what was predicted with an id, found again by it.

It is in memory, and is made of the journal's rows at a start: nothing else is kept. Whatever changes it is a
row of the journal, or follows from the clock. So it changes in steps: what a group of rows will say is noted
first, and undone where the journal does not take them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero.errors import NonzeroError
from nonzero_service.impressions.by_time import parts_by_time
from nonzero_service.impressions.early import EarlyLabels
from nonzero_service.impressions.gate import Gate
from nonzero_service.impressions.hashes import hashes_of, named_rows
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.packing import PredictedRows, fields_of_first, packed, size_of_records
from nonzero_service.impressions.recent_rows import RecentRows
from nonzero_service.impressions.rows import NO_FIELDS, ImpressionRow, Teaching, offset_behind
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import CAPACITY, UNPLACED, Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import (
    CLICKS,
    OPEN,
    TURNED,
    UNLABELLED,
    WAITING,
    ImpressionState,
    first_of,
    is_one_of,
)
from nonzero_service.impressions.unpacking import (
    Part,
    Records,
    probabilities_of,
    times_of,
    unpacked,
)
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.impressions.waiting_labels import WaitingLabel, WaitingLabels
from nonzero_service.journal.errors import StorageError

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""

RIPE: Final = 3.0
"""So many mean delays after its prediction an impression has its click, if it ever has one: of exponential
delays 95 in 100 have come then."""

ENOUGH_DELAYS: Final = 30
"""Of so many labels a mean delay is taken; before, an impression is ripe when its window has ended."""

FEW_DELAYS: Final = 1000

GAPS: Final = 20
GAP_MS: Final = 1000
"""A shorter time between labels is no gap: they come in bulk, or all the time."""

WORDS_A_READ: Final = 1 << 13
"""So many words of a row cost as much as another read of it does."""

MANY: Final = 64
"""So many predictions of one request say by their first what the usual fields are."""

MOST_FIELDS: Final = 1 << 12
"""So many fields are written once for a row at most: they stay in memory."""

UNREAD_SECONDS: Final = 60.0
"""For so long a row that cannot be read is tried again."""

SPANS: Final = 128
"""By such a part of a window the impressions of one row differ in time, no more: it has one time for all, the
last, so that their windows end so much later at most, or twice that."""

PASSING: Final = 1000
"""By so many milliseconds one thread's reading of the clock may be later than another's."""

PartReader = Callable[[int, int, int], bytes]
"""Returns some bytes of the body of the journal's row at a position: from an offset on, so many."""


class Kept(NamedTuple):
    """Impressions that were entered."""

    row: ImpressionRow
    begins: bool
    """Whether they begin a row of the journal: none reaches from one segment into the next, nor takes
    impressions whose times are far apart, as it has one time for all."""


class ImpressionStore:
    """The impressions of one model.

    The committer changes it; any thread may ask. Times are the journal's clock, in milliseconds since 1970.

    Parameters
    ----------
    rules
        Windows, thinning, and when is learned.
    read
        Reads the journal.
    """

    def __init__(self, rules: Rules, read: PartReader) -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter()
        """How often each thing happened, in this process."""
        self.updates: Counter[Verdict] = Counter()
        """How many examples of updates were labels of impressions, by what they met, in this process."""
        self.delays: deque[int] = deque(maxlen=DELAYS)
        """Milliseconds from prediction to label, of the last labels that came to something."""
        self.lock = threading.RLock()
        self.changes = 0
        """How often something of it has changed, or what had changed was undone."""
        self.early = EarlyLabels()
        self.watermark_ms: int | None = None
        """The event time that the topics have reached which impressions or labels come from; None where they
        come from none: see :class:`~nonzero_service.impressions.event_clock.EventClock`."""
        self.segments = Segments()
        self.next_number = 0
        """The number of the next impression that is kept."""
        self.ended = 0
        """The windows of all impressions before this number have been ended."""
        self.ends_from_ms = 0
        """Before this time no window ends: labels that wait since the service was down have their chance."""
        self.delays_told = 0
        """How many delays there were in this process."""
        self.mean_delay_ms = 0.0
        """Mean delay of about the last thousand labels."""
        self.label_ms = 0
        """When the last label came, or the process started."""
        self.label_number = 0
        """The number of the first impression since."""
        self.gaps: deque[int] = deque(maxlen=GAPS)
        """Milliseconds of the last gaps of a second and more between labels."""
        self.gate = Gate()
        """Says how many impressions are learned from at once."""
        self.next_taught = 0
        """The number of the first impression that waits for its turn, where they are learned from at once."""
        self._read = read
        self._last_ms = 0
        self._row_ms = 0  # the time of the first impression of the row that is being made
        self._held: list[References] = []  # of examples that are held, since learning paused
        self._late: list[int] = []  # delays that are not told yet
        self._undo: list[Callable[[], object]] = []
        self.waiting_labels = WaitingLabels(self._undo.append)
        """Labels of topics that came before their impressions."""
        self._unplaced: dict[tuple[int, int], ImpressionRow] = {}  # by the segment's first number, and row
        self._recent = RecentRows()
        self._usual = NO_FIELDS
        self._unread: dict[int, float] = {}  # since when rows could not be read, by their positions

    # -- asked by any thread ---------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many wait for their label."""
        with self.lock:
            return self.segments.number_of(*UNLABELLED)

    @property
    def waiting_count(self) -> int:
        """How many wait for clicks before they are learned from, where that is done at once."""
        with self.lock:
            return self.segments.number_of(*WAITING) if self.rules.negatives == "at_once" else 0

    @property
    def ripe_ms(self) -> float | None:
        """After how many milliseconds most clicks have come; None where too few delays are known."""
        return RIPE * self.mean_delay_ms if self.delays_told >= ENOUGH_DELAYS else None

    def clicks_of_ended(self, size: int, now_ms: int) -> NDArray[np.int64]:
        """Count the clicks, in their windows, of each `size` impressions in a row whose windows have ended.

        Parameters
        ----------
        size
            How many are counted together: those whose numbers, divided by it, are alike.
        now_ms
            The journal's clock.

        Returns
        -------
        int64[n]
            Of each group that is whole, in the order in which they were predicted.
        """
        with self.lock:
            return self.segments.clicks(size, now_ms - self.rules.attribution_ms)

    def met(self, names: Sequence[str | None]) -> NDArray[np.intp]:
        """Return the rows, in order, whose id is that of an impression which can be used, as hashes tell.

        That is quick, and reads nothing: for updates, of which most are no labels.

        Parameters
        ----------
        names
            Of each row its id; None or empty for none.
        """
        if not self.segments:
            return np.empty(0, np.intp)
        ids = Ids.of(names)
        rows = named_rows(ids)
        hashes = hashes_of(ids, rows)
        with self.lock:
            numbers = self.segments.find(hashes)
            found = np.flatnonzero(numbers >= 0)
            usable = self.segments.states(numbers[found]) != ImpressionState.DAMAGED
        those: NDArray[np.intp] = rows[found[usable]]
        return those

    def needed_from(self) -> int | None:
        """Return the first position of the journal that is of use; None where none is."""
        with self.lock:
            placed = (int(one.positions[0]) for one in self.segments if one.rows)
            first = next((position for position in placed if position != UNPLACED), None)
            needed = [one for one in (first, self.waiting_labels.needed_from) if one is not None]
            return min(needed, default=None)

    def not_after(self, now_ms: int, by_ms: int = 0) -> None:
        """Take back the times of impressions that are after the journal's clock: it has been set back.

        Parameters
        ----------
        now_ms
            The journal's clock.
        by_ms
            By how much it was set back, where that is known.
        """
        with self.lock:
            if self._last_ms > now_ms + PASSING:
                self.segments.mend_times(now_ms, by_ms)
                self._last_ms = now_ms
            self.ends_from_ms = min(self.ends_from_ms, now_ms + self.rules.attribution_ms)

    # -- changes: noted, and then kept or undone -------------------------------------------------------

    def undo(self, mark: int = 0) -> None:
        """Undo what was noted since a :attr:`mark`, or all that was not kept."""
        with self.lock:
            while len(self._undo) > mark:
                self._undo.pop()()
            self.changes += 1

    @property
    def mark(self) -> int:
        """How much was noted, to undo what comes after."""
        return len(self._undo)

    def keep(
        self,
        placed: Sequence[tuple[ImpressionRow, int]] = (),
        held: Sequence[References] = (),
        source: int | None = None,
    ) -> None:
        """Let what was noted stand.

        Parameters
        ----------
        placed
            The rows that the journal has taken, in which all stand that were entered; and their positions.
        held
            Which impressions examples were that are held.
        source
            The position of the row that tells of the labels that wait; None where there is none.
        """
        with self.lock:
            for key in self._unplaced:
                segment = next(one for one in self.segments if one.first == key[0])
                segment.rows = min(segment.rows, key[1])
            self._unplaced.clear()
            self._recent.forget(self.next_taught)
            for row, position in placed:
                self._place(row, position, mended=True)
                if self.rules.negatives == "at_once" and row.first >= self.next_taught:
                    self._recent.keep(row, position)
            self._held += held
            if source is not None:
                self.waiting_labels.place(source)
            if self._late:
                self.delays_told += len(self._late)
                share = len(self._late) / max(min(self.delays_told, FEW_DELAYS), len(self._late))
                self.mean_delay_ms += (sum(self._late) / len(self._late) - self.mean_delay_ms) * share
            self.delays.extend(self._late)
            self._late.clear()
            self._undo.clear()
            self.changes += 1

    # What undoes a change is noted before it: an error in between must leave nothing half done.

    def count(self, told: Mapping[Any, int]) -> None:
        """Count what happened."""
        self._add(self.counts, told)

    def set(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        """Note what has become of impressions."""
        before = self.segments.states(numbers)
        self._undo.append(lambda: self.segments.set(numbers, before))
        self.segments.set(numbers, states)

    def set_ended(self, number: int) -> None:
        """Note that the windows of all impressions before this number have been ended."""
        before = self.ended
        self._undo.append(lambda: setattr(self, "ended", before))
        self.ended = number

    def labelled(self, verdicts: Sequence[Verdict], delays: NDArray[np.int64], now_ms: int) -> None:
        """Note what labels met, and how late those were that came to something, in milliseconds."""
        self.count(Counter(verdicts))
        before = len(self._late)
        self._undo.append(lambda: self._late.__delitem__(slice(before, None)))
        self._late += delays.tolist()
        if delays.size:
            self.label_came(now_ms)

    def label_came(self, now_ms: int) -> None:
        """Note when the last label came."""
        if now_ms - self.label_ms >= GAP_MS:
            self.gaps.append(now_ms - self.label_ms)
        self.label_ms, self.label_number = now_ms, self.next_number

    def let_wait(self, hashes: NDArray[np.uint64], labels: Sequence[WaitingLabel]) -> list[WaitingLabel]:
        """Let labels wait for their impressions; return those that wait from now on.

        One of an id for which another waits is held against that.
        """
        new, met, gone = self.waiting_labels.add(hashes, labels)
        self.count(Counter(met))
        self.count({"waited": len(new), "unknown": gone, "waited_in_vain": gone})
        return new

    def reach(self, watermark_ms: int) -> None:
        """Note the event time that topics have reached; it never goes back."""
        before = self.watermark_ms
        self._undo.append(lambda: setattr(self, "watermark_ms", before))
        self.watermark_ms = max(before or 0, watermark_ms)
        gone = self.waiting_labels.expire(self.watermark_ms - self.rules.wait_ms)
        if gone:
            self.count({"unknown": gone, "waited_in_vain": gone})

    def updated(self, verdicts: Sequence[Verdict]) -> None:
        """Note what the labels among an update's examples met."""
        self._add(self.updates, Counter(verdicts))

    def _add(self, counts: Counter[Any], told: Mapping[Any, int]) -> None:
        before = {name: counts[name] for name in told}
        self._undo.append(lambda: counts.update({name: n - counts[name] for name, n in before.items()}))
        counts.update(told)

    def set_next_taught(self, number: int) -> None:
        """Note that all impressions before this number have had their turn."""
        before = self.next_taught
        self._undo.append(lambda: setattr(self, "next_taught", before))
        self.next_taught = number

    def note_gate(self) -> Gate:
        """Return the gate, to be moved: where it was is noted."""
        before = self.gate.sums.copy()
        self._undo.append(lambda: self.gate.sums.__setitem__(slice(None), before))
        return self.gate

    def enter(self, predictions: PredictedRows, times: NDArray[np.int64] | None = None) -> list[Kept]:
        """Enter predictions whose ids are not known yet; what follows from the others is nothing.

        Parameters
        ----------
        predictions
            The predictions.
        times
            int64[k]: when each of their `rows` was made, of those of a topic; None: all at their time.

        Returns
        -------
        list[Kept]
            What is new, as rows that teach now or later.
        """
        with self.lock:
            parts = [predictions] if times is None else parts_by_time(predictions, times, self._span_ms)
            return [kept for part in parts for kept in self._enter_part(part)]

    def _enter_part(self, predictions: PredictedRows) -> list[Kept]:
        """Enter predictions that were made at one time."""
        kept: list[Kept] = []
        self._last_ms = max(self._last_ms, predictions.time_ms)
        predictions = predictions._replace(time_ms=self._last_ms)
        size, start, entered = predictions.rows.size, 0, 0
        while start < size:
            segment = self._room()
            stop = min(start + CAPACITY - segment.used, size)
            part = predictions.part(start, stop)
            for other in self.segments:
                if other is not segment:
                    part.fresh[other.find(part.hashes) >= 0] = 0
            begins = segment.used == 0 or self._last_ms - self._row_ms > self._span_ms
            if begins:
                self._row_ms = self._last_ms
            row = self._enter(segment, part)
            if row.stops.size:
                kept += self._admitted(row, begins)
            entered, start = entered + row.stops.size, stop
        self.count(
            {"early": self.early.take(predictions.hashes), "kept": entered, "repeated": size - entered}
        )
        return kept

    @property
    def _span_ms(self) -> int:
        return self.rules.attribution_ms // SPANS

    def _admitted(self, row: ImpressionRow, begins: bool) -> list[Kept]:
        """Say which impressions of a row are learned from now: the first ones, where none wait already."""
        if self.rules.negatives != "at_once" or self.next_taught < row.first:
            return [Kept(row, begins)]
        n = row.stops.size
        count = self.note_gate().drain(row.numbers, np.zeros(n, np.uint8), 0, 0).size
        if not count:
            return [Kept(row, begins)]
        now = row.part(0, count, Teaching.NOW)
        self.set(now.numbers, now.states)
        self.set_next_taught(row.first + count)
        return [Kept(now, begins), *([Kept(row.part(count, n, Teaching.LATER), False)] if count < n else [])]

    def _enter(self, segment: Segment, part: PredictedRows) -> ImpressionRow:
        used, rows, number = segment.used, segment.rows, self.next_number
        key = segment.first, rows

        def withdraw() -> None:
            segment.withdraw(used, rows)
            self.next_number = number
            self._unplaced.pop(key, None)

        self._undo.append(withdraw)
        usual = self._usual_of(part)
        segment.add_row(used, part.time_ms, np.nan, usual)
        count = segment.enter(part.hashes, part.fresh)
        stops = np.empty(count, np.int64)
        words = packed(part, stops, usual)
        if 2 * words.nbytes < size_of_records(
            part
        ):  # room was taken for all of a batch that this is a part of
            words = words.copy()
        row = ImpressionRow(
            segment.first + used,
            self.rules.negative_rate,
            Teaching.LATER,
            words,
            stops,
            segment.hashes[used : used + count].copy(),
            usual,
        )
        if not count:
            withdraw()
            return row
        place = slice(used, used + count)
        segment.stops[place] = stops
        segment.states[place] = row.states
        segment.probabilities[place] = probabilities_of(words, row.starts)
        self.next_number = segment.next
        self._unplaced[key] = row
        return row

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
        segment = self.segments[-1] if self.segments else None
        if segment is not None and segment.used < CAPACITY and segment.next == self.next_number:
            quarter = (self.rules.attribution_ms + self.rules.correction_ms) // 4
            if not segment.rows or self._last_ms - int(segment.times[0]) <= quarter:
                return segment
        segment = Segment(self.next_number)
        self.segments.append(segment)
        return segment

    def _place(self, row: ImpressionRow, position: int, *, mended: bool) -> None:
        """Note where a row stands, which those stand in that were entered.

        `mended`: its time is no earlier than that of the one before, wherever the clock was set back.
        """
        segment = next(one for one in self.segments if one.first <= row.first < one.next)
        place, time_ms = row.first - segment.first, int(times_of(row.words, row.starts[-1:])[0])
        if mended and segment.rows:
            time_ms = max(time_ms, int(segment.times[-1]))
        rate = row.rate if row.teaching else np.nan
        segment.add_row(place, time_ms, rate, row.usual, position)
        segment.stops[place : place + row.stops.size] = row.stops

    # -- reading ---------------------------------------------------------------------------------------

    def records(self, numbers: NDArray[np.int64], *, ids: bool = False) -> Records:
        """Read the records of impressions, in their order, with their ids where those are wanted.

        Those whose row could not be read for a minute are taken for damaged, so that others have their turn.

        Raises
        ------
        StorageError
            Where a row cannot be read, and it could a minute ago.
        """
        order = np.argsort(numbers, kind="stable")
        in_order = numbers[order]
        parts: list[Part] = []
        for segment, which in self.segments.parts(in_order):
            rows, first, stop = segment.spans(in_order[which] - segment.first)
            cuts = np.flatnonzero(rows[1:] != rows[:-1]) + 1
            for start, end in pairwise([0, *cuts.tolist(), rows.size]):
                parts += self._parts(segment, int(rows[start]), first[start:end], stop[start:end])
        found = unpacked(parts, ids=ids)
        if (in_order == numbers).all():
            return found
        back = np.empty(order.size, np.intp)
        back[order] = np.arange(order.size)
        return found.chosen(back)

    def _parts(
        self, segment: Segment, row: int, first: NDArray[np.int64], stop: NDArray[np.int64]
    ) -> list[Part]:
        """Return where the records between some words of a row are found, which are in order."""
        sizes = stop - first
        there, usual = self._in_memory(segment, row), segment.usual[row]
        if there is not None:
            return [Part(there, first, sizes, usual)]
        begin, end = int(first[0]), int(stop[-1])
        if end - begin <= max(2 * int(sizes.sum()), WORDS_A_READ * sizes.size):
            return [Part(self._words(segment, row, begin, end), first - begin, sizes, usual)]
        return [
            Part(self._words(segment, row, one, end), np.zeros(1, np.int64), np.full(1, end - one), usual)
            for one, end in zip(first.tolist(), stop.tolist(), strict=True)
        ]

    def _in_memory(self, segment: Segment, row: int) -> NDArray[np.uint32] | None:
        """Return the words of a row, where they need not be read."""
        there = self._unplaced.get((segment.first, row))
        if there is not None:
            return there.words
        return self._recent.words(int(segment.positions[row]))

    def _words(self, segment: Segment, row: int, begin: int, end: int) -> NDArray[np.uint32]:
        """Read some words of a row: zeros, which no record's checksum is right for, where it cannot be."""
        position = int(segment.positions[row])
        try:
            data = self._read(position, offset_behind(segment.usual[row]) + 4 * begin, 4 * (end - begin))
        except (NonzeroError, OSError) as error:
            now = time.monotonic()
            if now - self._unread.setdefault(position, now) <= UNREAD_SECONDS:
                raise StorageError(f"impressions cannot be read: {error}") from error
            data = b""
        return np.frombuffer(data.ljust(4 * (end - begin), b"\0"), np.uint32)

    # -- what the journal's rows say, at a start -------------------------------------------------------

    def enter_row(self, row: ImpressionRow, position: int) -> None:
        """Enter what a row of the journal keeps."""
        if not row.stops.size:
            return
        self._usual = self._shared(row.usual)
        row = row._replace(usual=self._usual)
        self.next_number = row.first
        self._last_ms = int(times_of(row.words, row.starts[-1:])[0])
        segment = self._room()
        if segment.used + row.stops.size > CAPACITY:
            segment = Segment(row.first)
            self.segments.append(segment)
        used = segment.used
        fresh = np.ones(row.stops.size, np.uint8)
        if segment.enter(row.hashes, fresh) != row.stops.size:  # two alike: damage
            segment.hashes[used : used + row.stops.size] = row.hashes
            segment.used = used + row.stops.size
        place = slice(used, segment.used)
        segment.states[place] = row.states
        segment.probabilities[place] = probabilities_of(row.words, row.starts)
        self.next_number = segment.next
        self._place(row, position, mended=False)
        if self.waiting_labels.take(row.hashes):
            self._undo.clear()  # the journal has it
        if row.teaching != Teaching.LATER:
            self.gate.replay(row.numbers, np.zeros(row.stops.size, np.bool_), 0)
        if row.teaching == Teaching.HELD:
            self.hold(row.negatives()[1])

    def seen(self, references: References) -> None:
        """Take over from a row of the journal what has become of impressions."""
        references = references.known
        numbers = references.numbers
        same = self.segments.hashes_of(numbers) == references.hashes
        numbers, states = numbers[same], references.states[same]
        if self.rules.negatives == "at_once":
            before = self.segments.states(numbers)
            passed = is_one_of(before, WAITING) & ~is_one_of(states, WAITING)
            corrections = is_one_of(states, CLICKS) & is_one_of(before, TURNED)
            self.gate.note_clicked(numbers[is_one_of(states, CLICKS)])
            self.gate.replay(numbers[passed], is_one_of(states[passed], CLICKS), int(corrections.sum()))
        self.segments.set(numbers, states)

    def enter_source(self, watermark_ms: int | None, labels: Sequence[WaitingLabel], position: int) -> None:
        """Enter what a row of the journal tells of topics: how far they are, and which labels wait.

        Those wait no more whose impressions came in the same group.
        """
        if labels:
            ids = Ids.of([one.id for one in labels])
            hashes = hashes_of(ids, np.arange(len(ids)))
            waits = self.segments.find(hashes) < 0
            self.waiting_labels.add(
                hashes[waits],
                [one for one, still in zip(labels, waits.tolist(), strict=True) if still],
                position,
            )
        if watermark_ms is not None:
            self.watermark_ms = max(self.watermark_ms or 0, watermark_ms)
            self.waiting_labels.expire(self.watermark_ms - self.rules.wait_ms)
        self._undo.clear()  # the journal has it

    def read_no_topics(self) -> None:
        """Take note that neither impressions nor labels come from topics: what waits for them is given up."""
        with self.lock:
            self.watermark_ms = None
            gone = self.waiting_labels.clear()
            self.count({"unknown": gone, "waited_in_vain": gone})
            self._undo.clear()

    def hold(self, references: References) -> None:
        """Note that examples are held which these impressions were."""
        self._held.append(references.known)

    def resume(self, *, discard: bool) -> None:
        """Note that nothing is held any more; what is discarded was never learned from."""
        with self.lock:
            held, self._held = self._held, []
            for references in held if discard else ():
                numbers = references.numbers
                states = self.segments.states(numbers)
                mine = self.segments.hashes_of(numbers) == references.hashes
                for was, becomes in (
                    (ImpressionState.EXPIRED, ImpressionState.THINNED),
                    (ImpressionState.LEARNED, ImpressionState.UNTAUGHT),
                ):
                    undone = numbers[mine & (states == was)]
                    self.segments.set(undone, np.full(undone.size, becomes, np.uint8))
            self.changes += 1

    def settle(self, now_ms: int, grace_ms: int) -> None:
        """Take note that all rows have been seen: windows end from now on, after a grace."""
        with self.lock:
            self.segments.mend_times(self._last_ms)
            self.ended = self.segments[0].first if self.segments else self.next_number
            waiting = self.waiting(1)
            self.next_taught = int(waiting[0]) if waiting.size else self.next_number
            self.ends_from_ms = now_ms + grace_ms
            self.label_ms, self.label_number = now_ms, self.next_number

    # -- turns, and ends -------------------------------------------------------------------------------

    def waiting(self, limit: int) -> NDArray[np.int64]:
        """Return int64[n]: the numbers of the first impressions that wait for their turn, so many at most."""
        found = [np.empty(0, np.int64)]
        for one in self.segments:
            if one.next > self.next_taught and limit > 0:
                start = max(self.next_taught - one.first, 0)
                places = first_of(one.states, start, one.used, WAITING, limit)
                found.append(places + one.first)
                limit -= places.size
        return np.concatenate(found)

    def windows_ended(self, now_ms: int) -> int:
        """Return the number before which all windows have ended."""
        return (
            0 if now_ms < self.ends_from_ms else self.segments.made_until(now_ms - self.rules.attribution_ms)
        )

    def had_their_chance(self, now_ms: int) -> int:
        """Return the number before which all impressions have had the chance of a click.

        Their window has ended; or clicks of newer ones have come, and they are older than three mean delays.
        """
        ended = self.windows_ended(now_ms)
        if self.ripe_ms is None:
            return ended
        ripe = self.segments.made_until(now_ms - round(self.ripe_ms))
        return max(ended, min(ripe, self.gate.newest_clicked + 1))

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
        segment = next((one for one in self.segments if one.next > self.ended), None)
        if segment is None or now_ms < self.ends_from_ms:
            return None
        start = max(self.ended - segment.first, 0)
        stop = segment.made_until(now_ms - self.rules.attribution_ms)
        if stop <= start:
            return None
        places = first_of(segment.states, start, stop, OPEN, limit)
        if places.size == limit:
            stop = int(places[-1]) + 1
        return places + segment.first, segment.first + stop

    def reached(self, now_ms: int, latest_ms: int | None = None) -> tuple[int, ...]:
        """Return how far windows have come: while it is the same, and no row comes, there is nothing to end.

        Times that are after the journal's clock are taken back (:meth:`not_after`).

        Parameters
        ----------
        now_ms
            The clock that windows end by.
        latest_ms
            The journal's clock; None where that is the same.
        """
        with self.lock:
            self.not_after(now_ms if latest_ms is None else latest_ms)
            return self.windows_ended(now_ms), self.had_their_chance(now_ms), len(self._useless(now_ms))

    def forget(self, now_ms: int) -> int:
        """Forget the segments that are of no more use; return how many."""
        with self.lock:
            gone = self._useless(now_ms)
            for one in gone:
                self.segments.remove(one)
            self.changes += 1
        return len(gone)

    def _useless(self, now_ms: int) -> list[Segment]:
        """Return the segments that are of no more use."""
        last = now_ms - self.rules.attribution_ms - 2 * self.rules.correction_ms
        unplaced = {first for first, _ in self._unplaced}  # a group of a backlog may last that long
        return [
            one
            for one in self.segments
            if one.next <= self.ended
            and one.first not in unplaced
            and (not one.rows or int(one.times[-1]) < last)
        ]
