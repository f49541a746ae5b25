"""The learner: one writer for a model, as two threads in a line.

The **committer** takes all that is queued, makes one row of it and appends that to the journal. The
**applier** learns from it, and gives the results back. So while one group is applied the next is committed;
nothing is applied before it is durable, and nothing is acknowledged before it is applied.

What waits is bounded in bytes: when the queue is full a fresh request is refused, and a stream that is
already being read waits for room. Every public method is called on the event loop, and the count of queued
bytes is kept there, so it needs no lock: it grows when work is put in and falls when its results come back.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, BatchError, LogisticRegression
from nonzero_service.committing import Group
from nonzero_service.errors import ClosedError, GivenUpError, NotHeldError, QueueFullError
from nonzero_service.holding import Gate, held_batches, resume_entry
from nonzero_service.impressions.joined import References
from nonzero_service.storage.errors import DiskFullError, JournalBusyError, OutcomeUnknownError
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.keys import KeyRecord
from nonzero_service.storage.rows import MAX_BODY, Entry
from nonzero_service.work import Applied, Change, Durable, Learn, Outcome, Pieces, Resume, Resumed, Work

__all__ = ["GROUP_BYTES", "MAX_BATCH", "Learner"]

T = TypeVar("T")

GROUP_BYTES: Final = 1 << 20
"""A group is all that is queued, up to this: whoever is in it waits for the whole of it."""

LEAD: Final = 2
"""How many groups may be durable and not yet applied."""

MAX_BATCH: Final = MAX_BODY - 4 * GROUP_BYTES
"""The largest batch, in bytes: with what else is in its group it must fit into a row of the journal."""

_ROW_BYTES: Final = 32  # label, weight, length, time, an impression's number
_NONZERO_BYTES: Final = 10  # index, value and field: a group has all three for all where it has them for one


class Learner:
    """Journals and applies batches, strictly in the order in which they were put in.

    Parameters
    ----------
    name
        The model's name, which the threads bear too.
    model
        The model as the journal's rows made it; from now on only the applier changes it.
    journal
        Where the rows go; closing the learner leaves it open.
    queue_bytes
        How much may wait. Work that is larger than the whole queue is let in when nothing else waits.
    on_failure
        Told, on the event loop, when a commit's outcome is unknown, or what is durable cannot be applied: the
        process must end.
    gate
        Whether examples are learned from or held; None: they are learned from.
    """

    def __init__(
        self,
        name: str,
        model: LogisticRegression,
        journal: Journal,
        queue_bytes: int,
        on_failure: Callable[[Exception], None],
        gate: Gate | None = None,
    ) -> None:
        self.model = model
        self.journal = journal
        self.queue_bytes = queue_bytes
        self.queued_bytes = 0
        self.gate = gate or Gate()
        self.held_since = self.gate.since
        """Since when examples are held, as of what was applied."""
        self.position = journal.position
        """The last position that was applied."""
        self.appended_bytes = 0
        """The bytes of all bodies that were appended, in this process."""
        self.settled: Callable[[References], object] = lambda _: None
        """Called by the committer with the impressions that the journal has taken."""
        self.learned: Callable[[Batch, NDArray[np.float32]], object] | None = None
        """Called by the applier with what was learned from, and what was predicted just before."""
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._durable: queue.Queue[Durable | None] = queue.Queue(LEAD)
        self._room = asyncio.Event()
        self._closed = False
        self._failure: Exception | None = None
        # Daemons: a process that is told to end at once must not wait for a disk that does not answer.
        self._threads = [
            threading.Thread(target=self._commit_all, name=f"committer {name}", daemon=True),
            threading.Thread(target=self._apply_all, name=f"applier {name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- on the event loop -----------------------------------------------------------------------------

    def submit(
        self,
        batch: Batch,
        *,
        record: Callable[[int, int], KeyRecord] | None = None,
        log_loss: bool = False,
        pieces: Pieces | None = None,
        references: References | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue a batch; the future is done when it is durable and applied.

        Parameters
        ----------
        batch
            What to learn from; a batch without rows only makes its record known.
        record
            Makes the record of the request's idempotency key, given the sequence of the batch's first
            example and how many of its examples are held; it is called by the committer and written in the
            transaction of the batch's row.
        log_loss
            Whether the progressive log loss after the batch is wanted too.
        pieces
            The stream that the batch is a piece of; None for one that stands alone.
        references
            Which impressions the examples were; :attr:`settled` is told when they are durable.

        Raises
        ------
        BatchError
            Where the model cannot learn from it, or it is too large for a row of the journal: it must not get
            there.
        QueueFullError
            Where there is no room: nothing was queued.
        ClosedError
            After :meth:`close`.
        """
        self.model.check(batch)
        size = _ROW_BYTES * len(batch) + _NONZERO_BYTES * batch.nnz
        if size > MAX_BATCH:
            raise BatchError(
                f"{len(batch)} examples of {batch.nnz} features cannot be journalled as one ({size} bytes; "
                f"{MAX_BATCH} can); send them as several, or as a stream of lines"
            )
        if not self._fits(batch.nbytes):
            raise self._full()
        return self._put(Learn(batch, record, log_loss, pieces or Pieces(), references), batch.nbytes)

    def check_room(self) -> None:
        """Refuse what has not been read yet, where it could not be queued.

        Raises
        ------
        QueueFullError
            Where there is no room at all.
        """
        if self.queued_bytes >= self.queue_bytes:
            raise self._full()

    async def room(self, batch: Batch) -> None:
        """Wait until there is room for a batch: so a stream is slowed to the learner's pace."""
        while not self._fits(batch.nbytes):
            self._room.clear()
            await self._room.wait()

    def change(self, entry: Entry, apply: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a row that is no batch; the future is done when it is durable and applied.

        Parameters
        ----------
        entry
            The row; :func:`nonzero_service.fold.apply` must do with it what `apply` does.
        apply
            Changes the model; it is run on the applier.

        Raises
        ------
        ClosedError
            After :meth:`close`.
        """
        return self._put(Change(entry, apply), 0)

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task on the applier, after all that is queued: it sees the model at rest."""
        return self._put(task, 0)

    def resume(self, *, discard: bool) -> asyncio.Future[Resumed]:
        """End a pause, after all that is queued: apply what is held, in order, or discard it.

        Raises
        ------
        NotHeldError
            By the future, where learning is not paused.
        """
        return self._put(Resume(discard), 0)

    async def close(self) -> None:
        """Refuse more, commit and apply all that is queued, end the threads. May be called again."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _fits(self, nbytes: int) -> bool:
        return self._closed or not self.queued_bytes or self.queued_bytes + nbytes <= self.queue_bytes

    def _full(self) -> QueueFullError:
        return QueueFullError(
            f"{self.queued_bytes} bytes wait to be learned, of {self.queue_bytes} that may; "
            "come again in a second"
        )

    def _put(self, what: Learn | Change | Resume | Callable[[], Any], nbytes: int) -> asyncio.Future[Any]:
        if self._closed:
            raise ClosedError("the model is closed, because it was deleted or the service is stopping")
        work = Work(what, nbytes, self._loop.create_future())
        self.queued_bytes += nbytes
        self._queue.put(work)
        return work.future

    def _deliver(self, outcomes: list[Outcome]) -> None:
        """Give results back; a request that has gone has cancelled its future."""
        for work, value, error in outcomes:
            self.queued_bytes -= work.nbytes
            if work.future.cancelled():
                continue
            if error is None:
                work.future.set_result(value)
            else:
                work.future.set_exception(error)
        self._room.set()

    # -- the committer ---------------------------------------------------------------------------------

    def _commit_all(self) -> None:
        """Be the committer: take groups, make them durable, hand them on."""
        ahead: Work | None = None
        while (first := ahead or self._queue.get()) is not None:
            ahead = None
            if isinstance(first.what, Change):
                self._commit_change(first, first.what.entry)
                continue
            if isinstance(first.what, Resume):
                self._resume(first, first.what.discard)
                continue
            if not isinstance(first.what, Learn):
                self._durable.put(Durable([first]))
                continue
            works, size = [first], first.nbytes
            while size < GROUP_BYTES and not self._queue.empty():
                work = self._queue.get()
                if work is None or not isinstance(work.what, Learn):
                    ahead = work
                    if work is None:
                        self._queue.put(None)  # the end, seen again when this group is done
                    break
                works.append(work)
                size += work.nbytes
            self._commit(works)
        self._durable.put(None)

    def _commit(self, works: list[Work]) -> None:
        """Append a group to the journal: one row, or several of different kinds."""
        works = self._unbroken(works)
        learns = [work.what for work in works if isinstance(work.what, Learn)]
        if not learns:
            return

        def write() -> tuple[list[Entry], Durable]:
            group = Group(list(learns), self.gate, self.journal.next_sequence)
            entries = group.entries()
            try:
                position = self.journal.append(entries)
            except BaseException:
                group.failed()
                raise
            group.committed(position)
            for learn in learns:
                if learn.references is not None:
                    self.settled(learn.references)
            learned, since = group.learned, self.gate.since
            return entries, Durable(works, group.batch, position, self.journal.time_ms, learned, since)

        error = self._hand_on(works, write)
        for learn in learns if error is not None else ():
            learn.pieces.failure = error

    def _commit_change(self, work: Work, entry: Entry) -> None:
        """Append a row that is no batch."""

        def write() -> tuple[list[Entry], Durable]:
            position = self.journal.append([entry])
            return [entry], Durable([work], None, position, self.journal.time_ms)

        self._hand_on([work], write)

    def _resume(self, work: Work, discard: bool) -> None:
        """Append the end of a pause to the journal."""
        since, held = self.gate.since, self.gate.examples
        if since is None:
            refusal = NotHeldError("learning is not paused: there is nothing to resume")
            self._loop.call_soon_threadsafe(self._deliver, [Outcome(work, None, refusal)])
            return
        entry = resume_entry(since, discard=discard, examples=held)
        counts = (0, held) if discard else (held, 0)

        def write() -> tuple[list[Entry], Durable]:
            position = self.journal.append([entry])
            self.gate.resumed(position)
            place = (position, self.journal.time_ms)
            return [entry], Durable([work], None, *place, (), None, since, *counts)

        self._hand_on([work], write)

    def _hand_on(
        self, works: list[Work], write: Callable[[], tuple[list[Entry], Durable]]
    ) -> Exception | None:
        """Write a group's rows and hand it on; or return the error, and give it to those who wait."""
        try:
            if self._failure is not None:
                raise self._failure
            entries, group = write()
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            outcomes = [Outcome(work, None, error) for work in works]
            self._loop.call_soon_threadsafe(self._fail, outcomes, error)
            return error
        self.appended_bytes += sum(len(entry.body) for entry in entries)
        self._durable.put(group)
        return None

    def _unbroken(self, works: list[Work]) -> list[Work]:
        """Refuse the pieces that come after one that was not journalled; return the others."""
        kept, outcomes = [], []
        for work in works:
            failure = _failure_of(work)
            if failure is None:
                kept.append(work)
            else:
                outcomes.append(Outcome(work, None, failure))
        if outcomes:
            self._loop.call_soon_threadsafe(self._deliver, outcomes)
        return kept

    def _fail(self, outcomes: list[Outcome], error: Exception) -> None:
        """Give an error back; unless nothing of the group was written, the process must end."""
        self._deliver(outcomes)
        if not isinstance(error, DiskFullError | JournalBusyError):
            self._on_failure(error)

    # -- the applier -----------------------------------------------------------------------------------

    def _apply_all(self) -> None:
        """Be the applier: learn from durable groups, give their results back.

        What is durable and cannot be applied is for a new start. Nothing after it is applied, and no task
        sees the model then: a snapshot of it would have a hole.
        """
        while (group := self._durable.get()) is not None:
            try:
                if self._failure is not None:
                    raise self._failure
                if group.resumed_since is not None:
                    outcomes = [self._apply_held(group, group.resumed_since)]
                elif group.batch is not None:
                    outcomes = self._apply(group, group.batch)
                elif group.position is not None:
                    outcomes = [self._apply_change(group.works[0])]
                else:
                    outcomes = [self._run(group.works[0])]
                self.position = group.position or self.position
            except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
                self._failure = self._failure or _unapplied(group.position, error)
                outcomes = [Outcome(work, None, self._failure) for work in group.works]
                self._loop.call_soon_threadsafe(self._fail, outcomes, self._failure)
            else:
                self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def _apply(self, group: Durable, batch: Batch) -> list[Outcome]:
        """Learn from a group; each batch's sequence is that after its own examples."""
        sequence = self.model.examples
        self._learn(batch, group.time_ms)
        self.held_since = group.held_since
        outcomes = []
        for work, examples in zip(group.works, group.learned, strict=True):
            assert isinstance(work.what, Learn)  # noqa: S101 - the committer made the group so
            sequence += examples
            loss = self.model.log_loss if work.what.log_loss else None
            held = len(work.what.batch) - examples
            outcomes.append(Outcome(work, Applied(examples, sequence, loss, held), None))
        return outcomes

    def _apply_held(self, group: Durable, since: int) -> Outcome:
        """Learn from what was held, or take note that it is discarded."""
        before = self.model.examples
        if group.held:
            for batch in held_batches(self.journal.read, since, group.position):
                self._learn(batch, group.time_ms)
        self.held_since = None
        applied = self.model.examples - before
        return Outcome(group.works[0], Resumed(applied, group.discarded, self.model.examples), None)

    def _learn(self, batch: Batch, time_ms: int) -> None:
        probabilities = self.model.learn_checked(batch, time_ms)
        if self.learned is not None:
            self.learned(batch, probabilities)

    @staticmethod
    def _apply_change(work: Work) -> Outcome:
        """Apply a row that is no batch; an error of it is for a new start, as that of a batch."""
        assert isinstance(work.what, Change)  # noqa: S101 - the committer made the group so
        return Outcome(work, work.what.apply(), None)

    @staticmethod
    def _run(work: Work) -> Outcome:
        assert not isinstance(work.what, Learn | Change | Resume)  # noqa: S101 - the committer made the group so
        try:
            return Outcome(work, work.what(), None)
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            return Outcome(work, None, error)


def _unapplied(position: int | None, error: Exception) -> OutcomeUnknownError:
    failure = OutcomeUnknownError(
        f"position {position} is in the journal and could not be applied ({error!r}); start the process anew"
    )
    failure.__cause__ = error
    return failure


def _failure_of(work: Work) -> Exception | None:
    """Return why a batch cannot be journalled, or need not be: then nothing after it of its stream is."""
    if not isinstance(work.what, Learn):
        return None
    pieces = work.what.pieces
    if pieces.failure is None and (pieces.given_up or work.future.cancelled()):
        pieces.failure = GivenUpError("whoever asked for it has gone")
    return pieces.failure
