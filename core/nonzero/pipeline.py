"""Work ahead: run an iterator in a thread of its own, a few items in front of whoever uses them."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import Empty, Queue
from typing import Final, TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

_END: Final = object()


class _Failed:
    """What the iterator raised, on its way to the thread that uses it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


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
    queue: Queue[object] = Queue(maxsize=depth)
    stopped = threading.Event()

    def run() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                queue.put(item)
                if stopped.is_set():
                    return
            queue.put(_END)
        except BaseException as error:  # noqa: BLE001 - raised where the items are used
            queue.put(_Failed(error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    # A daemon: a thread that waits for standard input must not keep an interrupted command alive.
    threading.Thread(target=run, name="ahead", daemon=True).start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]  # everything else in the queue came from the iterable
    finally:
        stopped.set()
        _empty(queue)


def _empty(queue: Queue[object]) -> None:
    """Make room for a thread that waits to put its item, so that it sees that it shall stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
