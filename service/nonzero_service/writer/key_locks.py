"""Locks of idempotency keys: a repeat of a request waits until the request in flight has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nonzero_service.errors import KeyInFlightError
from nonzero_service.writer.work import StreamState

__all__ = ["KeyLocks"]

PATIENCE: Final = 10.0
"""Seconds for which a repeat waits for the request that is in flight."""


class KeyLocks:
    """One lock for each idempotency key: of the requests with one key, one is answered at a time."""

    def __init__(self) -> None:
        self._in_flight: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[StreamState]:
        """Wait for the key's lock, and hold it.

        It is released when everything that was submitted for the request has ended, whatever fails. A repeat
        that began before the journal knows of it would learn from it again.

        Parameters
        ----------
        key
            The request's ``Idempotency-Key``.

        Yields
        ------
        StreamState
            The state of the stream that the request's batches belong to.

        Raises
        ------
        KeyInFlightError
            If another request holds the lock for more than ten seconds.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while (other := self._in_flight.get(key)) is not None:
                    await other.wait()
        except TimeoutError:
            raise KeyInFlightError(
                f"a request with the Idempotency-Key {key!r} is still being read; come again in a second"
            ) from None
        stream = StreamState()  # whatever fails here is to leave the key free
        ended = asyncio.Event()
        self._in_flight[key] = ended
        try:
            try:
                yield stream
            finally:
                await stream.ended()
        finally:
            del self._in_flight[key]
            ended.set()
