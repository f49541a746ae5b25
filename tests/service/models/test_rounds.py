"""One task looks after all, however long one of them takes, and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from nonzero_service.models import rounds
from nonzero_service.models.rounds import PORTION, Rounds
from waiting import until_in_loop


class Looked:
    """Counts looks."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> Coroutine[Any, Any, None] | None:
        self.looks += 1
        return None


class Working(Looked):
    """Has something to do, which takes until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.begun = self.ended = 0

    def look(self) -> Coroutine[Any, Any, None] | None:
        super().look()
        return self._work()

    async def _work(self) -> None:
        self.begun += 1
        try:
            await self.go_on.wait()
        finally:
            self.ended += 1


class Failing(Looked):
    """Fails at each look."""

    def look(self) -> Coroutine[Any, Any, None] | None:
        super().look()
        raise MemoryError


def test_all_are_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "LOOK_SECONDS", 0)

    async def run() -> None:
        going = Rounds()
        many = [Looked() for _ in range(2 * PORTION + 1)]
        working, failing = Working(), Failing()
        for watch in (working, failing, *many):
            going.add(watch)
        await until_in_loop(lambda: min(one.looks for one in many) > 3)
        assert failing.looks > 3
        assert working.looks == 1  # what is being done for it has not ended
        working.go_on.set()
        await until_in_loop(lambda: working.looks > 3)
        working.go_on.clear()
        await until_in_loop(lambda: working.begun > working.ended)
        await going.remove(working)
        assert working.ended == working.begun
        for watch in (failing, *many):
            await going.remove(watch)
        seen = [one.looks for one in many]
        for _ in range(100):
            await asyncio.sleep(0)
        assert [one.looks for one in many] == seen

    with capture_logs():
        asyncio.run(run())
