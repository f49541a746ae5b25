from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.errors import OriginError
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError, DiskFullError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.fold import apply, follow, take_over_notes
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import (
    MOST,
    SOURCES_NOTE,
    Origin,
    PartitionRead,
    Position,
    Run,
    Skip,
    SourceBody,
    noted_after,
    partitions_of,
    positions_of,
    source_entry,
    source_in,
    source_of,
    watermark_of,
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


def row(source: SourceBody | bytes, position: int = 7, sequence: int = 0) -> JournalRow:
    body = source if isinstance(source, bytes) else source_entry(source).body
    return JournalRow(position, sequence, 0, "source", 1, 0, b"", body, b"")


# -- what a row says -----------------------------------------------------------------------------------


def test_runs_that_follow_each_other_become_one() -> None:
    source = source_of(
        [Origin((run(0, 5), run(5, 8, epoch=4)), 20), Origin((run(8, 8, epoch=-1),)), Origin((), 10)]
    )
    assert source == SourceBody((Run("clicks", ID, 0, 0, 8, 4, 8, 0, 8),), 20)


def test_runs_stay_apart_where_another_partition_or_a_gap_is_between() -> None:
    apart = (run(0, 5), run(0, 2, 1), run(5, 6), run(9, 10), run(10, 11, topic_id=OTHER))
    assert source_of(Origin((one,)) for one in apart).runs == apart


def test_a_row_is_read_as_it_was_written() -> None:
    source = SourceBody((run(0, 5), run(0, 2, 1)), 20, (Skip(ID, 2, 3, 9, "retention"),))
    assert source_in(row(source)) == source
    assert source_entry(source).count == 0
    assert msgspec.json.decode(source_entry(SourceBody((run(0, 2),))).body) == {
        "runs": [["clicks", ID, 0, 0, 2, 3, 2, 0, 2]]
    }


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{", "Input data was truncated"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 2, 0]]}', "Expected `array` of at least length 9"),
        (b'{"runs": [["clicks", "i", -1, 0, 2, 3, 2, 0, 2]]}', "Expected `int` >= 0"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 3, 0, 2]]}', "are not those of the offsets 0 to 2"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 1, 2, 2]]}', "are not those of the offsets 0 to 2"),
        (b'{"skipped": [["i", 0, 4, 4, "x"]]}', "nothing is from 4 to 4"),
        (b'{"runs": [["\xff", "i", 0, 0, 2, 3, 2, 0, 2]]}', "Invalid UTF-8|decode byte"),
    ],
)
def test_a_row_that_says_something_else_is_named(body: bytes, fault: str) -> None:
    with pytest.raises(BodyError, match=rf"position 7 does not say where rows came from: .*({fault})"):
        apply(new_model(), row(body))


# -- what is noted -------------------------------------------------------------------------------------


def test_the_fold_notes_how_far_each_partition_was_read() -> None:
    model = new_model()
    apply(model, row(SourceBody((run(4, 9), run(0, 2, 10), run(0, 3, 2)), 50)))
    before = model.notes[SOURCES_NOTE]
    apply(model, row(SourceBody((run(9, 12, epoch=-1), run(2, 2, 10, epoch=6)), 40)))
    assert before == {
        "topics": {
            ID: {
                "topic": "clicks",
                "partitions": {"0": [9, 3, 5, 0, 5], "10": [2, 3, 2, 0, 2], "2": [3, 3, 3, 0, 3]},
            }
        },
        "watermark_ms": 50,
    }  # it is never changed
    assert positions_of(model.notes) == {
        (ID, 0): Position(12, 3),
        (ID, 10): Position(2, 6),
        (ID, 2): Position(3, 3),
    }
    assert watermark_of(model.notes) == 50  # it never goes back
    assert [one.partition for one in partitions_of(model.notes)] == [0, 2, 10]
    assert partitions_of(model.notes)[0] == PartitionRead("clicks", ID, 0, 12, 3, 8, 0, 8)
    assert positions_of({}) == {}
    assert watermark_of({}) is None


def test_a_topic_that_is_made_anew_begins_anew() -> None:
    noted = noted_after(noted_after(None, SourceBody((run(0, 9),))), SourceBody((run(0, 2, topic_id=OTHER),)))
    assert positions_of({SOURCES_NOTE: noted}) == {(ID, 0): Position(9, 3), (OTHER, 0): Position(2, 3)}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (
            SourceBody((run(11, 12),)),
            r"'clicks' \(id 4wb.*\), partition 0: the offsets 9 to 11 are missing, before 11 to 12",
        ),
        (SourceBody((run(8, 12),)), r"partition 0: 8 to 12 were read, and what is before 9 was read already"),
        (SourceBody((run(9, 11), run(12, 13))), r"the offsets 11 to 12 are missing"),
        (SourceBody((run(12, 13),), None, (Skip(ID, 0, 9, 11, "x"),)), r"the offsets 11 to 12 are missing"),
        (SourceBody((), None, (Skip(ID, 0, 8, 11, "x"),)), r"8 to 11 are skipped, and it was read up to 9"),
        (
            SourceBody((), None, (Skip(ID, 5, 8, 11, "x"),)),
            r"8 to 11 are skipped, and it was read up to None",
        ),
        (SourceBody((run(9, 11),), None, (Skip(OTHER, 0, 9, 11, "x"),)), r"it was read up to None"),
    ],
)
def test_a_hole_or_an_overlap_is_named(source: SourceBody, fault: str) -> None:
    model = new_model()
    apply(model, row(SourceBody((run(0, 9),))))
    before = model.notes[SOURCES_NOTE]
    with pytest.raises(BodyError, match=f"position 7 does not follow the rows before it: .*{fault}"):
        apply(model, row(source))
    assert model.notes[SOURCES_NOTE] == before


def test_what_a_row_skips_is_passed_over() -> None:
    lost = (Skip(ID, 0, 9, 20, "retention"), Skip(ID, 0, 20, 30, "retention"), Skip(ID, 1, 2, 6, "retention"))
    noted = noted_after(None, SourceBody((run(0, 9), run(0, 2, 1))))
    noted = noted_after(noted, SourceBody((run(30, 31),), None, lost))
    assert positions_of({SOURCES_NOTE: noted}) == {(ID, 0): Position(31, 3), (ID, 1): Position(6, 3)}


def test_challengers_pass_over_it_and_take_it_over_when_they_are_promoted() -> None:
    champion, challenger = new_model(), new_model()
    apply(champion, row(SourceBody((run(0, 9),))))
    follow(challenger, row(SourceBody((run(0, 9),))))
    assert SOURCES_NOTE not in challenger.notes
    take_over_notes(challenger, champion)
    assert positions_of(challenger.notes) == {(ID, 0): Position(9, 3)}


# -- live ----------------------------------------------------------------------------------------------


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
