"""The committer: takes work from the queue of a model, group by group, and makes it durable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression, Schema
from nonzero_service.errors import GivenUpError, NotHeldError
from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.taking_over import TakenOver, take_over
from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import NOTHING_WRITTEN
from nonzero_service.journal.journal import Journal
from nonzero_service.tracing import tracer
from nonzero_service.turns import Turn, Turns
from nonzero_service.writer.entries import resume_entry
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.micro_batch import Meets, MicroBatch
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared, Preparer
from nonzero_service.writer.results import Results
from nonzero_service.writer.source_rows import Notes, check_many, noted_after, source_of
from nonzero_service.writer.work import Applied, Change, CommittedGroup, Outcome, Resume, Rows, Work
from nonzero_service.writer.work_queue import WorkQueue

NO_ROWS: Final = np.empty(0, np.intp)


class Follower(Protocol):
    """What takes what is durable."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits there that nothing more is to be committed."""

    def put(self, group: CommittedGroup | None) -> None:
        """Take a group, or None at the end."""


class Committer:
    """Makes work durable and hands it on, in the order in which the queue gives it.

    What fails before the journal is given a group fails that group. What fails after, whatever it is, ends
    the process: the rows may be there, and nobody must be told otherwise, nor learn past them.

    Parameters
    ----------
    bits
        log2 of the number of slots of the model's table.
    schema
        What the model's fields are.
    journal
        Where the rows go.
    pause
        Whether examples are learned from or held.
    applier
        Takes what is durable, and None at the end.
    turns
        The threads that commit.
    results
        Takes what could not be made durable, and why.
    impressions
        Those of the model; None where there are none.
    noted
        How far topics were read; None where none was.
    """

    def __init__(
        self,
        bits: int,
        schema: Schema,
        journal: Journal,
        pause: PauseState,
        applier: Follower,
        turns: Turns,
        results: Results,
        impressions: ImpressionStore | None = None,
        noted: Notes | None = None,
    ) -> None:
        self.noted = noted
        """How far topics were read, with all that is durable; None where none was."""
        self._noting = noted  # with the group that is being prepared
        self._origins: list[Origin] = []  # of that
        self.queue = WorkQueue()
        """What is put in here is committed, in turn."""
        self.turn = Turn(turns, self._commit_next, self._failed)
        """To be called for when there is something to do."""
        self.appended_bytes = 0
        """The bytes of all bodies that were appended, in this process."""
        self._met: Meets = _met_by_none if impressions is None else impressions.met
        self._impressions = impressions
        clock = EventClock(lambda: journal.clock.now_ms(), impressions)
        self._preparer = Preparer(impressions, clock.now_ms)
        self._bits = bits
        self._schema = schema
        self._journal = journal
        self._pause = pause
        self._applier = applier
        self._works: list[Work] = []
        self._put_off: list[Work] = []  # a change that waits for something, and all else behind it
        self._results = results
        self._refusal: Exception | None = None
        self._tracer = tracer()

    def refuse(self, error: Exception) -> None:
        """Write nothing more: what is queued, and what comes, is told that nothing of it was written."""
        self._refusal = self._refusal or error
        self.turn.call()

    def put(self, work: Work | None) -> None:
        """Queue work, and have it committed; None is the end."""
        self.queue.put(work)
        try:
            self.turn.call()
        except BaseException as error:  # it may be committed some day, whatever is said of it now
            self._results.end(error)
            raise

    def applied(self, group: CommittedGroup) -> None:
        """Take note that a group has been applied, or could not be."""
        self.queue.applied(group)
        self.turn.call()

    def _commit_next(self) -> bool:
        """Commit the next group, if there is one and it may be; return whether there may be more."""
        refusal = self._refusal or self._results.failure
        if refusal is not None:
            for work in (*self._put_off, *self.queue.rest()):
                self._refuse([work], refusal)
            self._put_off = []
        elif not self._applier.is_behind:
            self._works = self._put_off or self.queue.next()
            self._put_off = []
            if self._works:
                if self._waits(self._works):
                    self._put_off, self._works = self._works, []
                    return False
                if self._works:
                    self._do(self._works)
                self._works = []  # it may hold much: not until there is more to do
                return True
        if self.queue.ended:
            self._applier.put(None)
        return False

    def _failed(self, error: BaseException) -> None:
        """Refuse what was to be done: whoever waits would wait for ever."""
        works, self._works = self._works, []
        self._results.end(error, works)

    def _do(self, works: list[Work]) -> None:
        what = works[0].what
        if isinstance(what, Change):
            self._change(works, what)
        elif isinstance(what, Resume):
            self._resume(works, what.discard)
        elif isinstance(what, Rows):
            self._commit(works)
        else:
            self._applier.put(CommittedGroup(works))

    def _commit(self, works: list[Work]) -> None:
        """Append a group of work to the journal: a few rows, of one kind or several."""
        self._noting, self._origins = self.noted, []
        works, prepared = self._prepare(works)
        if not works:
            return
        try:
            noted, source = self._noting, source_of(self._origins) if self._origins else None
            rows = GroupRows(prepared, self._pause, self._journal.next_sequence, source)
            entries, batches = rows.entries(), rows.batches
        except Exception as raised:  # noqa: BLE001 - whoever waits for the work gets it
            error: Exception | None = raised
            self._refuse(works, raised)
        else:

            def book(position: int | None) -> CommittedGroup:
                placed = [] if position is None else rows.committed(position, self._journal.time_ms)
                if self._impressions is not None:
                    self._impressions.keep(placed, rows.held, None if source is None else position)
                self.noted = noted
                place = (position, self._journal.time_ms)
                return CommittedGroup(works, batches, *place, rows.came, self._pause.since, source=source)

            error = self._write(works, entries, book, misses=rows.misses)
            if error is not None:
                rows.failed()
        if error is not None:
            self._undo(works, error)

    def _undo(self, works: list[Work], error: Exception) -> None:
        """Take note that nothing of a group is in the journal, nor is to be of the streams that it is of."""
        if self._impressions is not None:
            self._impressions.undo()
        for work in works:
            assert isinstance(work.what, Rows)  # noqa: S101 - nothing else is in a group
            work.what.stream.failure = error

    def _waits(self, works: list[Work]) -> bool:
        """Whether a change waits for something; one that never will be is refused."""
        what = works[0].what
        if not isinstance(what, Change) or what.may is None:
            return False
        try:
            return not what.may()
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            self._refuse(works, error)
            works.clear()
            return False

    def _change(self, works: list[Work], change: Change) -> None:
        """Append a row that is no batch."""
        try:
            entry = change.entry() if callable(change.entry) else change.entry
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            self._refuse(works, error)
            return

        def book(position: int | None) -> CommittedGroup:
            if change.durable is not None and position is not None:
                change.durable(position)
            return CommittedGroup(works, None, position, self._journal.time_ms, kind=entry.kind)

        self._write(works, [entry], book)

    def replace_model(self, model: LogisticRegression, taken: TakenOver | None = None) -> None:
        """Commit what another model will learn from; from the change on that makes it so.

        Parameters
        ----------
        model
            The model.
        taken
            What becomes of impressions, where it learns from them by another policy.
        """
        self._bits = model.bits
        if taken is not None and self._impressions is not None:
            take_over(self._impressions, taken)
        self._pause.replace_model(model, relearns=taken is not None)

    def _resume(self, works: list[Work], discard: bool) -> None:
        """Append the end of a pause to the journal."""
        since, held = self._pause.since, self._pause.examples
        if since is None:
            self._refuse(works, NotHeldError("learning is not paused: there is nothing to resume"))
            return
        entry = resume_entry(since, discard=discard, examples=held)
        counts = (0, held) if discard else (held, 0)

        def book(position: int | None) -> CommittedGroup:
            assert position is not None  # noqa: S101 - there is a row
            self._pause.resumed(position, discard=discard)
            if self._impressions is not None:
                self._impressions.resume(discard=discard)
            return CommittedGroup(works, None, position, self._journal.time_ms, (), None, since, *counts)

        self._write(works, [entry], book)

    def _write(
        self,
        works: list[Work],
        entries: list[JournalEntry],
        book: Callable[[int | None], CommittedGroup],
        *,
        misses: bool = False,
    ) -> Exception | None:
        """Write a group's rows and hand it on; or return the error, which is given to those who wait.

        Parameters
        ----------
        works
            Whose rows they are.
        entries
            The rows: all that could go wrong in making them has not. There may be none.
        book
            Takes the position of the last, None where there are none: notes that they are durable, and makes
            of them what is handed on.
        misses
            Whether somebody is to be told that something is not there.
        """
        results = self._results
        if results.failure is not None:
            self._refuse(works, results.failure)
            return results.failure
        nbytes = sum(len(entry.body) for entry in entries)
        began = 0 if self._tracer is None else time.time_ns()
        try:
            try:
                position = self._journal.append(entries) if entries else None
                if misses and position is None:  # where this node was stopped, another may have it by now
                    self._journal.confirm()
                ended = 0 if self._tracer is None else time.time_ns()
            except NOTHING_WRITTEN as error:
                self._refuse(works, error)
                return error
            # From here on they are durable: the process knows of them, or ends.
            group = book(position)._replace(digest=self._journal.tip.digest)
            self.appended_bytes += nbytes
            self.queue.committed(group)
            self._applier.put(group)
        except BaseException as error:  # noqa: BLE001 - whatever it is
            results.end(error, works)
            return results.failure
        if self._tracer is not None and position is not None:
            name, spans = self._journal.directory.name, [span for work in works for span in work.spans]
            incidentally(self._tracer.commit, name, (began, ended), position, len(entries), nbytes, spans)
        if self._pause.unsaid:
            incidentally(self._pause.say)
        return None

    def _refuse(self, works: Sequence[Work], error: Exception | None) -> None:
        """Give an error to those who wait for what has not been written."""
        self._results.give([Outcome(work, None, error) for work in works])

    def _prepare(self, works: list[Work]) -> tuple[list[Work], list[Prepared]]:
        """Read what has gathered, and say what each work that is to be journalled comes to; in order.

        Given back is what cannot be read, what holds nothing to learn from, and the batches of a stream after
        one that was not journalled.
        """
        ready, prepared, outcomes = [], [], []
        for work in works:
            try:
                one = self._prepared(work)
            except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
                outcomes.append(Outcome(work, None, error))
                continue
            if one is None:
                outcomes.append(Outcome(work, Applied(0, 0, None), None))
            else:
                ready.append(work)
                prepared.append(one)
        if outcomes:
            self._results.give(outcomes)
        return ready, prepared

    def _prepared(self, work: Work) -> Prepared | None:
        """Say what one work comes to; None where single examples have come to nothing."""
        if isinstance(work, MicroBatch):
            work.close(self._bits, self._schema, self._met)
        what = work.what
        assert isinstance(what, Rows)  # noqa: S101 - nothing else is in a group
        stream = what.stream
        if stream.failure is None and (stream.given_up or work.future.cancelled()):
            stream.failure = GivenUpError("whoever asked for it has gone")
        if stream.failure is not None:
            raise stream.failure
        if isinstance(work, MicroBatch):  # labels are not among it: they are read by themselves
            batch = work.what.batch
            return Prepared(batch) if len(batch) else None
        try:
            noted = self._noted_after(what.origin)
            prepared = self._preparer.prepare(what)
        except Exception as error:
            stream.failure = error
            raise
        if what.origin is not None:
            self._noting = noted
            self._origins.append(what.origin)
        return prepared

    def _noted_after(self, origin: Origin | None) -> Notes | None:
        """Return how far topics were read with a piece of work; refuse one that does not follow."""
        if origin is None:
            return self._noting
        noted = noted_after(self._noting, source_of([origin]))
        check_many(noted)
        return noted


def _met_by_none(_: Sequence[str | None]) -> NDArray[np.intp]:
    """Say that no id is an impression's."""
    return NO_ROWS
