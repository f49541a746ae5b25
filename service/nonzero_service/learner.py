"""The learner: one thread that owns a model's table, and the one bounded queue that leads to it.

Requests put batches in; a future comes back, done when the batch is applied. What waits is bounded in bytes:
when the queue is full a fresh request is refused, and a stream that is already being read waits for room.

Every method is called on the event loop; only ``_work`` and what it calls run on the learner's thread. So the
count of queued bytes needs no lock: it grows when work is put in and falls when its results come back to the
loop.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from nonzero import Batch, LogisticRegression
from nonzero_service.errors import ClosedError, QueueFullError

__all__ = ["Applied", "Learner"]

T = TypeVar("T")

GROUP_BYTES: Final = 1 << 20
"""A group is all that is queued, up to this: whoever is in it waits for the whole of it."""


class Applied(NamedTuple):
    """What came of one batch."""

    examples: int
    """How many were applied: all of the batch."""
    sequence: int
    """Examples applied since the model was made, this batch's included."""
    log_loss: float | None
    """The progressive log loss after this batch, where it was asked for."""


class _Work(NamedTuple):
    """A task for the learner's thread, the room it takes in the queue, and who waits for it."""

    task: Callable[[], Any]
    nbytes: int
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    """What became of one piece of work."""

    work: _Work
    value: Any
    error: BaseException | None


class Learner:
    """Applies batches to a model, strictly in the order in which they were put in.

    Parameters
    ----------
    name
        The model's name, which the thread bears too.
    model
        The model; from now on only this learner's thread changes it.
    queue_bytes
        How much may wait. Work that is larger than the whole queue is let in when nothing else waits.
    """

    def __init__(self, name: str, model: LogisticRegression, queue_bytes: int) -> None:
        self.model = model
        self.queue_bytes = queue_bytes
        self.queued_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._room = asyncio.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"learner {name}")
        self._thread.start()

    def submit(self, batch: Batch, *, log_loss: bool = False) -> asyncio.Future[Applied]:
        """Queue a batch; the future is done when it is applied.

        Parameters
        ----------
        batch
            Labelled examples whose slots are within the table.
        log_loss
            Whether the progressive log loss after the batch is wanted too.

        Raises
        ------
        QueueFullError
            Where there is no room: nothing was queued.
        ClosedError
            After :meth:`close`.
        """
        if not self._fits(batch.nbytes):
            raise QueueFullError(
                f"{self.queued_bytes} bytes wait to be learned, of {self.queue_bytes} that may; "
                "come again in a second"
            )
        return self._put(lambda: self._learn(batch, log_loss), batch.nbytes)

    async def room(self, batch: Batch) -> None:
        """Wait until there is room for a batch: so a stream is slowed to the learner's pace."""
        while not self._fits(batch.nbytes):
            self._room.clear()
            await self._room.wait()

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task on the learner's thread, after all that is queued: it sees the model at rest."""
        return self._put(task, 0)

    async def close(self) -> None:
        """Refuse more, apply all that is queued, end the thread. May be called again."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _fits(self, nbytes: int) -> bool:
        return self._closed or not self.queued_bytes or self.queued_bytes + nbytes <= self.queue_bytes

    def _put(self, task: Callable[[], Any], nbytes: int) -> asyncio.Future[Any]:
        if self._closed:
            raise ClosedError("the model is closed, because it was deleted or the service is stopping")
        work = _Work(task, nbytes, self._loop.create_future())
        self.queued_bytes += nbytes
        self._queue.put(work)
        return work.future

    def _work(self) -> None:
        """Be the learner's thread: take a group, apply it, give its results back."""
        more = True
        while more:
            group, more = self._take()
            # A committer belongs here: a thread of its own that makes the group durable and only then hands
            # it to this one, so that one group is applied while the next is committed.
            outcomes = [self._apply(work) for work in group]
            self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def _take(self) -> tuple[list[_Work], bool]:
        """Wait for work; return all that is queued, up to a group's size, and whether there may be more."""
        group: list[_Work] = []
        size = 0
        while size < GROUP_BYTES:
            try:
                work = self._queue.get(block=not group)
            except queue.Empty:
                break
            if work is None:
                return group, False
            group.append(work)
            size += work.nbytes
        return group, True

    def _learn(self, batch: Batch, log_loss: bool) -> Applied:
        self.model.learn(batch)
        loss = self.model.log_loss if log_loss else None
        return Applied(len(batch), self.model.examples, loss)

    @staticmethod
    def _apply(work: _Work) -> _Outcome:
        try:
            return _Outcome(work, work.task(), None)
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            return _Outcome(work, None, error)

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        """Give results back, on the event loop; a request that has gone has cancelled its future."""
        for work, value, error in outcomes:
            self.queued_bytes -= work.nbytes
            if work.future.cancelled():
                continue
            if error is None:
                work.future.set_result(value)
            else:
                work.future.set_exception(error)
        self._room.set()
