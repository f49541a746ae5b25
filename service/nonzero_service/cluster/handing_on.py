"""HandingOn: what a node that follows has predicted with an id, on its way to the one that writes.

With ``impressions=durable`` a prediction waits until the writer has it on disk. With ``buffered`` it is
answered at once, and handed on in the background, a moment later. It waits in bounded memory until a writer
has it on disk, be it the next one. What is handed on twice, because an answer was lost, is kept once: an id
names one impression.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from nonzero_service.errors import NotNowError, QueueFullError, WriterLostError
from nonzero_service.incidental import incidentally
from nonzero_service.problems import RETRY, Problem
from nonzero_service.workers.request_messages import ImpressionsKept, KeepImpressions

MOST_BYTES: Final = 32 << 20
"""So much waits at most; what comes beyond is lost, and counted."""

AT_ONCE: Final = 1024
"""Those of so many requests are sent together, and become durable together."""

AT_ONCE_BYTES: Final = 1 << 20

RESPITE: Final = 0.1
"""Seconds before they are sent again, where the writer does not take them now."""

Send = Callable[..., Awaitable[list[ImpressionsKept]]]
"""Sends some to whoever writes, and returns what came of each; raises NotNowError where nobody does."""

Lost = Callable[[str, int, BaseException], object]
"""Counts impressions of a model that are lost."""


class HandingOn:
    """Hands impressions on, in order; used on the event loop.

    Parameters
    ----------
    send
        See :data:`Send`.
    lost
        See :data:`Lost`.
    durable
        Whether a prediction waits until they are durable.
    most_bytes
        How much waits at most.
    """

    def __init__(self, send: Send, lost: Lost, *, durable: bool, most_bytes: int = MOST_BYTES) -> None:
        self._send = send
        self._lost = lost
        self._durable = durable
        self._most_bytes = most_bytes
        self._waiting: deque[KeepImpressions] = deque()
        self.nbytes = 0
        """What waits, in bytes."""
        self.handed_on = 0
        """How many impressions the writer has taken."""
        self._put = self._ended = 0
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("impressions")

    @property
    def count(self) -> int:
        """How many impressions wait."""
        return sum(one.count for one in self._waiting)

    async def keep(self, impressions: KeepImpressions) -> None:
        """Hand impressions on, or take note of them, as was asked for.

        Raises
        ------
        Problem
            What the writer answers where it cannot keep what is to be durable.
        NotNowError
            Where nobody writes, and they are to be durable.
        """
        impressions.handed_on = True
        if not self._durable:
            self._queue(impressions)
            return
        try:
            [kept] = await self._send(impressions)
            if kept.status not in (200, 404):  # a model that was deleted meanwhile keeps nothing
                raise Problem(kept.status, kept.detail, headers=RETRY if kept.status == 503 else ())
        except (NotNowError, Problem) as error:
            self._lost(impressions.model, impressions.count, error)
            raise
        self.handed_on += impressions.count if kept.status == 200 else 0

    async def passed(self, seconds: float) -> None:
        """Wait until all is handed on that waits now, but so long at most: a label may follow it."""
        if self._put == self._ended:
            return
        last = self._put
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._ended < last:
                    await self._moved.wait()

    async def close(self, seconds: float) -> None:
        """Hand on what waits; what is left after so long is lost."""
        await self.passed(seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            left = self.count
            error = WriterLostError("nobody has taken them before the stop")
            incidentally(self._log.error, "impressions were not handed on", count=left, reason=str(error))
            while self._waiting:
                self._end(self._waiting.popleft(), error)

    def _queue(self, impressions: KeepImpressions) -> None:
        nbytes = impressions.nbytes
        if self.nbytes + nbytes > self._most_bytes:
            self._lost(
                impressions.model,
                impressions.count,
                QueueFullError(f"{self.nbytes} bytes of impressions wait for a node that writes"),
            )
            return
        self._waiting.append(impressions)
        self.nbytes += nbytes
        self._put += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._hand_on())

    async def _hand_on(self) -> None:
        """Send what waits until nothing does."""
        while self._waiting:
            some = self._next()
            try:
                kept = await self._send(*some)
            except NotNowError:
                await asyncio.sleep(RESPITE)
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it would be so again
                for impressions in some:
                    self._waiting.popleft()
                    self._end(impressions, error)
                continue
            for impressions, answer in zip(some, kept, strict=True):
                if answer.status == 503:  # and so all behind it: they keep their order
                    await asyncio.sleep(RESPITE)
                    break
                self._waiting.popleft()
                failed = answer.status not in (200, 404)
                self._end(impressions, WriterLostError(answer.detail) if failed else None)

    def _next(self) -> list[KeepImpressions]:
        some: list[KeepImpressions] = []
        nbytes = 0
        for one in self._waiting:
            nbytes += one.nbytes
            if some and (nbytes > AT_ONCE_BYTES or len(some) == AT_ONCE):
                break
            some.append(one)
        return some

    def _end(self, impressions: KeepImpressions, error: BaseException | None) -> None:
        """Take it that the writer has kept impressions, or that they are lost."""
        self.nbytes -= impressions.nbytes
        self._ended += 1
        if error is None:
            self.handed_on += impressions.count
        else:
            self._lost(impressions.model, impressions.count, error)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
