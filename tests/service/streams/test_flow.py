"""What the journal is told of positions, however a source ends: never more than the learner was given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import pytest

from nonzero import LogisticRegression
from nonzero_service.bodies.reading import Bodies
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.errors import TopicMissingError
from nonzero_service.kafka.lag import Lag
from nonzero_service.kafka.records import Chunk
from nonzero_service.kafka.values import Values
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.settings.source_url import read_source
from nonzero_service.streams.examples import ExampleTaker
from nonzero_service.streams.flow import Flow
from nonzero_service.streams.message_readers import LineReader
from nonzero_service.streams.refusals import RefusedLines
from nonzero_service.streams.state import SourceState
from nonzero_service.streams.task import TopicSource
from nonzero_service.streams.totals import Totals
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.threads import WriterThreads
from waiting import until_in_loop

ID = "4wbVvdzYRQqL1Hl4pBfmcA"


def chunk(partition: int, first: int, following: int, *values: bytes) -> Chunk:
    offsets = np.arange(first, first + len(values))
    return Chunk("clicks", ID, partition, first, following, 0, offsets, offsets * 0, Values(values))


class Chunks:
    """A reader of chunks that are in memory, all at once."""

    answered: Answered | None = Answered(0.0, 0.0)
    is_up = True

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = list(chunks)
        self.is_idle = asyncio.Event()

    async def next(self) -> list[Chunk]:
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            return chunks
        self.is_idle.set()
        await asyncio.Event().wait()
        raise AssertionError

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        return {}

    async def close(self) -> None:
        pass


class NoTopic:
    """Of messages that cannot be read: it is not there."""

    async def send(self, chunk: Chunk, reasons: Mapping[int, str]) -> None:  # noqa: ARG002 - as it is called
        raise TopicMissingError("errors")

    async def close(self) -> None:
        pass


class Read(NamedTuple):
    """What came of a flow."""

    positions: dict[int, int]
    came: int


@contextmanager
def served_in(directory: Path) -> Iterator[tuple[ServedModel, Settings, Bodies]]:
    """Hold what a source learns with; used on an event loop, on which the learner is to be closed."""
    settings = Settings.load()
    with (
        closing(SqliteJournal(directory)) as journal,
        closing(WriterThreads()) as threads,
        closing(Bodies(settings)) as bodies,
    ):
        model = LogisticRegression(bits=10)
        learner = ModelLearner(model, journal, 1 << 20, _fail, threads)
        names = SimpleNamespace(look=lambda *_: None)
        served = SimpleNamespace(name="default", model=model, learner=learner, names=names)
        yield cast(ServedModel, served), settings, bodies


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(*chunks: Chunk, poison: NoTopic | None = None, stops_when_idle: bool = True) -> Read:
        async def begun() -> Read:
            with served_in(tmp_path) as (served, settings, bodies):
                learner = served.learner
                reader, came = Chunks(chunks), []
                takers = {"clicks": ExampleTaker(served, "vw", settings)}
                refusals = RefusedLines("default")
                told = SourceState(), Totals(), refusals, poison, lambda: came.append(1)
                flow = Flow(learner, reader, takers, bodies, *told)
                running = asyncio.create_task(flow.run())
                if stops_when_idle:
                    await asyncio.wait_for(reader.is_idle.wait(), 10)
                    flow.stop()
                with suppress(TopicMissingError):
                    await asyncio.wait_for(running, 10)
                await flow.end()
                positions = learner.source_positions
                await learner.close()
                return Read({number: one.next for (_, number), one in positions.items()}, len(came))

        return asyncio.run(begun())

    return read


def _fail(error: Exception) -> None:
    raise error


def test_what_was_passed_over_is_remembered_at_a_stop(read: Any) -> None:
    assert read(chunk(0, 0, 2, b"1 |a b", b"0 |a c"), chunk(0, 2, 7), chunk(1, 0, 3)).positions == {
        0: 7,
        1: 3,
    }


def test_messages_that_were_not_given_are_not_passed_over(read: Any) -> None:
    """The first position of a partition is that of its first row, so nothing else would find the hole."""
    found = read(
        chunk(1, 0, 3),
        chunk(0, 0, 2, b"1 |a b", b"nonsense"),
        chunk(0, 2, 7),
        poison=NoTopic(),
        stops_when_idle=False,
    )
    assert found == Read({}, 0)


def test_where_a_partition_is_begun_is_in_the_journal_at_once(read: Any) -> None:
    """Or a kill before its first message would begin it at another end."""
    found = read(chunk(0, 40, 40), chunk(1, 5, 9))
    assert (found.positions, found.came) == ({0: 40, 1: 9}, 2)


def test_what_is_read_and_not_learned_from_has_not_come(read: Any) -> None:
    assert read(chunk(0, 0, 1, b"nonsense"), poison=NoTopic(), stops_when_idle=False).came == 0
    assert read(chunk(0, 0, 1, b"1 |a b")) == Read({0: 1}, 1)


def test_lines_are_named_rightly_after_one_was_not_read_for_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had read it has counted the lines of a piece that is read again."""
    right = LineReader.read

    def without_memory(reader: LineReader, piece: Any) -> Any:
        monkeypatch.setattr(LineReader, "read", right)
        reader._reader.feed(*(lines.data for lines in piece))
        raise MemoryError

    monkeypatch.setattr(LineReader, "read", without_memory)

    async def found() -> list[tuple[int, int]]:
        with served_in(tmp_path) as (served, settings, bodies):
            source = TopicSource(
                read_source("kafka://localhost/clicks?format=vw"),
                served,
                lambda *_: Chunks([chunk(0, 0, 3, b"1 |a b", b"nonsense", b"0 |a c")]),
                lambda: {"clicks": ExampleTaker(served, "vw", settings)},
                bodies,
            )
            await until_in_loop(lambda: source.totals.messages == 3, lambda: source.state)
            assert source.state.failures == 1
            await source.close()
            await served.learner.close()
            return [(one.offset, one.line) for one in source.refusals.newest]

    assert asyncio.run(found()) == [(1, 1)]
