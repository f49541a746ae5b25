"""How far a stream goes ahead of the learner."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from nonzero import Batch
from nonzero.formats import Parsed
from nonzero_service.api.update_stream import UpdateStream
from nonzero_service.bodies.decoding import PIECE
from nonzero_service.bodies.reading import Piece
from nonzero_service.models.served import ServedModel
from nonzero_service.writer.stream_pace import LARGE_PIECE, SMALL_PIECE, WINDOW
from nonzero_service.writer.work import Applied

BATCH = Batch([0, 1], [5], labels=[1])
GIVEN = Piece(Parsed(BATCH, np.ones(1, np.int64), (), 1), 0, b"")


class Learner:
    """Takes what it is given, and is told when it has learned it."""

    queued_bytes = 0

    def __init__(self, *, gathers: bool) -> None:
        self.gathers = gathers
        self.waiting: list[asyncio.Future[Applied]] = []

    def submit(self, *_: object, **__: object) -> asyncio.Future[Applied]:
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    async def room(self, _: int) -> None:
        pass


def stream_to(learner: Learner) -> UpdateStream:
    served: Any = SimpleNamespace(name="m", learner=learner, sequence=0)
    return UpdateStream(cast(ServedModel, served), None)


@pytest.mark.parametrize("gathers", [True, False])
def test_beside_single_examples_one_piece_is_with_the_learner_at_a_time(gathers: bool) -> None:
    async def run() -> None:
        learner = Learner(gathers=gathers)
        stream = stream_to(learner)
        giving = asyncio.create_task(stream.give(GIVEN.parsed, GIVEN))
        for _ in range(10):
            await asyncio.sleep(0)
        assert giving.done() == (not gathers)
        learner.waiting[0].set_result(Applied(1, 1, None))
        await giving
        assert stream.tally.accepted == (1 if gathers else 0)

    asyncio.run(run())


def test_pieces_are_small_beside_others_and_smallest_beside_single_examples() -> None:
    learner = Learner(gathers=True)
    stream = stream_to(learner)
    assert stream.piece_bytes() == SMALL_PIECE
    learner.gathers = False
    assert stream.piece_bytes() == LARGE_PIECE
    learner.queued_bytes = WINDOW + 1
    assert stream.piece_bytes() == PIECE
    assert SMALL_PIECE < PIECE < LARGE_PIECE
