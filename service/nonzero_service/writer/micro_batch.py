"""Micro-batches: single examples that wait for the same commit, read and learned from at once.

With many clients that send an example each, what a request costs is what is done for it alone: a batch, a
row of its own and a call of each kernel would cost several times the learning. So the bodies wait as they
came, and the committer reads all that have gathered as one, when it comes to them.

A body that cannot be read so (another form, something wrong with it) is given back, to be read by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, Schema
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.formats.json_bodies import read_bodies
from nonzero_service.writer.teachable import teachable
from nonzero_service.writer.work import Applied, Learn, StreamState, Work

MOST: Final = 1 << 18
"""So many bytes of bodies gather at most."""


Meets = Callable[[Sequence[str | None]], NDArray[np.intp]]
"""Returns which of some ids, None where there is none, are those of impressions."""


class Waiter(Protocol):
    """Who waits for what comes of one body; a future of asyncio is one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Applied | None, /) -> None:
        """Take the result, on the event loop; None where the body has to be read by itself."""

    def set_exception(self, error: BaseException, /) -> None:
        """Take an error, on the event loop."""


NOTHING: Final = Batch.empty()
"""Made once: checking what a batch holds takes longer than all else that is done here for one example."""


class MicroBatch(Work):
    """The bodies of requests, each of which waits for its own result; made and added to on the event loop.

    Parameters
    ----------
    loop
        The event loop.
    max_weight
        The largest importance weight that an example may have.
    """

    what: Learn

    def __init__(self, loop: asyncio.AbstractEventLoop, max_weight: float = MAX_WEIGHT) -> None:
        super().__init__(Learn(NOTHING, None, False, StreamState()), 0, loop.create_future())
        self._loop = loop
        self._max_weight = max_weight
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: list[tuple[bytes, Waiter]] = []  # both or neither: results find their waiter by place
        self._taken: list[int] = []
        self.spans: list[Any] = []

    def add(self, body: bytes, waiter: Waiter, span: Any = None) -> bool:
        """Add a body, who waits for it, and its request's span; return whether this takes it."""
        with self._lock:
            if self._closed or self.nbytes >= MOST:
                return False
            self._waiting.append((body, waiter))
            self.nbytes += len(body)
            if span is not None:
                self.spans.append(span)
        return True

    def close(self, bits: int, schema: Schema, met: Meets) -> None:
        """Take no more, and read what there is by a model's schema, for a table of ``2**bits`` slots.

        On the committer. What is the label of an impression, as `met` tells, is read by itself.
        """
        with self._lock:
            self._closed = True
        # What nobody waits for any more is not learned from.
        wanted = [place for place, (_, waiter) in enumerate(self._waiting) if not waiter.done()]
        bodies = [self._waiting[place][0] for place in wanted]
        parsed = teachable(read_bodies(bodies, schema), bits, self._max_weight, labelled=True)
        if parsed.batch.ids is not None and (labels := met(parsed.batch.ids)).size:
            kept = np.ones(len(parsed.batch), np.bool_)
            kept[labels] = False
            parsed = parsed._replace(batch=parsed.batch.select(kept), lines=parsed.lines[kept])
        self._taken = [wanted[line - 1] for line in parsed.lines.tolist()]
        self.what = self.what._replace(batch=parsed.batch)

    def give_back(self, value: Applied, error: BaseException | None) -> None:
        """Give each its result; one that cannot take it does not keep the others from theirs."""
        with self._lock:  # where :meth:`close` was not come to
            self._closed = True
        results: list[Applied | None] = [None] * len(self._waiting)
        if error is None:
            first = value.sequence - value.examples + 1
            for rank, place in enumerate(self._taken):
                learned = rank < value.examples
                results[place] = (
                    Applied(1, first + rank, None) if learned else Applied(0, value.sequence, None, 1)
                )
        failure: Exception | None = None
        for (_, waiter), result in zip(self._waiting, results, strict=True):
            try:
                if waiter.done():
                    continue
                if error is None:
                    waiter.set_result(result)
                else:
                    waiter.set_exception(error)
            except Exception as raised:  # noqa: BLE001 - it is raised when all have had their turn
                failure = raised
        self._waiting = []
        if failure is not None:
            raise failure
