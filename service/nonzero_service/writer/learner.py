"""The learner: one writer for a model, in two steps.

The :mod:`committer <nonzero_service.writer.committer>` takes all that is queued and makes it durable in one
transaction of the journal. The :mod:`applier <nonzero_service.writer.applier>` learns from it, and gives
the results back. So while one group is applied the next is committed; nothing is applied before it is
durable, and nothing is acknowledged before it is applied. A few threads do both for all models, in turn.

What waits is bounded in bytes: when the queue is full a fresh request is refused, and a stream that is
already being read waits for room. Every public method is called on the event loop, and the count of queued
bytes is kept there, so it needs no lock: it grows when work is put in and falls when its results come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, BatchError, LogisticRegression
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.errors import ClosedError, QueueFullError
from nonzero_service.impressions.packing import PredictedRows, size_of_records
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.chain import MAX_BODY, JournalEntry
from nonzero_service.journal.journal import Journal
from nonzero_service.tracing import current_span
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.committer import Committer
from nonzero_service.writer.micro_batch import MicroBatch, Waiter
from nonzero_service.writer.origins import Origin, Position, positions_of
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.results import Results
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import (
    Applied,
    Change,
    Copied,
    Copy,
    EndWindows,
    Impress,
    LabelImpressions,
    Learn,
    Outcome,
    Record,
    Resume,
    ResumeResult,
    Rows,
    StreamState,
    Work,
)
from nonzero_service.writer.work_queue import GATHERED_BYTES, GROUP_BYTES, PATIENCE

T = TypeVar("T")

MAX_BATCH: Final = MAX_BODY - 4 * GROUP_BYTES
"""The largest batch, in bytes: with what else is in its group it must fit into a row of the journal."""

LABEL_BYTES: Final = 100
"""About what a label takes while it waits."""

_ROW_BYTES: Final = 32  # label, weight, length, time, an impression's number
_NONZERO_BYTES: Final = 10  # index, value and field: a group has all three for all where it has them for one


def row_bytes(batch: Batch) -> int:
    """Return what a batch takes of a row of the journal, at most."""
    return _ROW_BYTES * len(batch) + _NONZERO_BYTES * batch.nnz


class ModelLearner:
    """Journals and applies batches, in the order in which they were put in.

    Parameters
    ----------
    model
        The model as the journal's rows made it; from now on only the applier changes it.
    journal
        Where the rows go; closing the learner leaves it open.
    queue_bytes
        How much may wait. Work that is larger than the whole queue is let in when nothing else waits.
    on_failure
        Told when a commit's outcome is unknown, or what is durable cannot be applied or answered: the process
        must end. On the event loop, or, where that cannot be had, on the thread that failed.
    threads
        Those of all learners.
    pause
        Whether examples are learned from or held; None: they are learned from.
    max_weight
        The largest importance weight of an example that comes as a body of its own; whoever submits a batch
        has seen to that.
    impressions
        The model's; None where there are none.
    """

    def __init__(
        self,
        model: LogisticRegression,
        journal: Journal,
        queue_bytes: int,
        on_failure: Callable[[Exception], None],
        threads: WriterThreads,
        pause: PauseState | None = None,
        max_weight: float = MAX_WEIGHT,
        impressions: ImpressionStore | None = None,
    ) -> None:
        self.model = model
        self.journal = journal
        self.queue_bytes = queue_bytes
        self.queued_bytes = 0
        self.max_weight = max_weight
        self.pause = pause or PauseState()
        self._loop = asyncio.get_running_loop()
        self._results = results = Results(self._deliver, on_failure)
        self.applier = self._new_applier(threads)
        self.committer = Committer(
            model.bits,
            model.schema,
            journal,
            self.pause,
            self.applier,
            threads.committers,
            results,
            impressions,
            model.notes.get(SOURCES_NOTE),
        )
        self.applier.taken = self.committer.turn.call
        self.applier.applied = self.committer.applied
        self._room = asyncio.Event()
        self._micro_batch: MicroBatch | None = None
        self._closed = False
        self._refusal: Exception | None = None
        self._gathered = 0  # bytes of predictions that nobody waits for, which gather others
        self._ripening: asyncio.TimerHandle | None = None
        threads.start()

    def _new_applier(self, threads: WriterThreads) -> Applier:
        """Make what applies."""
        return Applier(self.model, self.journal, self.pause.since, threads.appliers, self._results)

    @property
    def has_failed(self) -> bool:
        """Whether nothing more may be made durable or applied."""
        return self._results.failure is not None

    @property
    def appended_bytes(self) -> int:
        """The bytes of all bodies that were appended to the journal, in this process."""
        return self.committer.appended_bytes

    @property
    def source_positions(self) -> Mapping[tuple[str, int], Position]:
        """How far topics were read, by topic id and partition, with all that is durable by now."""
        noted = self.committer.noted
        return {} if noted is None else positions_of({SOURCES_NOTE: noted})

    @property
    def gathers(self) -> bool:
        """Whether single examples have come of late."""
        return self.committer.queue.beside_singles

    def submit(
        self,
        batch: Batch,
        *,
        record: Record | None = None,
        log_loss: bool = False,
        stream: StreamState | None = None,
        origin: Origin | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue a batch; the future is done when it is durable and applied.

        Parameters
        ----------
        batch
            What to learn from; a batch without rows only makes its record known. An example whose id is an
            impression's is its label.
        record
            Makes the record of the request's idempotency key; it is called by the committer and written in
            the transaction of the batch's row.
        log_loss
            Whether the progressive log loss after the batch is wanted too.
        stream
            The state of the stream that the batch belongs to; None for one that stands alone.
        origin
            The messages of topics that it was made of: how far these were read is written in the transaction
            of the batch's row, also where nothing is left to learn. Where they do not follow what was read
            before, the future has an :class:`~nonzero_service.errors.OriginError`, and nothing was written.

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
        size = row_bytes(batch)
        if size > MAX_BATCH:
            raise BatchError(
                f"{len(batch)} examples of {batch.nnz} features cannot be journalled as one ({size} bytes; "
                f"{MAX_BATCH} can); send them as several, or as a stream of lines"
            )
        if not self.fits(batch.nbytes):
            raise self._full()
        return self._put(Learn(batch, record, log_loss, stream or StreamState(), origin), batch.nbytes)

    def label(
        self,
        ids: Sequence[str],
        labels: Sequence[int],
        stream: StreamState,
        origin: Origin | None = None,
        times: NDArray[np.int64] | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue labels of impressions; the future is done when what they teach is durable and applied.

        Parameters
        ----------
        ids, labels
            Of each label its impression's id, and 0 or 1.
        stream
            The state of the stream that they belong to.
        origin
            As for :meth:`submit`.
        times
            int64[n]: when each was given, in milliseconds since 1970, of those that come from a topic. They
            wait where their impressions have not come. None: they are given now, and do not wait.

        Raises
        ------
        QueueFullError, ClosedError
            As for :meth:`submit`.
        """
        nbytes = LABEL_BYTES * len(ids)
        if not self.fits(nbytes):
            raise self._full()
        return self._put(LabelImpressions(ids, labels, stream, origin, times), nbytes)

    def impress(
        self,
        predictions: PredictedRows,
        *,
        waits: bool,
        stream: StreamState | None = None,
        origin: Origin | None = None,
        times: NDArray[np.int64] | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue predictions with ids; the future is done when they are durable, and learned from or not.

        Parameters
        ----------
        predictions
            The predictions.
        waits
            Whether somebody waits for the future; otherwise they may gather others for a moment.
        stream, origin
            As for :meth:`submit`.
        times
            int64[k]: when each of their `rows` was made, of those that come from a topic.

        Raises
        ------
        QueueFullError, ClosedError
            As for :meth:`submit`.
        """
        nbytes = size_of_records(predictions)
        if not self.fits(nbytes):
            raise self._full()
        what = Impress(predictions, stream or StreamState(), waits, origin, times)
        if waits:
            return self._put(what, nbytes)
        kept = self._work(what, nbytes)
        self.committer.queue.put(kept)
        self.queued_bytes += nbytes
        self._gathered += nbytes
        if self._gathered >= GATHERED_BYTES:
            self._ripen()
        elif self._ripening is None:
            self._ripening = self._loop.call_later(PATIENCE, self._ripen)
        return kept.future

    def _ripen(self) -> None:
        """Have predictions committed that nobody waits for: they have gathered others."""
        if self._ripening is not None:
            self._ripening.cancel()
        self._ripening, self._gathered = None, 0
        self.committer.queue.ripe = True
        self.committer.turn.call()

    def end_windows(self) -> asyncio.Future[Applied | None]:
        """Queue the end of the next windows that are due; the future's result is None where none are."""
        return self._put(EndWindows(StreamState()), 0)

    def gather(self, body: bytes) -> asyncio.Future[Applied | None]:
        """Queue a JSON body as it came; the future is done when its one example is durable and applied.

        See Also
        --------
        gather_for : for a future's result, and the errors.
        """
        future: asyncio.Future[Applied | None] = self._loop.create_future()
        self.gather_for(future, body)
        return future

    def gather_for(self, waiter: Waiter, body: bytes) -> None:
        """Queue a JSON body as it came; who waits is told when its one example is durable and applied.

        The result is None where the body is something else than one example that the model can learn from:
        nothing was learned then.

        Raises
        ------
        QueueFullError, ClosedError
            As for :meth:`submit`.
        """
        self._check_open()
        if not self.fits(len(body)):
            raise self._full()
        span = current_span.get()
        if self._micro_batch is None or not self._micro_batch.add(body, waiter, span):
            gathered = MicroBatch(self._loop, self.max_weight)
            gathered.add(body, waiter, span)
            self.committer.put(gathered)
            self._micro_batch = gathered  # only now: what is added to it must be committed some day
        self.queued_bytes += len(body)

    def check_room(self) -> None:
        """Refuse what has not been read yet, where it could not be queued.

        Raises
        ------
        QueueFullError
            Where there is no room at all.
        """
        if self.queued_bytes >= self.queue_bytes:
            raise self._full()

    async def room(self, nbytes: int) -> None:
        """Wait until there is room for so much: so a stream is slowed to the learner's pace."""
        while not self.fits(nbytes):
            self._room.clear()
            await self._room.wait()

    def change(
        self,
        entry: JournalEntry | Callable[[], JournalEntry],
        apply: Callable[[], T],
        may: Callable[[], bool] | None = None,
        durable: Callable[[int], object] | None = None,
    ) -> asyncio.Future[T]:
        """Queue a row that is no batch; the future is done when it is durable and applied.

        Parameters
        ----------
        entry
            The row, or what makes it; :func:`nonzero_service.writer.fold.apply` must do with it what `apply`
            does.
        apply
            Changes the model; it is run on the applier.
        may, durable
            As of :class:`~nonzero_service.writer.work.Change`.

        Raises
        ------
        ClosedError
            After :meth:`close`.
        """
        return self._put(Change(entry, apply, may, durable), 0)

    def replace_model(self, model: LogisticRegression) -> None:
        """Learn by another model from now on; within a change, on the applier."""
        self.applier.replace_model(model)
        self.model = model

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task on the applier, after all that is queued: it sees the model at rest."""
        return self._put(task, 0)

    def copy(self, into: LogisticRegression) -> asyncio.Future[Copied]:
        """Copy the model as it is after all that is queued, or a little later, while it learns on."""
        return self._put(Copy(into), 0)

    def resume(self, *, discard: bool) -> asyncio.Future[ResumeResult]:
        """End a pause, after all that is queued: apply what is held, in order, or discard it.

        Raises
        ------
        NotHeldError
            By the future, where learning is not paused.
        """
        return self._put(Resume(discard), 0)

    def refuse(self, error: Exception) -> None:
        """Make nothing more durable: what is queued, and what comes, is refused; the rest is applied."""
        self._refusal = error
        self.committer.refuse(error)

    async def close(self) -> None:
        """Refuse more, commit and apply all that is queued. May be called again."""
        if not self._closed:
            self._closed = True
            self._end()
        await asyncio.to_thread(self.applier.ended.wait)
        self._results.close()
        self.committer.turn.close()
        self.applier.close()

    def _end(self) -> None:
        """Have all end that was put in."""
        self._ripen()
        self.committer.put(None)

    def fits(self, nbytes: int) -> bool:
        """Whether there is room for so much."""
        return self._closed or not self.queued_bytes or self.queued_bytes + nbytes <= self.queue_bytes

    def _full(self) -> QueueFullError:
        return QueueFullError(
            f"{self.queued_bytes} bytes wait to be learned, of {self.queue_bytes} that may; "
            "come again in a second"
        )

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if self._closed:
            raise ClosedError("the model is closed, because it was deleted or the service is stopping")

    def _put(
        self, what: Rows | Change | Resume | Copy | Callable[[], Any], nbytes: int
    ) -> asyncio.Future[Any]:
        work = self._work(what, nbytes)
        self.committer.put(work)
        self.queued_bytes += nbytes
        return work.future

    def _work(self, what: Rows | Change | Resume | Copy | Callable[[], Any], nbytes: int) -> Work:
        self._check_open()
        span = current_span.get()
        work = Work(what, nbytes, self._loop.create_future(), () if span is None else (span,))
        if isinstance(what, Rows):
            what.stream.last = work.future
        return work

    def _deliver(self, outcomes: list[Outcome]) -> None:
        """Give results to those who wait, and room to others; one that fails does not keep others waiting."""
        failure: Exception | None = None
        for work, value, error in outcomes:
            self.queued_bytes -= work.nbytes
            try:
                work.give_back(value, error)
            except Exception as raised:  # noqa: BLE001 - it is raised when all have had their turn
                failure = raised
        self._room.set()
        if failure is not None:
            raise failure
