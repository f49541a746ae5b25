"""The learner of a model that follows: it folds what another process has made durable, and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero_service.errors import NotWritingError
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.journal import Journal
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.micro_batch import Waiter
from nonzero_service.writer.origins import Origin, Position, positions_of
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.tail_applier import TailApplier
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import Applied, Change, CommittedGroup, Resume, Rows, StreamState, Work


class TailLearner(ModelLearner):
    """Folds what another process has written; runs tasks and copies in order with that.

    It is a :class:`~nonzero_service.writer.learner.ModelLearner` to all who read a model. Whoever would have
    it learn something is told that this process does not write, and that nothing was done.

    Parameters
    ----------
    model, journal, queue_bytes, on_failure, threads, pause, max_weight, impressions
        As for :class:`~nonzero_service.writer.learner.ModelLearner`; the journal is only read.
    """

    applier: TailApplier

    def __init__(
        self,
        model: LogisticRegression,
        journal: Journal,
        queue_bytes: int,
        on_failure: Callable[[Exception], None],
        threads: WriterThreads,
        pause: PauseState,
        max_weight: float,
        impressions: ImpressionStore,
    ) -> None:
        super().__init__(model, journal, queue_bytes, on_failure, threads, pause, max_weight, impressions)
        self.applier.taken = _nothing
        self.applier.applied = _nothing

    def _new_applier(self, threads: WriterThreads) -> TailApplier:
        return TailApplier(self.model, self.journal, self.pause.since, threads.appliers, self._results)

    @property
    def appended_bytes(self) -> int:
        """The bytes of the rows that were folded, in this process."""
        return self.applier.appended_bytes

    @property
    def source_positions(self) -> Mapping[tuple[str, int], Position]:
        """How far topics were read, as the rows say that were folded."""
        return positions_of(self.model.notes)

    def check_room(self) -> None:
        """Refuse what has not been read yet.

        Raises
        ------
        NotWritingError
            Always.
        """
        raise not_writing()

    def gather_for(self, waiter: Waiter, body: bytes) -> None:  # noqa: ARG002
        """Refuse a body.

        Raises
        ------
        NotWritingError
            Always.
        """
        raise not_writing()

    def impress(
        self,
        predictions: PredictedRows,  # noqa: ARG002
        *,
        waits: bool,  # noqa: ARG002
        stream: StreamState | None = None,  # noqa: ARG002
        origin: Origin | None = None,  # noqa: ARG002
        times: NDArray[np.int64] | None = None,  # noqa: ARG002
    ) -> asyncio.Future[Applied]:
        """Refuse predictions with ids: who writes takes them.

        Raises
        ------
        NotWritingError
            Always.
        """
        raise not_writing()

    def _put(self, what: Rows | Change | Resume | Any, nbytes: int) -> asyncio.Future[Any]:
        if isinstance(what, Rows | Change | Resume):
            raise not_writing()
        self._check_open()
        work = Work(what, nbytes, self._loop.create_future())
        self.applier.put(CommittedGroup([work]))
        return work.future

    def _end(self) -> None:
        self.applier.put(None)


def not_writing() -> NotWritingError:
    """Return what tells a client that a node follows."""
    return NotWritingError(
        "this node follows and does not write, and nothing was done; send it again, to the node that GET "
        "/leader names, or to any in a second"
    )


def _nothing(*_: object) -> None:
    """Do nothing."""
