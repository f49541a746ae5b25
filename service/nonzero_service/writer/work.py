"""Work: what the learner is given, what its threads hand to each other, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.source_rows import SourceBody

T = TypeVar("T")


class Applied(NamedTuple):
    """What came of one batch."""

    examples: int
    """How many were learned from: all that are not held."""
    sequence: int
    """Examples applied since the model was made, this batch's included."""
    log_loss: float | None
    """The progressive log loss after this batch, where it was asked for."""
    held: int = 0
    """How many were journalled to be held, because learning is paused: the last of the batch."""
    verdicts: Sequence[Verdict] = ()
    """What labels of impressions met, where there were some: of each, in order."""


class StreamState:
    """The state that the batches of one stream share: after one that fails, none is learned from.

    Without it a batch that found no space, followed by one that did, would leave a hole that a repeat of the
    request takes for learned.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        """Why a batch was not journalled; only the committer reads and writes it."""
        self.given_up = False
        """Whether nobody waits for the stream any more: what is not journalled yet need not be."""
        self.last: asyncio.Future[Any] | None = None
        """The future of the last batch; it is known before the batch is queued."""

    async def ended(self) -> None:
        """Return when no batch can be journalled any more: they are journalled in the order they came in."""
        if self.last is not None and not self.last.done():
            self.given_up = True
            await asyncio.wait([self.last])


async def until_ended(work: asyncio.Future[T], stream: StreamState) -> T:
    """Wait for what was submitted of this stream to end, even where the request is given up, or fails.

    Then it is given up too, unless it is being journalled: a repeat must not begin before that is known.
    """
    try:
        return await asyncio.shield(work)
    except BaseException:
        stream.given_up = True
        await asyncio.wait([work])
        retrieved(work)
        raise


def retrieved(work: asyncio.Future[Any]) -> BaseException | None:
    """Return what ended work has failed with, if it has: asyncio logs an error that nobody asks for."""
    return None if work.cancelled() else work.exception()


Record = Callable[[int, Applied], KeyRecord]
"""Makes the record of a request's key, of the sequence of the batch's first example and what came of it."""


class Learn(NamedTuple):
    """A batch to learn from, and what becomes known of its request's key with it."""

    batch: Batch
    record: Record | None
    log_loss: bool
    stream: StreamState
    origin: Origin | None = None
    """The messages that it was made of; None where it came otherwise."""


class LabelImpressions(NamedTuple):
    """Labels of impressions."""

    ids: Sequence[str]
    labels: Sequence[int]
    stream: StreamState
    origin: Origin | None = None
    times: NDArray[np.int64] | None = None
    """int64[n]: when each was given, of those that come from a topic, and may wait; None: now."""


class Impress(NamedTuple):
    """Predictions with ids, which become impressions."""

    predictions: PredictedRows
    stream: StreamState
    waits: bool
    """Whether somebody waits until they are durable."""
    origin: Origin | None = None
    times: NDArray[np.int64] | None = None
    """int64[k]: when each of them was made, of those that come from a topic."""


class EndWindows(NamedTuple):
    """The end of the next windows that are due; the result is None where none are."""

    stream: StreamState
    origin: None = None


Rows = Learn | LabelImpressions | Impress | EndWindows
"""What becomes rows together with others of its kind: one transaction of the journal has many of them."""


class Change(NamedTuple):
    """A row that is no batch, and what it does to the model."""

    entry: JournalEntry | Callable[[], JournalEntry]
    """The row; or what makes it, on the committer, when all before it is durable and it may be written."""
    apply: Callable[[], Any]
    may: Callable[[], bool] | None = None
    """Whether the row may be written now, all before it being durable; what it waits for has the committer
    called. It may raise why the row never will be. None: it may."""
    durable: Callable[[int], object] | None = None
    """Called with its position on the committer, when it is durable and before anything else is committed."""


class ResumeResult(NamedTuple):
    """What came of a resumption."""

    applied: int
    """The held examples that were learned from."""
    discarded: int
    """Those that never will be."""
    sequence: int
    """Examples applied since the model was made."""


class Resume(NamedTuple):
    """The end of a pause."""

    discard: bool


class Copy(NamedTuple):
    """A copy of the model, made while it learns on."""

    into: LogisticRegression


class Copied(NamedTuple):
    """What a copy is of."""

    position: int
    """The last position that it has applied."""
    held_since: int | None
    """Since when examples are held there."""
    notes: Mapping[str, Any] = {}
    """What is to be noted beside it."""


@dataclass(eq=False)
class Work:
    """A batch, a change, a resumption, a copy or a task for a model at rest; its room, and who waits."""

    what: Rows | Change | Resume | Copy | Callable[[], Any]
    nbytes: int
    future: asyncio.Future[Any]
    spans: Sequence[Any] = ()
    """The spans of the requests that it is of, where spans are made."""

    def give_back(self, value: Any, error: BaseException | None) -> None:
        """Tell who waits what came of it, once; a request that has gone has cancelled its future."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class CommittedGroup(NamedTuple):
    """What the applier does at once: the batches of one transaction of the journal, a change, or a task."""

    works: Sequence[Work]
    batches: Sequence[Batch] | None = None
    """What is learned from, row by row of the journal."""
    position: int | None = None
    """That of its last row; None for a task, which has none."""
    time_ms: int = 0
    came: Sequence[Applied | None] = ()
    """What has come of each work, but for the sequence."""
    held_since: int | None = None
    """Since when examples are held after this."""
    resumed_since: int | None = None
    """For a resumption: since when they were held."""
    held: int = 0
    """How many of them are to be learned from now."""
    discarded: int = 0
    """How many never will be."""
    kind: str = ""
    """That of its row, where it is a change."""
    probabilities: Sequence[NDArray[np.float32]] = ()
    """Of each batch what was predicted just before it was learned from; for those who follow."""
    digest: bytes = b""
    """The chain's digest after its last row."""
    source: SourceBody | None = None
    """What its last row says of where the others came from; None where there is no such row."""

    @property
    def nbytes(self) -> int:
        """The memory of its batches."""
        return sum(batch.nbytes for batch in self.batches or ())


class Outcome(NamedTuple):
    """What became of one piece of work."""

    work: Work
    value: Any
    error: BaseException | None
