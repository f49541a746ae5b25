"""Backlog: what was read and not yet taken; bounded, from the thread that reads to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from nonzero_service.errors import ClosedError
from nonzero_service.kafka.records import Chunk


class Backlog:
    """Chunks that wait.

    Parameters
    ----------
    most_bytes
        So many may wait before nothing more is read.
    """

    def __init__(self, most_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._come = asyncio.Event()
        self._most = most_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._error: BaseException | None = None
        self._paused = False
        self._closed = False

    # --- on the event loop

    async def take(self) -> list[Chunk]:
        """Return what waits, at least one chunk; wait for it.

        Raises
        ------
        BaseException
            What the thread has failed with, when all that it has read is taken.
        """
        while True:
            with self._lock:
                if self._chunks:
                    chunks, self._chunks, self._bytes = self._chunks, [], 0
                    self._changed.notify_all()
                    return chunks
                if self._closed:
                    raise ClosedError("the reader of topics is closed")
                if self._error is not None:
                    raise self._error
                self._come.clear()
            await self._come.wait()

    def hold(self, *, paused: bool) -> None:
        """Have nothing more read, or again."""
        with self._lock:
            self._paused = paused
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True
            self._chunks, self._bytes = [], 0
            self._changed.notify_all()
        self._come.set()

    # --- on the thread that reads

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    @property
    def left(self) -> int:
        """How many bytes there is room for now; there is no less until more is put."""
        return self._most - self._bytes

    def room(self, seconds: float) -> bool:
        """Wait some seconds for room; whether there is any."""
        with self._lock:
            return self._changed.wait_for(self._has_room, seconds) and not self._closed

    def _has_room(self) -> bool:
        return self._closed or (not self._paused and self._bytes < self._most)

    def put(self, chunks: Sequence[Chunk], size: int) -> None:
        """Have chunks taken."""
        with self._lock:
            if self._closed:
                return
            self._chunks += chunks
            self._bytes += size
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Have an error raised, behind what waits."""
        with self._lock:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has ended before its reader
            self._loop.call_soon_threadsafe(self._come.set)
