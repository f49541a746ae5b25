"""How much is taken at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.writer.work import Impress, Learn, StreamState, Work
from nonzero_service.writer.work_queue import GATHERED_BYTES, GROUP_BYTES, WorkQueue
from service.impressions.journalled import predicted

PIECE = GROUP_BYTES // 4

BATCH = Batch([0, 1], [5], ids=["a"])
PREDICTED = predicted(BATCH, np.array([0.5], np.float32), 1)


def in_loop(use: Callable[[WorkQueue, Callable[[object], Work]], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        await use(WorkQueue(), lambda what: Work(what, PIECE, loop.create_future()))  # type: ignore[arg-type]

    asyncio.run(run())


def impress(*, waits: bool = False) -> Impress:
    return Impress(PREDICTED, StreamState(), waits)


def test_predictions_that_nobody_waits_for_are_taken_by_larger_groups() -> None:
    async def use(queue: WorkQueue, work: Callable[[object], Work]) -> None:
        put = [work(impress()) for _ in range(GATHERED_BYTES // PIECE + 3)]
        for one in put:
            queue.put(one)
        assert queue.next() == put[: GATHERED_BYTES // PIECE]
        queue.put(None)
        assert queue.next() == put[GATHERED_BYTES // PIECE :]

    in_loop(use)


@pytest.mark.parametrize("other", [impress(waits=True), Learn(BATCH, None, False, StreamState())])
def test_where_somebody_waits_a_group_is_no_larger(other: Impress | Learn) -> None:
    async def use(queue: WorkQueue, work: Callable[[object], Work]) -> None:
        put = [work(impress()) for _ in range(GATHERED_BYTES // PIECE - 1)] + [work(other)]
        for one in put:
            queue.put(one)
        assert queue.next() == put[: GROUP_BYTES // PIECE]

    in_loop(use)
