"""Working ahead keeps order and errors, in bounded memory, and stops when nobody wants more."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from nonzero.sources.pipeline import ahead, at_once, in_turns
from waiting import SECONDS, until


def workers() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


def wait_until_no_worker_is_left() -> None:
    until(lambda: workers() == 0)


def waits(thread: threading.Thread) -> bool:
    """Whether a thread is at a lock or a queue, and not at making anything."""
    assert thread.ident is not None
    frame = sys._current_frames()[thread.ident]
    return frame.f_globals["__name__"] in ("threading", "queue", "nonzero.sources.pipeline")


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_order_is_kept(depth: int) -> None:
    assert list(ahead(range(1000), depth)) == list(range(1000))
    wait_until_no_worker_is_left()


def test_items_are_made_in_another_thread_and_only_so_far_ahead() -> None:
    made: list[int] = []
    threads = set()

    def count() -> Iterator[int]:
        for k in range(100):
            threads.add(threading.current_thread())
            made.append(k)
            yield k

    items = ahead(count(), depth=3)
    assert next(items) == 0
    until(lambda: len(made) >= 1 + 3 + 1)  # used, waiting, and the one in hand
    [thread] = threads
    until(lambda: waits(thread))
    assert len(made) == 1 + 3 + 1
    items.close()
    assert threading.current_thread() not in threads


def test_what_the_iterable_raises_arrives_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="line 2"):
        next(items)
    wait_until_no_worker_is_left()


@pytest.mark.parametrize("depth", [1, 2])
def test_closing_stops_a_whole_chain_of_threads(depth: int) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = ahead(ahead(ahead(endless(), depth), depth), depth)
    next(items)
    items.close()
    assert closed.wait(SECONDS)
    wait_until_no_worker_is_left()


def test_functions_that_take_turns_run_at_once_and_keep_the_order() -> None:
    together = threading.Barrier(2)

    def first(k: int) -> int:
        if k < 2:
            together.wait(SECONDS)  # only both can pass
        time.sleep(0.0001 * (k % 3))
        return k

    assert list(in_turns(range(200), [first, first], 3)) == list(range(200))
    wait_until_no_worker_is_left()


def test_what_a_function_raises_arrives_in_its_place() -> None:
    items = in_turns([1, 2, 0, 3, 4], [lambda k: 12 // k] * 2)
    assert [next(items), next(items)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(items)
    wait_until_no_worker_is_left()


def test_functions_are_called_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert sorted(at_once([both.wait, both.wait])) == [0, 1]


def test_an_error_is_raised_when_all_have_ended() -> None:
    failed, done = threading.Event(), []

    def fail() -> None:
        failed.set()
        raise OSError("no")

    def end() -> None:
        failed.wait(10)
        time.sleep(0.05)
        done.append(1)

    for functions in ([fail, end], [end, fail]):
        failed.clear()
        done.clear()
        with pytest.raises(OSError, match="no"):
            at_once(functions)
        assert done == [1]
