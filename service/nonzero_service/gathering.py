"""Gathering: single examples that wait for the same commit, read and learned from at once.

With many clients that send an example each, what a request costs is what is done for it alone: a batch, a
row of its own and a call of each kernel would cost several times the learning. So the bodies wait as they
came, and the committer reads all that have gathered as one, when it comes to them.

A body that cannot be read so (another form, something wrong with it) is given back, to be read by itself.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from nonzero import Batch
from nonzero.examples import usable
from nonzero.formats.ndjson import read_bodies
from nonzero_service.work import Applied, Learn, Pieces, Work

__all__ = ["MOST", "Gathered"]

MOST: Final = 1 << 18
"""So many bytes of bodies gather at most."""


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
        self._futures: list[asyncio.Future[Applied | None]] = []
        self._taken: list[int] = []

    def add(self, body: bytes) -> asyncio.Future[Applied | None] | None:
        """Add a body; return who waits for it, or None where this takes no more.

        The result is None where the body has to be read by itself.
        """
        future: asyncio.Future[Applied | None] = self._loop.create_future()
        with self._lock:
            if self._closed or self.nbytes >= MOST:
                return None
            self._bodies.append(body)
            self._futures.append(future)
            self.nbytes += len(body)
        return future

    def close(self, bits: int) -> None:
        """Take no more, and read what there is, for a table of ``2**bits`` slots; on the committer."""
        with self._lock:
            self._closed = True
        # What nobody waits for any more is not learned from.
        wanted = [place for place, future in enumerate(self._futures) if not future.cancelled()]
        bodies = [self._bodies[place] for place in wanted]
        parsed = usable(read_bodies(bodies), bits, labelled=True)
        self._taken = [wanted[line - 1] for line in parsed.lines.tolist()]
        self.what = self.what._replace(batch=parsed.batch)
        self._bodies = []

    def give_back(self, value: Applied, error: BaseException | None) -> None:
        """Give each its result."""
        if error is not None:
            for future in self._futures:
                if not future.cancelled():
                    future.set_exception(error)
            return
        results: list[Applied | None] = [None] * len(self._futures)
        first = value.sequence - value.examples + 1
        for rank, place in enumerate(self._taken):
            learned = rank < value.examples
            results[place] = (
                Applied(1, first + rank, None) if learned else Applied(0, value.sequence, None, 1)
            )
        for future, result in zip(self._futures, results, strict=True):
            if not future.cancelled():
                future.set_result(result)
