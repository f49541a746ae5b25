"""The store of a model's impressions: what was predicted with an id, found again by it.

It is in memory, and is made of the journal's rows at a start: nothing else is kept. Whatever changes it is a
row of the journal, or follows from the clock. So it changes in steps: what a group of rows will say is noted
first, and undone where the journal does not take them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero_service.impressions.early import EarlyLabels
from nonzero_service.impressions.hashes import hashes_of, named_rows
from nonzero_service.impressions.held_examples import HeldExamples
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.label_arrivals import LabelArrivals
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.impressions.record_reader import PartReader, RecordReader
from nonzero_service.impressions.row_builder import EnteredRow, RowBuilder
from nonzero_service.impressions.rows import ImpressionRow
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import UNPLACED, Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import UNLABELLED, WAITING, ImpressionState
from nonzero_service.impressions.undo_log import UndoLog
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.impressions.waiting_impressions import WaitingImpressions
from nonzero_service.impressions.waiting_labels import WaitingLabel, WaitingLabels
from nonzero_service.impressions.windows import Windows


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
        self.lock = threading.RLock()
        self.changes = 0
        """How often something of it has changed, or what had changed was undone."""
        self.watermark_ms: int | None = None
        """The event time that the topics have reached which impressions or labels come from; None where they
        come from none: see :class:`~nonzero_service.impressions.event_clock.EventClock`."""
        self.undo_log = log = UndoLog()
        self.segments = Segments()
        self.builder = RowBuilder(self.segments, rules, log)
        """Enters what was predicted."""
        self.reader = RecordReader(self.segments, self.builder.unplaced, read)
        """Reads what was kept."""
        self.windows = Windows(self.segments, rules, log)
        self.held = HeldExamples(self.segments)
        self.early = EarlyLabels()
        self.arrivals = LabelArrivals(log.append)
        """When labels came."""
        self.waiting_labels = WaitingLabels(log.append)
        """Labels of topics that came before their impressions."""
        self.waiting_impressions = WaitingImpressions(self.segments, self.windows, self.arrivals, log)
        """Those that wait to be learned from."""

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
            self.builder.not_after(now_ms, by_ms)
            self.windows.not_after(now_ms)

    # -- changes: noted, and then kept or undone -------------------------------------------------------

    def undo(self, mark: int = 0) -> None:
        """Undo what was noted since a :attr:`mark`, or all that was not kept."""
        with self.lock:
            self.undo_log.undo(mark)
            self.changes += 1

    @property
    def mark(self) -> int:
        """How much was noted, to undo what comes after."""
        return len(self.undo_log)

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
            self.builder.place(placed)
            next_taught, recent = self.waiting_impressions.next_taught, self.reader.recent
            recent.forget(next_taught)
            for row, position in placed if self.rules.negatives == "at_once" else ():
                if row.first >= next_taught:
                    recent.keep(row, position)
            for references in held:
                self.held.hold(references)
            if source is not None:
                self.waiting_labels.place(source)
            self.arrivals.keep()
            self.undo_log.clear()
            self.changes += 1

    # What undoes a change is noted before it: an error in between must leave nothing half done.

    def count(self, told: Mapping[Any, int]) -> None:
        """Count what happened."""
        self._add(self.counts, told)

    def set(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        """Note what has become of impressions."""
        self.segments.set(numbers, states, self.undo_log)

    def labelled(self, verdicts: Sequence[Verdict], delays: NDArray[np.int64], now_ms: int) -> None:
        """Note what labels met, and how late those were that came to something, in milliseconds."""
        self.count(Counter(verdicts))
        self.arrivals.late(delays.tolist())
        if delays.size:
            self.label_came(now_ms)

    def label_came(self, now_ms: int) -> None:
        """Note when the last label came."""
        self.arrivals.came(now_ms, self.segments.next_number)

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
        self.undo_log.restore(self, "watermark_ms")
        self.watermark_ms = max(self.watermark_ms or 0, watermark_ms)
        gone = self.waiting_labels.expire(self.watermark_ms - self.rules.wait_ms)
        if gone:
            self.count({"unknown": gone, "waited_in_vain": gone})

    def updated(self, verdicts: Sequence[Verdict]) -> None:
        """Note what the labels among an update's examples met."""
        self._add(self.updates, Counter(verdicts))

    def _add(self, counts: Counter[Any], told: Mapping[Any, int]) -> None:
        before = {name: counts[name] for name in told}
        self.undo_log.append(lambda: counts.update({name: n - counts[name] for name, n in before.items()}))
        counts.update(told)

    def enter(self, predictions: PredictedRows, times: NDArray[np.int64] | None = None) -> list[EnteredRow]:
        """Enter predictions whose ids are not known yet; what follows from the others is nothing.

        Parameters
        ----------
        predictions
            The predictions.
        times
            int64[k]: when each of their `rows` was made, of those of a topic; None: all at their time.

        Returns
        -------
        list[EnteredRow]
            What is new, as rows that teach now or later.
        """
        at_once = self.rules.negatives == "at_once"
        entered: list[EnteredRow] = []
        count = 0
        with self.lock:
            for one in self.builder.enter(predictions, times, self.rules.negative_rate):
                count += one.row.stops.size
                entered += self.waiting_impressions.admitted(one) if at_once else [one]
            early, repeated = self.early.take(predictions.hashes), predictions.rows.size - count
            self.count({"early": early, "kept": count, "repeated": repeated})
        return entered

    def read_no_topics(self) -> None:
        """Take note that neither impressions nor labels come from topics: what waits for them is given up."""
        with self.lock:
            self.watermark_ms = None
            gone = self.waiting_labels.clear()
            self.count({"unknown": gone, "waited_in_vain": gone})
            self.undo_log.clear()

    def resume(self, *, discard: bool) -> None:
        """Note that nothing is held any more; what is discarded was never learned from."""
        with self.lock:
            self.held.resume(discard=discard)
            self.changes += 1

    # -- windows ---------------------------------------------------------------------------------------

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
            return (
                self.windows.ended_at(now_ms),
                self.waiting_impressions.had_their_chance(now_ms),
                len(self._useless(now_ms)),
            )

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
        unplaced = {first for first, _ in self.builder.unplaced}
        return self.windows.useless(now_ms, unplaced)
