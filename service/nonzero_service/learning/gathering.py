"""Gathering: single examples that wait for the same commit, read and learned from at once.

With many clients that send an example each, what a request costs is what is done for it alone: a batch, a
row of its own and a call of each kernel would cost several times the learning. So the bodies wait as they
came, and the committer reads all that have gathered as one, when it comes to them.

A body that cannot be read so (another form, something wrong with it) is given back, to be read by itself.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final, Protocol

from nonzero import Batch, Schema
from nonzero.formats.json_bodies import read_bodies
from nonzero.sources.examples import usable
from nonzero_service.learning.work import Applied, Learn, Pieces, Work

__all__ = ["MOST", "Gathered", "Waiter"]

MOST: Final = 1 << 18
"""So many bytes of bodies gather at most."""


class Waiter(Protocol):
    """Who waits for what comes of one body; a future of asyncio is one."""

    def cancelled(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Applied | None, /) -> None:
        """Take the result, on the event loop; None where the body has to be read by itself."""

    def set_exception(self, error: BaseException, /) -> None:
        """Take an error, on the event loop."""


class Gathered(Work):
    """The bodies of requests, each of which waits for its own result; made and added to on the event loop.

    Parameters
    ----------
    loop
        The event loop.
    """

    what: Learn

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(Learn(Batch.empty(), None, False, Pieces(), None), 0, loop.create_future())
        self._loop = loop
        self._lock = threading.Lock()
        self._closed = False
        self._bodies: list[bytes] = []
        self._waiters: list[Waiter] = []
        self._taken: list[int] = []

    def add(self, body: bytes, waiter: Waiter) -> bool:
        """Add a body, and who waits for it; return whether this takes it."""
        with self._lock:
            if self._closed or self.nbytes >= MOST:
                return False
            self._bodies.append(body)
            self._waiters.append(waiter)
            self.nbytes += len(body)
        return True

    def close(self, bits: int, schema: Schema) -> None:
        """Take no more, and read what there is by a model's schema, for a table of ``2**bits`` slots.

        On the committer.
        """
        with self._lock:
            self._closed = True
        # What nobody waits for any more is not learned from.
        wanted = [place for place, waiter in enumerate(self._waiters) if not waiter.cancelled()]
        bodies = [self._bodies[place] for place in wanted]
        parsed = usable(read_bodies(bodies, schema), bits, labelled=True)
        self._taken = [wanted[line - 1] for line in parsed.lines.tolist()]
        self.what = self.what._replace(batch=parsed.batch)
        self._bodies = []

    def give_back(self, value: Applied, error: BaseException | None) -> None:
        """Give each its result."""
        if error is not None:
            for waiter in self._waiters:
                if not waiter.cancelled():
                    waiter.set_exception(error)
            return
        results: list[Applied | None] = [None] * len(self._waiters)
        first = value.sequence - value.examples + 1
        for rank, place in enumerate(self._taken):
            learned = rank < value.examples
            results[place] = (
                Applied(1, first + rank, None) if learned else Applied(0, value.sequence, None, 1)
            )
        for waiter, result in zip(self._waiters, results, strict=True):
            if not waiter.cancelled():
                waiter.set_result(result)
