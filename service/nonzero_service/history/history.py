"""The history of one model: points of its stream as it learns, kept on disk now and then.

The learner tells of each group of examples before it learns from them, which costs three comparisons. When a
second is over, or a block of the learning curve, the model's cumulative figures become a point. All that the
history knows is made of such points, so whatever of them is lost, its rows add up to the model's own figures.

A start reads rows of the journal again that the last snapshot does not hold. They are told of here with the
times that they have, and what is on disk already is passed over. So a kill takes nothing and counts nothing
twice.

Nothing depends on the history. Where the disk refuses it, that is said once, and learning goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from nonzero import LogisticRegression
from nonzero_service.history.clock_steps import ClockSteps
from nonzero_service.history.curve import Curve
from nonzero_service.history.events import Event, event_of, event_read, text_of
from nonzero_service.history.kept_file import SERIES
from nonzero_service.history.kept_records import Found, KeptRecords, nothing
from nonzero_service.history.points import (
    NO_TOTALS,
    Point,
    Totals,
    difference_of,
    point_of,
    shares_of,
    sum_of,
    totals_of,
)
from nonzero_service.history.recent_seconds import SECOND, RecentSeconds
from nonzero_service.history.step_records import (
    StepRecords,
    records_of_blocks,
    records_of_clock,
    records_of_seconds,
)
from nonzero_service.history.watching import ShiftWatch
from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import JournalRow
from nonzero_service.writer.sequences import sequence_of


class History:
    """The history of one model.

    Parameters
    ----------
    path
        The file that it is kept in; it is opened when there is something to read or write.
    name
        The model's, for the log.
    event
        Returns the event that a row of the journal is for this model; None where it is none.
    """

    def __init__(
        self, path: Path, name: str, event: Callable[[JournalRow], tuple[str, str] | None] = event_of
    ) -> None:
        self._event_of = event
        self.is_new = False
        """Whether the model is made in this process: no start is told of."""
        self._kept = KeptRecords(path, name)
        self._lock = threading.Lock()
        self._loaded = False
        self._replaying = True
        self._reached = 0  # the model's position when a start had read all
        self._opened = time.time_ns() // 1_000_000
        # The second that is being counted, and how many examples make that there is something else to do.
        self._second, self._until, self._edge = 0, 0, 0
        self._forget()

    def _forget(self) -> None:
        self._seconds = RecentSeconds()
        self._steps = ClockSteps(self._kept)
        self._curve = Curve()
        self._offset = NO_TOTALS
        self._last = Point(0, 0, 0, 0, NO_TOTALS)
        self._events = self._beginnings = -1
        self._watch: ShiftWatch | None = None
        self._begun = 0
        self._told_start = False
        self.began_ms = self._opened
        """When the history began, in milliseconds since 1970."""

    # -- on the thread that learns -------------------------------------------------------------------------

    def learning(
        self, model: LogisticRegression, position: int, time_ms: int, impressions: Callable[[], bool]
    ) -> None:
        """Take note of examples that are about to be learned from.

        Parameters
        ----------
        model
            The model as it is before.
        position
            The last row of the journal that it has learned from.
        time_ms
            The time of their row.
        impressions
            Returns whether they may be impressions: the order of their labels says nothing of predictions.
        """
        if not self._second <= time_ms < self._until or model.examples >= self._edge:
            incidentally(self._turn, model, position, time_ms, impressions)

    def changed(self, model: LogisticRegression, row: JournalRow) -> None:
        """Take note of a row of the journal that has been applied and is no batch, or pauses learning."""
        incidentally(self._change, model, row)

    def capture(self, model: LogisticRegression, position: int, time_ms: int) -> None:
        """Take note of all that the model has learned until now."""
        with self._lock:
            if not self._loaded and not model.examples:
                return  # a look makes no history
            if self._load(model, position, time_ms) and not self._passes_over(position):
                self._count(model, position, time_ms)

    def promoted(self, new: LogisticRegression, old: LogisticRegression, position: int, time_ms: int) -> None:
        """Go on with another model's figures, in the place of those of the one before.

        To be called when the row at `position` has put the other in its place, live and as it is read again.
        The event is told by :func:`~nonzero_service.history.events.event_of`.

        Parameters
        ----------
        new
            The model that goes on.
        old
            The one before, as it was then.
        position, time_ms
            The row's.
        """
        incidentally(self._promote, new, old, position, time_ms)

    def _promote(self, new: LogisticRegression, old: LogisticRegression, position: int, time_ms: int) -> None:
        with self._lock:
            if not self._load(old, position - 1, time_ms) or position <= self._last.position:
                return
            self._count(old, position, time_ms)
            if self._last.position < position:  # nothing has come since the last point
                self._last = self._last._replace(position=position, time=self._last.time or time_ms)
                self._steps.add(self._last)
            self._begin(position, time_ms, difference_of(self._last.totals, totals_of(new)))
            self._watch, self._edge = None, 0

    def tell(self, model: LogisticRegression, kind: str, text: str, *, position: int, time_ms: int) -> None:
        """Add an event that no row of the journal says: those are told by :meth:`changed`."""
        with self._lock:
            if self._load(model, position, time_ms):
                self._tell(Event(position, time_ms, sequence_of(model), kind, text))

    def _tell(self, event: Event) -> None:
        self._events += 1
        self._kept.put("events", self._events, event.packed(self._events))

    def _turn(
        self, model: LogisticRegression, position: int, time_ms: int, impressions: Callable[[], bool]
    ) -> None:
        with self._lock:
            if not self._load(model, position, time_ms) or self._passes_over(position):
                return  # the next row may be the first that is new
            if sequence_of(model) != self._last.sequence:
                self._count(model, position, time_ms)
            if not self._told_start and not self._replaying:
                self._told_start = True
                text = "the service was started"
                self._tell(Event(position, self._opened, sequence_of(model), "start", text))
            self._second = time_ms // SECOND * SECOND
            self._until = self._second + SECOND
            self._begun = time_ms
            self._look(model, position, time_ms, impressions())

    def _passes_over(self, position: int) -> bool:
        """Whether what the model has learned is known already: a start reads rows again."""
        return self._replaying and position < self._last.position

    def _count(self, model: LogisticRegression, position: int, time_ms: int) -> None:
        """Make a point of what was learned in the second that is being counted."""
        totals = sum_of(totals_of(model), self._offset)
        if totals[0] <= self._last.totals[0]:
            return
        end = min(max(time_ms, self._second), self._until - 1) if self._until else time_ms
        self._add(Point(position, self._begun or end, end, sequence_of(model), totals, shares_of(model)))

    def _add(self, point: Point) -> None:
        last, self._last = self._last, point
        self._seconds.add(last, point)
        self._steps.add(point)
        before, known = self._curve, len(self._curve.kept)
        self._curve = curve = before.add(point)
        for number in range(known if curve is before else 0, len(curve.kept)):
            self._kept.put("examples", number, curve.point(number).packed(number, curve.width))

    def _look(self, model: LogisticRegression, position: int, time_ms: int, impressions: bool) -> None:
        """Look whether predictions have got worse, and note when there is something to do next."""
        watch = self._watch = self._watch or ShiftWatch(model)
        if impressions:
            watch.skip(model)
        elif (shift := watch.look(model)) is not None:
            kind, text = text_of(shift)
            sequence = shift.examples + sequence_of(model) - model.examples
            self._tell(Event(position, self._time_at(sequence, time_ms), sequence, kind, text))
        counted = model.examples + self._offset[0]
        self._edge = model.examples + min(self._curve.edge - int(counted), watch.edge - model.examples)

    def _time_at(self, sequence: int, time_ms: int) -> int:
        """Return when the model had learned from so many examples, about."""
        points = self._curve.points
        for point in reversed(points):
            if point.sequence <= sequence:
                return min(point.time, time_ms)
        return min(points[0].begun, time_ms) if points else time_ms

    def _change(self, model: LogisticRegression, row: JournalRow) -> None:
        found = self._event_of(row)
        # A start that reads a promotion again tells of it with the model of before.
        position = row.position - (row.kind == "promotion")
        with self._lock:
            if not self._load(model, position, row.time_ms) or found is None:
                return
            if not self._replaying or row.position > self._last.position:
                self._tell(Event(row.position, row.time_ms, sequence_of(model), *found))

    # -- what is on disk -----------------------------------------------------------------------------------

    def _load(self, model: LogisticRegression, position: int, time_ms: int) -> bool:
        """Read what was kept, when there is something to add to it or to tell; return whether it is known."""
        if self._loaded:
            return True
        kept = self._kept.read()
        if kept is None:
            return False
        self._loaded = True
        self._take(kept)
        own = totals_of(model)
        if not self._replaying and self._last.position > self._reached:
            self._cut(self._reached, kept)
        behind = any(
            a + b < c * (1 - 1e-9) for a, b, c in zip(own, self._offset, self._last.totals, strict=True)
        )
        if self._beginnings < 0 or (behind and not self._passes_over(position)):
            if any(map(len, kept.values())):
                self._kept.say("the history was damaged, or of another model, and begins anew")
                self._kept.begin_anew()
            self._restart(position, time_ms, own, sequence_of(model))
        return True

    def _restart(self, position: int, time_ms: int, own: Totals, sequence: int) -> None:
        """Begin a history: what the model has learned until now is not in it."""
        self._forget()
        self._take(nothing())
        self._begin(position, time_ms, difference_of(NO_TOTALS, own))
        self.began_ms = time_ms
        self._told_start = self.is_new or not self._replaying
        examples = int(own[0])
        text = "the model begins to learn"
        if examples:
            text = f"the history begins; the model had learned from {examples:,} examples before"
        self._tell(Event(position, time_ms, sequence, "start", text))

    def _begin(self, position: int, time_ms: int, offset: Totals) -> None:
        """From here on so much is added to the model's figures."""
        self._offset = offset
        self._beginnings += 1
        point = Point(position, time_ms, time_ms, 0, offset)
        self._kept.put("beginnings", self._beginnings, point.packed(self._beginnings))

    def _take(self, kept: Found) -> None:
        """Go on from what was kept."""
        self._last = self._steps.take(kept, self._last)
        beginnings = kept["beginnings"]
        if len(beginnings):
            counted = beginnings[beginnings["position"] <= self._last.position]
            beginning = counted[-1] if len(counted) else beginnings[0]
            self._beginnings, self._offset = int(beginning["number"]), point_of(beginning).totals
            self.began_ms = int(beginnings["time"][0])
        if len(kept["events"]):
            self._events = int(kept["events"][-1]["number"])
        blocks = kept["examples"]
        if len(blocks):
            width = int(blocks["width"].max())
            self._curve = Curve(width, [point_of(one) for one in blocks if one["width"] == width])

    def _cut(self, position: int, kept: Found) -> None:
        """Take out what is later than the model: a power cut, or a restored backup, took rows from it."""
        self._kept.say("the history was ahead of the model, and is cut")
        self._forget()
        cut = {name: found[found["position"] <= position] for name, found in kept.items()}
        self._kept.begin_anew(cut)
        self._take(cut)

    def replayed(self, model: LogisticRegression, position: int) -> None:
        """Take note that a start has read all rows again; what is later than the model never was."""
        with self._lock:
            if self._loaded and self._until and not self._passes_over(position):
                self._count(model, position, self._until)
            self._replaying, self._reached = False, position
            if self._loaded and self._last.position > position:
                self._cut(position, {name: self._kept.all(name) for name in SERIES})
            self._edge = 0

    @property
    def is_unsaved(self) -> bool:
        """Whether there is something that is not on disk."""
        return self._kept.is_unsaved

    def save(self) -> bool:
        """Write what is not on disk yet; return whether it could be. From any thread."""
        return self._kept.save()

    def rest(self, now_ms: int) -> None:
        """Let go of seconds that are of more than 15 minutes ago."""
        with self._lock:
            self._seconds.rest(now_ms, self._last.time)

    # -- who asks ------------------------------------------------------------------------------------------

    def records(self, step: str) -> StepRecords:
        """Return what is known for a step: ``second``, ``minute``, ``hour``, ``day`` or ``examples``.

        To be asked after :meth:`capture`. From any thread.
        """
        with self._lock:
            seconds, curve, last = self._seconds.kept, list(self._curve.kept), self._last
        events = {
            (one.kind, one.position, one.sequence): one for one in map(event_read, self._kept.all("events"))
        }
        told = list(events.values())
        if step == "examples":
            return records_of_blocks(curve, last, told)
        if step == "second":
            return records_of_seconds(seconds, last, told)
        return records_of_clock(step, self._kept.all(step), last, told)
