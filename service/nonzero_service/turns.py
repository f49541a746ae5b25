"""Turns: a few threads do what there is to do for many, a piece at a time.

Whoever has something to do calls for a turn, and is in one thread's hands at a time. A turn is short: where
others wait, they come first.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final


class Turns:
    """Threads that give turns, in the order in which they were called for.

    Parameters
    ----------
    name
        What the threads are called, and a number.
    most
        How many threads there are at most.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._called: SimpleQueue[Turn | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start one more thread, unless there are enough; once for each who will call for turns.

        Raises
        ------
        RuntimeError
            Where the system has no more threads.
        """
        with self._starting:
            if len(self._threads) < self._most:
                # Daemons: a process that is to end at once must not wait for a disk that does not answer.
                name = f"{self._name} {len(self._threads) + 1}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def put(self, turn: Turn) -> None:
        """Queue a turn."""
        self._called.put(turn)

    @property
    def someone_waits(self) -> bool:
        """Whether a turn waits for a thread."""
        return not self._called.empty()

    def close(self) -> None:
        """End the threads, after the turns that wait; a second call does nothing."""
        with self._starting:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._called.put(None)
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            turn: Turn | None = None
            try:
                turn = self._called.get()
                if turn is None:
                    return
                turn.take()
            except BaseException as error:  # noqa: BLE001 - the thread serves others too
                if turn is not None:
                    turn.fail(error)


class _State(enum.Enum):
    IDLE = enum.auto()
    WAITING = enum.auto()
    TAKEN = enum.auto()
    CALLED = enum.auto()  # again, since it was taken


class Turn:
    """What is to be done for one, by whichever thread is free.

    Parameters
    ----------
    turns
        The threads.
    do
        Does one piece, and returns whether there is more; by one thread at a time.
    failed
        Told what it raised; then it is called again.
    """

    def __init__(
        self, turns: Turns, do: Callable[[], bool], failed: Callable[[BaseException], object]
    ) -> None:
        self._turns: Final = turns
        self._do = do
        self._failed = failed
        self._lock = threading.Lock()
        self._state = _State.IDLE

    def close(self) -> None:
        """Let go of what was done, which holds this too; nothing is done any more."""
        self._do, self._failed = _nothing, _say_nothing

    @property
    def is_idle(self) -> bool:
        """Whether it was neither called for nor taken."""
        return self._state is _State.IDLE

    def call(self) -> None:
        """Let it be done, now or soon; from any thread."""
        with self._lock:
            if self._state is _State.IDLE:
                self._turns.put(self)
                self._state = _State.WAITING
            elif self._state is _State.TAKEN:
                self._state = _State.CALLED

    def take(self) -> None:
        """Do what there is to do, until others wait; on one of the threads."""
        while True:
            with self._lock:
                self._state = _State.TAKEN
            try:
                more = self._do()
            except BaseException as error:  # noqa: BLE001 - whatever it is, somebody must be told
                more = True
                self._failed(error)
            with self._lock:
                if not more and self._state is _State.TAKEN:
                    self._state = _State.IDLE
                    return
                if self._turns.someone_waits:
                    self._turns.put(self)
                    self._state = _State.WAITING
                    return

    def fail(self, error: BaseException) -> None:
        """Take note that a turn could not be taken, or called for again."""
        self._state = _State.IDLE
        self._failed(error)
        self.call()


def _nothing() -> bool:
    return False


def _say_nothing(_: BaseException) -> None:
    pass
