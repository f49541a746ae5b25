from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from nonzero_service.bodies import freed_memory
from nonzero_service.bodies.freed_memory import ENOUGH, FreedMemory
from waiting import until_in_loop


class Aside:
    """Counts what is to be run aside, and runs it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, task: Callable[[], object]) -> None:
        task()
        self.count += 1

    def has_run(self, count: int) -> bool:
        return self.count == count


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> Aside:
    monkeypatch.setattr(freed_memory, "QUIET", 0.01)
    return Aside()


def test_memory_is_given_back_once_when_no_body_has_come_for_a_moment(aside: Aside) -> None:
    async def run() -> None:
        freed = FreedMemory(aside)
        for count in (1, 2):
            for _ in range(8):
                freed.used(ENOUGH // 4)
            assert aside.count == count - 1, "not while they come"
            await until_in_loop(partial(aside.has_run, count))
        freed.used(ENOUGH - 1)
        assert freed._timer is None, "there is little to give back"

    asyncio.run(run())


def test_nothing_is_given_back_after_the_end(aside: Aside) -> None:
    async def run() -> None:
        freed = FreedMemory(aside)
        freed.used(ENOUGH)
        assert freed._timer is not None
        freed.close()
        assert freed._timer.cancelled()

    asyncio.run(run())


def test_an_allocator_that_cannot_is_left_alone(aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())

    async def run() -> None:
        freed = FreedMemory(aside)
        freed.used(ENOUGH)
        assert freed._timer is None

    asyncio.run(run())
