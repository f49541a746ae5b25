"""Turns: one thread at a time for each, none held up by a busy one, and nobody forgotten after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from nonzero_service.turns import Turn, Turns
from waiting import SECONDS, until


def no_failure(error: BaseException) -> None:
    raise AssertionError from error


def once(done: threading.Event) -> Callable[[], bool]:
    """Return what is done once."""

    def work() -> bool:
        done.set()
        return False

    return work


@pytest.fixture
def one_thread() -> Iterator[Turns]:
    turns = Turns("turn", 1)
    turns.start()
    yield turns
    turns.close()


def test_each_is_in_one_threads_hands_at_a_time_and_all_is_done() -> None:
    turns = Turns("turn", 4)
    for _ in range(6):
        turns.start()
    left, at_once, most, done = [2000] * 5, [0] * 5, [0] * 5, threading.Event()

    def work(n: int) -> bool:
        at_once[n] += 1
        most[n] = max(most[n], at_once[n])
        left[n] -= 1
        if not any(left):
            done.set()
        at_once[n] -= 1
        return left[n] > 0

    for n in range(5):
        Turn(turns, lambda n=n: work(n), no_failure).call()  # type: ignore[misc]
    assert done.wait(SECONDS)
    turns.close()
    assert (left, most) == ([0] * 5, [1] * 5)


def test_a_busy_one_lets_others_come_first(one_thread: Turns) -> None:
    order: list[str] = []
    both = threading.Event()

    def busy() -> bool:
        both.wait(SECONDS)
        order.append("busy")
        return len(order) < 10

    def other() -> bool:
        order.append("other")
        return False

    Turn(one_thread, busy, no_failure).call()
    Turn(one_thread, other, no_failure).call()
    both.set()
    until(lambda: len(order) >= 10)
    assert order[:2] == ["busy", "other"]


def test_a_call_while_it_is_taken_is_a_further_turn(one_thread: Turns) -> None:
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def work() -> bool:
        calls.append(threading.current_thread().name)
        begun.set()
        go_on.wait(SECONDS)
        return False

    turn = Turn(one_thread, work, no_failure)
    turn.call()
    assert begun.wait(SECONDS)
    turn.call()
    turn.call()
    go_on.set()
    until(lambda: turn.is_idle)
    assert calls == ["turn 1"] * 2


def test_what_fails_is_told_tried_again_and_keeps_no_thread_from_others(one_thread: Turns) -> None:
    class TornError(BaseException):
        """Something that nobody expects."""

    failures: list[BaseException] = []
    tried: list[int] = []

    def fail_once() -> bool:
        tried.append(1)
        if len(tried) == 1:
            raise TornError
        return False

    Turn(one_thread, fail_once, failures.append).call()
    until(lambda: len(tried) == 2)
    assert [type(failure) for failure in failures] == [TornError]
    after = threading.Event()
    Turn(one_thread, once(after), no_failure).call()
    assert after.wait(SECONDS)


def test_a_turn_that_cannot_be_taken_is_told_too(one_thread: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def fail_once(_: Turn) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(Turn, "take", fail_once)
    Turn(one_thread, once(done), failures.append).call()
    assert done.wait(SECONDS)
    assert [type(failure) for failure in failures] == [MemoryError]
