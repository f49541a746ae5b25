"""Where log lines go: a bounded queue in memory, and one thread that writes them to a file descriptor.

Whoever logs never waits and never gets an error. A pipe that nobody reads, a reader that has gone and a full
disk cost log lines, which are counted, and nothing else.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final

MOST_BYTES: Final = 4 << 20
"""What may wait to be written, in bytes."""

MOST_LINES: Final = 16_384
"""What may wait to be written, in lines."""

WHOLE: Final = select.PIPE_BUF
"""Bytes of one write: to a pipe so much goes whole, so lines of processes that share one do not mix."""

POLL_SECONDS: Final = 0.002
"""How often :meth:`Sink.flush` looks whether all is written."""

FULL_SECONDS: Final = 0.1
"""How long a descriptor that does not block is waited for before it is tried again."""


class Sink:
    """Takes lines from any thread, and writes them in their order.

    Parameters
    ----------
    descriptor
        Where they go.

    Attributes
    ----------
    say_lost
        Makes the line that says how many were lost before it.
    """

    say_lost: Callable[[int], bytes]

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.say_lost = b"%d log lines were lost\n".__mod__
        self.dropped = 0
        """How many lines were lost: there was no room, or they could not be written."""
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin without a thread: a child that is forked has none, and its parent writes what was queued."""
        # One thread may log while it logs: a signal's handler or a finalizer may run between any two lines of
        # Python. So what is taken here can be taken again by the same thread.
        self._lock = threading.RLock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._lines: list[bytes] = []
        self._size = 0
        self._writing = False
        self._thread: threading.Thread | None = None
        self._said = self.dropped
        self._torn = False

    def put(self, line: bytes) -> None:
        """Take a line, its end included; where there is no room it is dropped, and counted."""
        try:
            with self._lock:
                if self._size + len(line) > MOST_BYTES or len(self._lines) >= MOST_LINES:
                    self.drop(1)
                    return
                self._lines.append(line)
                self._size += len(line)
                if len(self._lines) == 1:
                    self._wake.put(None)
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="log", daemon=True)
                    thread.start()
                    self._thread = thread
        except Exception:  # noqa: BLE001 - no memory, or no thread: the next line tries again
            self.drop(1)

    def drop(self, lines: int) -> None:
        """Count lines that are lost."""
        with self._lock:
            self.dropped += lines

    def flush(self, seconds: float) -> bool:
        """Wait until all that was taken is written, but so long at most; return whether it is."""
        end = time.monotonic() + seconds
        while self._lines or self._writing:
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _run(self) -> None:
        while True:
            self._wake.get()
            with self._lock:
                self._writing = True
                taken, self._lines = self._lines, []
                self._size = 0
            for group in _groups(taken):
                try:
                    self._write(group)
                except Exception:  # noqa: BLE001 - such as no memory; the thread lives as long as the process
                    self.drop(len(group))
            self._writing = False

    def _write(self, lines: Sequence[bytes]) -> None:
        """Write some lines; what cannot be written is lost."""
        lost = self.dropped - self._said
        if lost and self._write_whole(self.say_lost(lost)):
            self._said += lost
        if not self._write_whole(b"".join(lines)):
            self.drop(len(lines))

    def _write_whole(self, data: bytes) -> bool:
        if self._torn:  # what was written last has no end of its line
            data = b"\n" + data
        left = memoryview(data)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            self._torn = self._torn if len(left) == len(data) else data[-len(left) - 1 : -len(left)] != b"\n"
            return False
        self._torn = False
        return True

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody else has made it so
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll(FULL_SECONDS * 1000)


def _groups(lines: Sequence[bytes]) -> list[list[bytes]]:
    """Put lines together that one write takes whole; a longer line is alone."""
    groups: list[list[bytes]] = []
    size = WHOLE
    for line in lines:
        if size + len(line) > WHOLE:
            groups.append([])
            size = 0
        groups[-1].append(line)
        size += len(line)
    return groups
