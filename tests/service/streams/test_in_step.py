"""Topics of impressions and clicks are read in step, whatever order their records come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import LogisticRegression
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.kafka.records import Chunk, Lag
from nonzero_service.streams import in_step
from nonzero_service.streams.event_time import EventTime, times_by_line
from nonzero_service.streams.in_step import TopicsInStep
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.threads import WriterThreads

MINUTE = 60_000
BEGAN = 1_700_000_000_000


class Records:
    """A reader of records that are in memory, some at a time, whichever partition they are of."""

    is_up = True

    def __init__(self, topic: str, partitions: Sequence[Sequence[int]], at_once: int = 5) -> None:
        self._ends = {(topic, number): len(times) for number, times in enumerate(partitions)}
        self._chunks = [
            chunk_of(topic, number, start, times[start : start + at_once])
            for number, times in enumerate(partitions)
            for start in range(0, len(times), at_once)
        ]

    async def next(self) -> list[Chunk]:
        if not self._chunks:
            await asyncio.Event().wait()
        return [self._chunks.pop(0)]

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        return {place: Lag(0, end, end, end, None) for place, end in self._ends.items()}

    async def close(self) -> None:
        pass


def chunk_of(topic: str, partition: int, first: int, minutes: Sequence[int]) -> Chunk:
    n = len(minutes)
    times = BEGAN + MINUTE * np.array(minutes, np.int64)
    return Chunk(topic, topic, partition, first, first + n, 0, np.arange(first, first + n), times, [b"x"] * n)


def fail(error: Exception) -> None:
    raise error


Given = list[tuple[str, int, list[int]]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[EventTime], Coroutine[Any, Any, Given]]], Given]:
    """Run something with event time of a model that learns nothing."""

    def run(what: Callable[[EventTime], Coroutine[Any, Any, Given]]) -> Given:
        async def begun() -> Given:
            with closing(SqliteJournal(tmp_path)) as rows, closing(WriterThreads()) as threads:
                store = ImpressionStore(Rules(), rows.read_part)
                learner = ModelLearner(
                    LogisticRegression(bits=4), rows, 1 << 20, fail, threads, impressions=store
                )
                try:
                    return await what(EventTime(learner, store))
                finally:
                    await learner.close()

        return asyncio.run(begun())

    return run


async def read(event_time: EventTime, count: int, **topics: Records) -> Given:
    """Read so many records, as they are given."""
    reader = TopicsInStep(topics, event_time, 10 * MINUTE)
    given: Given = []
    while sum(len(minutes) for _, _, minutes in given) < count:
        for chunk in await asyncio.wait_for(reader.next(), 10):
            event_time.times_of(chunk)
            given.append((chunk.topic, chunk.partition, ((chunk.times - BEGAN) // MINUTE).tolist()))
    await reader.close()
    return given


def farthest(given: Given, other: str) -> int:
    """Return by how many minutes the other topic was ahead of one, at most, while that was still read."""
    last = max(minute for name, _, minutes in given for minute in minutes if name == other)
    reached, ahead = 0, 0
    for name, _, minutes in given:
        if name == other:
            reached = max(reached, *minutes)
        elif reached < last:
            ahead = max(ahead, min(max(minutes), last) - reached)
    return ahead


def in_order(given: Given) -> bool:
    """Whether each partition's records came in their order."""
    found: dict[tuple[str, int], list[int]] = {}
    for topic, partition, minutes in given:
        found.setdefault((topic, partition), []).extend(minutes)
    return all(minutes == sorted(minutes) for minutes in found.values())


Run = Callable[[Callable[[EventTime], Coroutine[Any, Any, Given]]], Given]


def test_neither_topic_gets_far_ahead(run: Run) -> None:
    shown, clicks = Records("shown", [range(0, 300, 2)]), Records("clicks", [range(0, 300, 3)], 50)
    given = run(lambda event_time: read(event_time, 250, shown=shown, clicks=clicks))
    assert farthest(given, "shown") <= 15
    assert farthest(given, "clicks") <= 15
    assert in_order(given)


def test_partitions_that_come_one_after_another_are_waited_for(run: Run) -> None:
    """All of the first partition is handed out before the second one begins."""
    shown = Records("shown", [range(0, 300, 2), range(1, 300, 2)])
    clicks = Records("clicks", [range(0, 300, 4), range(2, 300, 4)])
    given = run(lambda event_time: read(event_time, 450, shown=shown, clicks=clicks))
    assert farthest(given, "shown") <= 15
    assert in_order(given)


def test_partitions_too_far_apart_go_on_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is kept back than there is room for: the impressions go first."""
    monkeypatch.setattr(in_step, "MOST_BYTES", 2000)
    shown = Records("shown", [range(0, 300, 2), range(1, 300, 2)])
    clicks = Records("clicks", [range(0, 300, 4), range(2, 300, 4)])
    given = run(lambda event_time: read(event_time, 450, shown=shown, clicks=clicks))
    assert given[0][0] == "shown"
    assert in_order(given)


def test_a_gap_in_one_topic_does_not_stop_the_other(run: Run) -> None:
    shown = Records("shown", [[*range(30), *range(400, 430)]])
    clicks = Records("clicks", [[*range(30), *range(395, 425)]])
    given = run(lambda event_time: read(event_time, 120, shown=shown, clicks=clicks))
    assert in_order(given)


def test_an_empty_topic_keeps_nobody_waiting(run: Run) -> None:
    shown, clicks = Records("shown", [range(300)]), Records("clicks", [[]])
    assert in_order(run(lambda event_time: read(event_time, 300, shown=shown, clicks=clicks)))


def test_one_wrong_clock_holds_back_nothing(run: Run) -> None:
    minutes = [*range(20), 5000, *range(20, 300)]
    shown, clicks = Records("shown", [range(300)]), Records("clicks", [minutes])
    given = run(lambda event_time: read(event_time, 601, shown=shown, clicks=clicks))
    assert sum(len(part) for topic, _, part in given if topic == "clicks") == 301


def test_clicks_alone_come_in_steps_so_that_windows_end_on_the_way(run: Run) -> None:
    given = run(lambda event_time: read(event_time, 100, clicks=Records("clicks", [range(0, 300, 3)], 100)))
    assert max(part[-1] - part[0] for _, _, part in given) <= 5


def test_each_line_has_the_time_of_its_message() -> None:
    times = [np.array([10, 20]), np.array([30])]
    lines = np.array([1, 2, 4, 5, 6], np.int64)
    assert times_by_line(times, [[2, 1], [3]], lines).tolist() == [10, 10, 30, 30, 30]
    assert times_by_line([], [], lines[:0]).tolist() == []
