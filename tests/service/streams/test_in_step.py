"""Topics of impressions and clicks are read in step, whatever order their records come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.states import CLICKS, ImpressionState
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.journal.errors import DiskFullError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.lag import Lag
from nonzero_service.kafka.records import Chunk
from nonzero_service.kafka.values import Values
from nonzero_service.models.impression_opening import open_impressions
from nonzero_service.streams import in_step
from nonzero_service.streams.event_time import BEAT_MS, EventTime, times_by_line
from nonzero_service.streams.in_step import TopicsInStep
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import StreamState
from service.impressions.journalled import impress
from service.streams.test_joining import CORRECTION_MS, WINDOW_MS, Traffic

MINUTE = 60_000
BEGAN = 1_700_000_000_000


class Records:
    """A reader of records that are in memory, some at a time: one partition after another.

    Parameters
    ----------
    topic
        The topic's name.
    partitions
        Of each, the minutes of its records.
    at_once
        So many come at a time.
    begun
        Of each partition, where it is begun.
    last
        The partition that comes behind the others.
    """

    answered = Answered(0.0, 0.0)

    def __init__(
        self,
        topic: str,
        partitions: Sequence[Sequence[int]],
        at_once: int = 5,
        *,
        begun: Sequence[int] | None = None,
        last: int = -1,
    ) -> None:
        self._begun = list(begun or [0] * len(partitions))
        self._ends = {(topic, number): len(times) for number, times in enumerate(partitions)}
        self._chunks = [
            chunk_of(topic, number, start, partitions[number][start : start + at_once])
            for number in sorted(range(len(partitions)), key=lambda number: number == last)
            for start in range(self._begun[number], len(partitions[number]), at_once)
        ]
        self.is_up = True

    async def next(self) -> list[Chunk]:
        if not self._chunks:
            await asyncio.Event().wait()
        return [self._chunks.pop(0)]

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        return {
            place: Lag(end, begun, end, end, time.monotonic())
            for (place, end), begun in zip(self._ends.items(), self._begun, strict=True)
        }

    async def close(self) -> None:
        pass


def chunk_of(topic: str, partition: int, first: int, minutes: Sequence[int]) -> Chunk:
    n = len(minutes)
    times = BEGAN + MINUTE * np.array(minutes, np.int64)
    return Chunk(
        topic,
        topic,
        partition,
        first,
        first + n,
        0,
        np.arange(first, first + n),
        times,
        Values([b"x"] * n),
    )


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


async def read(
    event_time: EventTime,
    count: int,
    came: Callable[[Chunk], object] = lambda _: None,
    **topics: Records,
) -> Given:
    """Read so many records, as they are given; each chunk is told."""
    reader = TopicsInStep(topics, event_time, 10 * MINUTE)
    given: Given = []
    while sum(len(minutes) for _, _, minutes in given) < count:
        for chunk in await asyncio.wait_for(reader.next(), 10):
            event_time.times_of(chunk)
            came(chunk)
            given.append((chunk.topic, chunk.partition, ((chunk.times - BEGAN) // MINUTE).tolist()))
    await reader.close()
    return given


def lateness(given: Given, topic: str) -> int:
    """Return by how many minutes a record was behind one of its topic that came before it, at most."""
    reached, behind = 0, 0
    for name, _, minutes in given:
        for minute in minutes if name == topic else ():
            reached = max(reached, minute)
            behind = max(behind, reached - minute)
    return behind


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


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("clicked", [range(40, 300, 4), range(0)], ids=["rare", "none"])
def test_impressions_are_given_no_later_than_their_windows_bear(run: Run, clicked: range, last: int) -> None:
    """Whatever comes first: no click is near that would hold them back, and one partition is yet to come."""
    minutes = [range(0, 300, 2), range(1, 300, 2)]
    shown, clicks = Records("shown", minutes, last=last), Records("clicks", [clicked], 100)
    given = run(lambda event_time: read(event_time, 300 + len(clicked), shown=shown, clicks=clicks))
    assert lateness(given, "shown") <= 10
    assert in_order(given)


def test_so_it_is_after_a_start_half_way_and_while_ends_are_not_known(run: Run) -> None:
    """One partition is ahead as far as it may be, and all of it has come before anything of the other."""
    minutes = [range(0, 300, 2), range(1, 300, 2)]

    async def started_again(event_time: EventTime) -> Given:
        shown = Records("shown", minutes, begun=[50, 55], last=0)
        clicks = Records("clicks", [range(140, 300, 4)], 100)
        shown.is_up = False
        asyncio.get_running_loop().call_later(0.3, setattr, shown, "is_up", True)
        return await read(event_time, 195 + 40, shown=shown, clicks=clicks)

    given = run(started_again)
    assert lateness(given, "shown") <= 10
    assert in_order(given)


def test_a_partition_that_is_read_to_its_end_or_has_no_times_is_not_waited_for(run: Run) -> None:
    shown = Records("shown", [range(300), [], [-BEGAN // MINUTE - 1] * 20], last=0)
    given = run(lambda event_time: read(event_time, 320, shown=shown, clicks=Records("clicks", [[]])))
    assert len(given) >= 30  # a step is no longer than a click may wait


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


def marks(run: Run, minutes: Sequence[Sequence[int]], at_once: int) -> list[tuple[int, int, float]]:
    """Read impressions; return of each chunk its partition, its last minute, and what is reached with it.

    Nothing may be reached before all was given that was recorded until then, but for what nobody believes.
    """
    found: list[tuple[int, int, float]] = []
    left = [list(of_one) for of_one in minutes]

    async def followed(event_time: EventTime) -> Given:
        def came(chunk: Chunk) -> None:
            del left[chunk.partition][: len(chunk.values)]
            reached = ((event_time.watermark.advance() or BEGAN) - BEGAN) / MINUTE
            waits = [minute for of_one in left for minute in of_one if minute != WRONG]
            assert not waits or reached < min(waits)
            last = int(chunk.times[-1] - BEGAN) // MINUTE
            found.append((chunk.partition, last, reached))

        shown, clicks = Records("shown", minutes, at_once), Records("clicks", [[]])
        return await read(event_time, sum(map(len, minutes)), came, shown=shown, clicks=clicks)

    run(followed)
    return found


WRONG = 5000
"""The minute of a record whose producer's clock is wrong."""


def test_event_time_goes_on_in_the_gap_of_one_partition(run: Run) -> None:
    """As far as the record behind the gap, which is known and kept back."""
    found = marks(run, [[*range(30), *range(400, 430)], range(0, 440, 2)], 5)
    within = [(last, reached) for number, last, reached in found if number == 1 and 50 < last < 400]
    assert len(within) > 10
    assert [one for one in within if one[0] - one[1] >= 1] == []


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_what_is_known_of_a_partition_ends_no_window_too_early(run: Run, at_once: int) -> None:
    """Its clock may be wrong; and what was cut off and given does not wait any more, but is not read yet."""
    wrong = [*range(30), WRONG, *range(30, 300)]
    marks(run, [wrong, range(0, 300, 2)], at_once)
    marks(run, [[*range(30), *range(200, 300)], [*range(100), *range(195, 290, 3)]], at_once)


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


def test_a_start_where_all_has_been_read_lets_windows_end(run: Run) -> None:
    """Nothing is handed out then; and what is handed out and not given keeps time from passing."""

    async def looked(event_time: EventTime) -> Given:
        now = time.monotonic()
        event_time.look({("shown", 0): Lag(7, 7, 7, 7, now), ("shown", 1): Lag(0, 0, 0, 0, now)})
        assert event_time.watermark.is_at_end("shown")
        assert (event_time.watermark.advance() or 0) > BEGAN
        event_time.look({("shown", 0): Lag(9, 7, 9, 9, now), ("shown", 1): Lag(0, 0, 0, 0, now)})
        assert not event_time.watermark.is_at_end("shown")
        return []

    run(looked)


def test_a_full_disk_stops_time_for_no_longer_than_it_is_full(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(event_time: EventTime) -> Given:
        learner, store = event_time._learner, event_time._impressions
        store.let_wait(np.array([1], np.uint64), [WaitingLabel("a", 1, BEGAN)])
        store.keep()

        async def beat(reached_ms: int) -> int | None:
            event_time.watermark.ms = reached_ms
            event_time.beat()
            while event_time._in_flight:
                await asyncio.sleep(0.001)
            return store.watermark_ms

        def full(*_: object) -> None:
            raise DiskFullError("no space is left")

        with monkeypatch.context() as patched:
            patched.setattr(learner.journal, "append", full)
            assert await asyncio.wait_for(beat(BEGAN), 10) is None
        assert await asyncio.wait_for(beat(BEGAN + BEAT_MS), 10) == BEGAN + BEAT_MS
        return []

    run(told)


def test_each_line_has_the_time_of_its_message() -> None:
    times = [np.array([10, 20]), np.array([30])]
    lines = np.array([1, 2, 4, 5, 6], np.int64)
    assert times_by_line(times, [[2, 1], [3]], lines).tolist() == [10, 10, 30, 30, 30]
    assert times_by_line([], [], lines[:0]).tolist() == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", [1, 20])
def test_windows_that_had_ended_before_a_start_have_ended_after_it(tmp_path: Path, step: int) -> None:
    """No row says so where impressions were learned from at once, and event time may not pass for a while."""
    traffic = Traffic.of(1000, 2)
    began = traffic.shown[0][0]

    def pieces(records: Sequence[tuple[int, str]]) -> dict[int, list[tuple[int, str]]]:
        found: dict[int, list[tuple[int, str]]] = {}
        for at, name in records:
            found.setdefault((at - began) // (step * MINUTE), []).append((at, name))
        return found

    async def learned(first: int, last: int) -> ImpressionStore:
        with closing(SqliteJournal(tmp_path)) as rows, closing(WriterThreads()) as threads:
            rules = Rules(WINDOW_MS, CORRECTION_MS, negatives="at_once")
            store = open_impressions("default", rows, rules, watermark_ms=first * step * MINUTE + began)
            model = LogisticRegression(bits=4)
            learner = ModelLearner(model, rows, 1 << 20, fail, threads, impressions=store)
            event_time, stream = EventTime(learner, store), StreamState()
            if first:
                event_time.watermark.of(("clicks", 1))  # of which nothing comes

            def show(names: Sequence[str], times: Any, origin: Origin) -> Any:
                n = len(names)
                batch = Batch(np.arange(n + 1), np.arange(n) % 16, None, None, None, None, list(names))
                made = impress(batch, np.full(n, 0.1, np.float32), began).predictions
                return learner.impress(made, waits=True, stream=stream, origin=origin, times=times)

            def click(names: Sequence[str], times: Any, origin: Origin) -> Any:
                return learner.label(names, [1] * len(names), stream, origin=origin, times=times)

            given: list[Any] = []
            shown, clicks = pieces(traffic.shown), pieces(traffic.clicks)
            for number in sorted(number for number in shown.keys() | clicks.keys() if first <= number < last):
                for topic, give, of_topic in ("shown", show, shown), ("clicks", click, clicks):
                    if number in of_topic:
                        ats, names = zip(*of_topic[number], strict=True)
                        times = np.array(ats, np.int64)
                        event_time.watermark.of((topic, 0)).read(times, event_time.now_ms)
                        event_time.limits[topic] = ats[-1]
                        count = len(names) * (topic == "shown")
                        given.append(event_time.give(partial(give, names, times), Origin(()), count))
            await asyncio.gather(*given)
            await learner.close()
            return store

    asyncio.run(learned(0, 600 // step))
    store = asyncio.run(learned(600 // step, 4000 // step))
    names = [name for _, name in traffic.shown]
    numbers = store.segments.find(hashes_of(Ids.of(names), np.arange(len(names))))
    states = store.segments.states(numbers).tolist()
    found = {name for name, state in zip(names, states, strict=True) if ImpressionState(state) in CLICKS}
    ended = {name for at, name in traffic.shown if at + WINDOW_MS < began + 600 * MINUTE}
    assert ended & found == ended & traffic.clicked
    assert store.counts["gone"] > 0
