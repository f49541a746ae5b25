"""Work ahead: run an iterator in threads of its own, a few items in front of whoever uses them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from queue import Empty, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Made(Generic[R]):
    """What a function makes of an item: a future, but that those of :mod:`concurrent` take 4 ms to import."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self._results: list[R] = []
        self._error: BaseException | None = None

    def set(self, result: R) -> None:
        self._results.append(result)
        self._there.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._there.set()

    def end(self) -> None:
        """Return when there is a result, or an error."""
        self._there.wait()

    def wait(self) -> R:
        """Return the result when it is there, or raise the error."""
        self._there.wait()
        if self._error is not None:
            raise self._error
        return self._results.pop()


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the same items in the same order, made by another thread while the earlier ones are used.

    Reading, parsing and learning release the GIL, so ``ahead(parse(ahead(read)))`` runs all three at once, in
    memory bounded by the depth. What the iterable raises is raised here, in its place in the order. Closing
    the generator (or leaving it to be collected) stops the thread after the item that it is making.

    Parameters
    ----------
    items
        What to run ahead of.
    depth
        How many finished items may wait.

    Examples
    --------
    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    return in_turns(items, [lambda item: item], depth)


def in_turns(
    items: Iterable[T], functions: Sequence[Callable[[T], R]], depth: int = 2
) -> Generator[R, None, None]:
    """Yield what functions make of items, in the items' order; each function runs in a thread of its own.

    The functions are equals: an item goes to the one that is free first. The items are made one at a time, by
    the thread that takes them. Errors, the end and closing are as for :func:`ahead`.

    Parameters
    ----------
    items
        What to work on.
    functions
        What works on them; each is called by one thread only.
    depth
        How many items may be worked on or wait.

    Examples
    --------
    >>> list(in_turns(range(4), [abs, abs]))
    [0, 1, 2, 3]
    """
    iterator = iter(items)
    turn = threading.Lock()
    queue: Queue[_Made[R] | None] = Queue(maxsize=depth)
    stopped = threading.Event()

    def run(function: Callable[[T], R]) -> None:
        while True:
            made: _Made[R] = _Made()
            with turn:
                if stopped.is_set():
                    close = getattr(iterator, "close", None)
                    if close is not None:
                        close()
                    return
                try:
                    item = next(iterator)
                except StopIteration:
                    stopped.set()
                    queue.put(None)
                    return
                except BaseException as error:  # noqa: BLE001 - raised where the items are used
                    stopped.set()
                    made.fail(error)
                    queue.put(made)
                    return
                queue.put(made)
            try:
                made.set(function(item))
            except BaseException as error:  # noqa: BLE001 - raised where the items are used
                made.fail(error)

    for function in functions:
        # A daemon: a thread that waits for standard input must not keep an interrupted command alive.
        threading.Thread(target=run, args=(function,), name="ahead", daemon=True).start()
    try:
        while (made := queue.get()) is not None:
            yield made.wait()
    finally:
        stopped.set()
        _empty(queue)


def at_once(functions: Sequence[Callable[[], R]]) -> list[R]:
    """Call some functions at the same time, each in a thread of its own, and return what they return.

    What the first of them raises is raised, when all have ended.

    Parameters
    ----------
    functions
        What to call.

    Examples
    --------
    >>> at_once([lambda: 1, lambda: 2])
    [1, 2]
    """

    def call(function: Callable[[], R], made: _Made[R]) -> None:
        try:
            made.set(function())
        except BaseException as error:  # noqa: BLE001 - raised by who waits for it
            made.fail(error)

    started = [(function, _Made[R]()) for function in functions]
    for one in started[1:]:
        threading.Thread(target=call, args=one, name="at once", daemon=True).start()
    for one in started[:1]:
        call(*one)
    for _, made in started:
        made.end()
    return [made.wait() for _, made in started]


def _empty(queue: Queue[_Made[R] | None]) -> None:
    """Make room for a thread that waits to put its item, so that it sees that it shall stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
