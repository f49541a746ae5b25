"""What is learned and how far its topics were read are durable together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.errors import OriginError
from nonzero_service.journal.errors import DiskFullError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.fold import apply
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import (
    Origin,
    PartitionRead,
    Position,
    Run,
    partitions_of,
    positions_of,
    watermark_of,
)
from nonzero_service.writer.source_rows import (
    MOST,
    source_in,
)
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import StreamState
from service.failures import no_failure

ID, OTHER = "4wbVvdzYRQqL1Hl4pBfmcA", "9QyVbQ7vRZG8x0Lk2mTn1w"


def run(first: int, following: int, partition: int = 0, topic_id: str = ID, *, epoch: int = 3) -> Run:
    """Messages of a topic, each of one example."""
    n = following - first
    return Run("clicks", topic_id, partition, first, following, epoch, n, 0, n)


def examples(n: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(np.arange(n + 1) * 3, rng.integers(0, 2**10, 3 * n), labels=rng.integers(0, 2, n))


def new_model() -> LogisticRegression:
    return LogisticRegression(10, AdaGrad(0.1))


class Fed:
    """Runs uses of a learner over one journal, from start to start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, use: Callable[[ModelLearner], Awaitable[None]]) -> LogisticRegression:
        with SqliteJournal(self.directory) as journal:
            if not journal.position:
                journal.append([settings_entry(new_model())])
            model = self.folded(journal)

            async def serve() -> None:
                threads = WriterThreads()
                learner = ModelLearner(model, journal, 2**24, no_failure, threads)
                try:
                    await use(learner)
                finally:
                    await learner.close()
                    threads.close()

            asyncio.run(serve())
            folded = self.folded(journal)
        assert folded.digest() == model.digest()
        assert folded.notes == model.notes
        return model

    @staticmethod
    def folded(journal: SqliteJournal) -> LogisticRegression:
        model = new_model()
        for one in journal.read(1):
            apply(model, one)
        return model


@pytest.fixture
def fed(tmp_path: Path) -> Fed:
    return Fed(tmp_path)


def kinds(learner: ModelLearner, start: int = 2) -> list[str]:
    return [one.kind for one in learner.journal.read(start)]


def test_a_group_ends_with_where_it_came_from(fed: Fed) -> None:
    async def use(learner: ModelLearner) -> None:
        stream = StreamState()
        first = learner.submit(examples(5), stream=stream, origin=Origin((run(0, 5),)))
        await first
        rest = [
            learner.submit(examples(3, j), stream=stream, origin=Origin((run(5 + 3 * j, 8 + 3 * j),), 60 + j))
            for j in range(4)
        ]
        assert [one.sequence for one in await asyncio.gather(*rest)] == [8, 11, 14, 17]
        rows = list(learner.journal.read(2))
        assert [one.kind for one in rows[:2]] == ["batch", "source"]
        assert {rows[j].kind for j in range(len(rows)) if j % 2} == {"source"}
        assert sum(len(source_in(one).runs) for one in rows if one.kind == "source") == len(rows) // 2
        assert learner.source_positions == {(ID, 0): Position(17, 3)}

    model = fed(use)
    assert positions_of(model.notes) == {(ID, 0): Position(17, 3)}
    assert watermark_of(model.notes) == 63
    assert model.examples == 17


def test_what_taught_nothing_moves_positions_too(fed: Fed) -> None:
    refused = Run("clicks", ID, 0, 0, 4, 3, 3, 3, 0)

    async def use(learner: ModelLearner) -> None:
        await learner.submit(Batch.empty(), origin=Origin((refused,)))
        assert kinds(learner) == ["source"]
        await learner.submit(examples(2), origin=Origin(()))
        assert kinds(learner) == ["source", "batch", "source"]

    assert partitions_of(fed(use).notes) == [PartitionRead("clicks", ID, 0, 4, 3, 3, 3, 0)]


def test_what_does_not_follow_is_refused_and_ends_its_stream(fed: Fed) -> None:
    async def use(learner: ModelLearner) -> None:
        stream = StreamState()
        pieces = [
            learner.submit(examples(n), stream=stream, origin=Origin((one,)))
            for n, one in ((5, run(0, 5)), (1, run(6, 7)), (1, run(7, 8)), (3, run(5, 8)))
        ]
        other = learner.submit(examples(2), origin=Origin((run(5, 7),)))
        first, *refused = await asyncio.gather(*pieces, return_exceptions=True)
        assert not isinstance(first, BaseException)
        assert [str(one) for one in refused] == [
            f"topic 'clicks' (id {ID}), partition 0: the offsets 5 to 6 are missing, before 6 to 7"
        ] * 3
        assert isinstance(refused[0], OriginError)
        assert (await other).sequence == 7
        assert learner.source_positions == {(ID, 0): Position(7, 3)}

    assert positions_of(fed(use).notes) == {(ID, 0): Position(7, 3)}


def test_a_start_goes_on_from_what_is_noted(fed: Fed) -> None:
    async def begin(learner: ModelLearner) -> None:
        await learner.submit(examples(5), origin=Origin((run(0, 5),)))

    async def go_on(learner: ModelLearner) -> None:
        assert learner.source_positions == {(ID, 0): Position(5, 3)}
        with pytest.raises(OriginError, match="what is before 5 was read already"):
            await learner.submit(examples(5), origin=Origin((run(0, 5),)))
        await learner.submit(examples(1), origin=Origin((run(5, 6),)))

    fed(begin)
    assert fed(go_on).examples == 6


def test_an_append_that_fails_leaves_positions_and_ends_the_stream(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(learner: ModelLearner) -> None:
        stream = StreamState()

        def submit(n: int, first: int) -> asyncio.Future[Any]:
            return learner.submit(examples(n), stream=stream, origin=Origin((run(first, first + n),)))

        await submit(5, 0)
        with monkeypatch.context() as patched:
            patched.setattr(SqliteJournal, "append", full)
            with pytest.raises(DiskFullError):
                await submit(3, 5)
        with pytest.raises(DiskFullError):
            await submit(3, 8)
        assert learner.source_positions == {(ID, 0): Position(5, 3)}
        stream = StreamState()
        await submit(3, 5)

    def full(*_: object) -> int:
        raise DiskFullError("no space left")

    assert positions_of(fed(use).notes) == {(ID, 0): Position(8, 3)}


def test_partitions_are_bounded(fed: Fed) -> None:
    async def use(learner: ModelLearner) -> None:
        await learner.submit(Batch.empty(), origin=Origin(tuple(run(0, 1, j) for j in range(MOST))))
        with pytest.raises(
            OriginError, match=f"may be fed of {MOST} partitions, and this would be {MOST + 1}"
        ):
            await learner.submit(Batch.empty(), origin=Origin((run(0, 1, MOST),)))

    assert len(partitions_of(fed(use).notes)) == MOST
