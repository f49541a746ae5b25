from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero import AdaGrad, Batch, BatchError, LogisticRegression, Schema
from nonzero.formats.json_bodies import parse_body
from nonzero_service.errors import ClosedError, GivenUpError, QueueFullError
from nonzero_service.impressions.joined import References
from nonzero_service.journal.errors import DiskFullError, OutcomeUnknownError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.turns import Turns
from nonzero_service.writer.committer import Committer
from nonzero_service.writer.entries import settings_entry, trip_entry
from nonzero_service.writer.fold import apply
from nonzero_service.writer.learner import MAX_BATCH, ModelLearner
from nonzero_service.writer.micro_batch import MicroBatch
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.results import Results
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import Applied, CommittedGroup, Learn, StreamState, Work, until_ended
from nonzero_service.writer.work_queue import GROUP_BYTES
from service.failures import no_failure
from waiting import SECONDS, until_in_loop


def batches(count: int, rows: int = 20) -> list[Batch]:
    rng = np.random.default_rng(5)
    return [
        Batch(np.arange(rows + 1) * 3, rng.integers(0, 2**10, 3 * rows), labels=rng.integers(0, 2, rows))
        for _ in range(count)
    ]


class Durable(queue.Queue[CommittedGroup | None]):
    """Takes all that is durable."""

    is_behind = False


def new_model() -> LogisticRegression:
    return LogisticRegression(10, AdaGrad(0.1))


class Learning:
    """Runs a use of a learner over a journal of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self, use: Callable[[ModelLearner], Awaitable[None]], queue_bytes: int = 2**20
    ) -> LogisticRegression:
        model = new_model()

        async def run() -> None:
            with SqliteJournal(self.directory) as journal:
                journal.append([settings_entry(model)])
                threads = WriterThreads()
                learner = ModelLearner(model, journal, queue_bytes, no_failure, threads)
                try:
                    await use(learner)
                finally:
                    await learner.close()
                    threads.close()

        asyncio.run(run())
        return model

    def folded(self) -> LogisticRegression:
        """What the journal's rows give."""
        model = new_model()
        with JournalReader(self.directory) as reader:
            for row in reader.read():
                apply(model, row)
        return model


@pytest.fixture
def with_learner(tmp_path: Path) -> Learning:
    return Learning(tmp_path)


def test_batches_are_applied_in_order_and_answered(with_learner: Learning) -> None:
    given = batches(50)

    async def use(learner: ModelLearner) -> None:
        applied = await asyncio.gather(
            *(learner.submit(batch, log_loss=j == 7) for j, batch in enumerate(given))
        )
        assert [one.sequence for one in applied] == list(range(20, 1001, 20))
        assert [j for j, one in enumerate(applied) if one.log_loss is not None] == [7]
        assert learner.queued_bytes == 0

    model = with_learner(use)
    alone = new_model()
    for batch in given:
        alone.learn(batch)
    assert model.digest() == alone.digest() == with_learner.folded().digest()


def test_single_examples_that_gather_are_learned_from_as_one_by_one(with_learner: Learning) -> None:
    bodies = [b'{"features": {"site": "s%d"}, "label": %d}' % (j % 7, j % 2) for j in range(50)]

    async def use(learner: ModelLearner) -> None:
        applied = await asyncio.gather(*map(learner.gather, bodies))
        assert applied == [Applied(1, j + 1, None) for j in range(50)]
        assert learner.queued_bytes == 0
        assert learner.journal.position < 40  # far fewer rows than examples

    model, alone = with_learner(use), new_model()
    for body in bodies:
        alone.learn(parse_body(body))
    assert model.digest() == alone.digest() == with_learner.folded().digest()


def test_what_cannot_be_read_with_others_is_given_back(with_learner: Learning) -> None:
    good = b'{"features": {"site": "news"},\n "label": 1}'
    bad = [b"", b"{", b'{"features": {}}', b'{"indices": [1024], "label": 1}', b'{"examples": []}']

    async def use(learner: ModelLearner) -> None:
        assert await learner.gather(b"{") is None
        position = learner.journal.position
        applied = await asyncio.gather(*map(learner.gather, [*bad, good, *bad, good]))
        assert [one and one.sequence for one in applied] == [*[None] * 5, 1, *[None] * 5, 2]
        learner.gather(good).cancel()  # a request that has gone
        assert (await asyncio.gather(*map(learner.gather, [good, b"{"])))[1] is None
        assert learner.journal.position > position
        await learner.close()
        with pytest.raises(ClosedError):
            learner.gather(good)

    assert with_learner(use).examples in (3, 4)  # the one that was cancelled may have been taken before


def test_single_examples_are_held_from_the_trip_on(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        await learner.submit(batches(1)[0])
        learner.pause.tripped(learner.journal.append([trip_entry({})]), {}, 0)
        body = b'{"features": {}, "label": 1}'
        applied = await asyncio.gather(*map(learner.gather, [body, body]))
        assert applied == [Applied(0, 20, None, 1)] * 2
        assert learner.pause.examples == 2

    assert with_learner(use).examples == 20


def test_a_single_example_does_not_wait_for_the_pieces_of_a_stream(tmp_path: Path) -> None:
    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            durable, turns = Durable(), Turns("committer", 1)
            results = Results(lambda _: None, no_failure)
            committer = Committer(10, Schema(), journal, PauseState(), durable, turns, results)
            loop, stream = asyncio.get_running_loop(), StreamState()
            large = [
                Work(Learn(one, None, False, stream), one.nbytes, loop.create_future())
                for one in batches(4, rows=GROUP_BYTES // 16)
            ]
            single, task = MicroBatch(loop), Work(lambda: None, 0, loop.create_future())
            single.add(b'{"features": {}, "label": 1}', loop.create_future())
            late = MicroBatch(loop)
            late.add(b'{"features": {}, "label": 0}', loop.create_future())
            for work in (*large[:3], single, task, large[3], late, None):
                committer.queue.put(work)
            turns.start()
            committer.turn.call()
            groups = await asyncio.to_thread(taken_up, durable, committer)
            turns.close()
            assert groups == [[large[0], single], [large[1]], [large[2]], [task], [large[3], late]]
            assert journal.position == 6  # large batches are rows of their own

    asyncio.run(run())


def test_beside_a_stream_every_second_group_is_of_single_examples(tmp_path: Path) -> None:
    class Slow(PauseState):
        """Looks at nothing before all is queued."""

        asked, queued = threading.Event(), threading.Event()

        def admit(self, batch: Batch, references: References | None) -> tuple[int, dict[str, Any] | None]:
            self.asked.set()
            self.queued.wait()
            return super().admit(batch, references)

    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            durable, turns = Durable(), Turns("committer", 1)
            results = Results(lambda _: None, no_failure)
            committer = Committer(10, Schema(), journal, Slow(), durable, turns, results)
            loop, stream = asyncio.get_running_loop(), StreamState()
            large = [
                Work(Learn(one, None, False, stream), one.nbytes, loop.create_future())
                for one in batches(3, rows=GROUP_BYTES // 16)
            ]
            single = MicroBatch(loop)
            single.add(b'{"features": {}, "label": 1}', loop.create_future())
            turns.start()
            committer.put(large[0])
            await until_in_loop(Slow.asked.is_set)  # it is at the first
            for work in (large[1], single, large[2], None):
                committer.queue.put(work)
            Slow.queued.set()
            groups = await asyncio.to_thread(taken_up, durable, committer)
            turns.close()
            assert groups == [[large[0]], [single], [large[1]], [large[2]]]

    asyncio.run(run())


def test_a_single_example_waits_for_one_group_of_pieces_at_most(tmp_path: Path) -> None:
    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            durable, turns = Durable(), Turns("committer", 1)
            results = Results(lambda _: None, no_failure)
            committer = Committer(10, Schema(), journal, PauseState(), durable, turns, results)
            loop, stream = asyncio.get_running_loop(), StreamState()
            large = [
                Work(Learn(one, None, False, stream), one.nbytes, loop.create_future())
                for one in batches(3, rows=GROUP_BYTES // 16)
            ]
            singles = [MicroBatch(loop), MicroBatch(loop)]
            for single in singles:
                single.add(b'{"features": {}, "label": 1}', loop.create_future())
            for work in (singles[0], *large):
                committer.queue.put(work)
            turns.start()
            committer.turn.call()
            first = await asyncio.to_thread(durable.get, timeout=SECONDS)
            assert first is not None
            assert list(first.works) == [singles[0], large[0]]
            await until_in_loop(lambda: committer.turn.is_idle)
            assert durable.empty()  # while the first is not applied, no more are committed
            committer.queue.put(singles[1])
            committer.put(None)
            second = await asyncio.to_thread(durable.get, timeout=SECONDS)
            assert second is not None
            assert list(second.works) == [singles[1]]
            committer.applied(first)
            groups = await asyncio.to_thread(taken_up, durable, committer)
            turns.close()
            assert groups == [[large[1]], [large[2]]]

    asyncio.run(run())


def taken_up(durable: Durable, committer: Committer) -> list[list[Work]]:
    """Take up all groups, as an applier does; return what was in each."""
    groups = []
    for group in iter(durable.get, None):
        groups.append(list(group.works))
        committer.applied(group)
    return groups


def test_a_full_queue_refuses_and_room_is_waited_for(with_learner: Learning) -> None:
    given = batches(4)

    async def use(learner: ModelLearner) -> None:
        gate = threading.Event()
        held = learner.run(gate.wait)
        first = learner.submit(given[0])
        with pytest.raises(QueueFullError):
            learner.submit(given[1])
        waiting = asyncio.create_task(learner.room(given[1].nbytes))
        for _ in range(20):  # turns of the loop: with each it may look
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        await waiting
        second = learner.submit(given[1])
        await asyncio.gather(held, first, second)

    assert with_learner(use, queue_bytes=given[0].nbytes + 10).examples == 40


def test_a_batch_larger_than_the_queue_is_let_in_alone(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        await learner.submit(batches(1)[0])

    assert with_learner(use, queue_bytes=1).examples == 20


def test_what_the_model_cannot_learn_from_never_reaches_the_journal(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        for bad in (Batch([0, 1], [2**20], labels=[1]), Batch([0, 1], [1])):
            with pytest.raises(BatchError):
                learner.submit(bad)
        assert (await learner.submit(batches(1)[0])).sequence == 20

    with_learner(use)
    assert with_learner.folded().examples == 20


def test_closing_drains_may_be_repeated_and_ends_use(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        waiting = [learner.submit(batch) for batch in batches(30)]
        await asyncio.gather(learner.close(), learner.close())
        assert [one.result().sequence for one in waiting][-1] == 600
        with pytest.raises(ClosedError):
            learner.submit(batches(1)[0])
        with pytest.raises(ClosedError):
            await learner.run(lambda: None)

    assert with_learner(use).examples == 600


def test_batches_that_wait_together_are_one_row(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        before = learner.journal.position
        gate = threading.Event()
        held = learner.run(gate.wait)
        waiting = [learner.submit(batch) for batch in batches(30)]
        gate.set()
        await held
        applied = await asyncio.gather(*waiting)
        assert [one.sequence for one in applied] == list(range(20, 601, 20))
        assert learner.journal.position - before < 30
        assert learner.applier.position == learner.journal.position

    assert with_learner(use).digest() == with_learner.folded().digest()


def test_a_key_is_known_with_the_row_it_came_with(with_learner: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        await learner.submit(batches(1)[0])
        record = lambda first, _: KeyRecord("key", b"digest", 7, first, 20, True, {"sequence": 40})  # noqa: E731
        await learner.submit(batches(1)[0], record=record)
        assert learner.journal.lookup("key") == KeyRecord("key", b"digest", 7, 20, 20, True, {"sequence": 40})

    with_learner(use)


def test_a_batch_too_large_for_a_row_is_refused(with_learner: Learning) -> None:
    large = Batch(np.array([0, MAX_BATCH // 4]), np.zeros(MAX_BATCH // 4, np.uint32), labels=[1])

    async def use(learner: ModelLearner) -> None:
        with pytest.raises(BatchError, match="cannot be journalled"):
            learner.submit(large)

    assert with_learner(use, queue_bytes=2**30).examples == 0


class Defective(LogisticRegression):
    """A model that fails at a batch of 13 examples, as none should."""

    def learn_checked(self, batch: Batch, time_ms: int | None = None) -> NDArray[np.float32]:
        if len(batch) == 13:
            raise MemoryError
        return super().learn_checked(batch, time_ms)


def test_nothing_is_applied_after_a_row_that_cannot_be(tmp_path: Path) -> None:
    """The rows after it stay for a new start; a snapshot would have a hole."""
    failures: list[Exception] = []
    model = Defective(10, AdaGrad(0.1))

    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            threads = WriterThreads()
            learner = ModelLearner(model, journal, 2**20, failures.append, threads)
            await learner.submit(batches(1)[0])
            outcomes: list[object] = []
            for work in (
                lambda: learner.submit(batches(1, rows=13)[0]),
                lambda: learner.run(lambda: learner.applier.position),
                lambda: learner.submit(batches(1)[0]),
            ):
                outcomes += await asyncio.gather(work(), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError] * 3
            assert (model.examples, journal.next_sequence) == (20, 33)
            await learner.close()
            threads.close()

    asyncio.run(run())
    assert failures


def test_no_piece_of_a_stream_is_learned_after_one_that_found_no_space(small_disk: Path) -> None:
    small, large = batches(1)[0], batches(1, rows=1_000_000)[0]
    model = new_model()

    async def run() -> None:
        with SqliteJournal(small_disk) as journal:
            threads = WriterThreads()
            learner = ModelLearner(model, journal, 2**30, no_failure, threads)
            state = StreamState()
            gone = [learner.submit(one, stream=state) for one in (large, small, small)]
            for future in gone:
                with pytest.raises(DiskFullError):
                    await future
            with pytest.raises(DiskFullError):
                await learner.submit(small, stream=state)
            assert (await learner.submit(small)).sequence == 20
            await learner.close()
            threads.close()

    asyncio.run(run())


def test_what_nobody_waits_for_is_not_journalled(tmp_path: Path) -> None:
    """Nor is what comes after it of the same stream; the rest is."""
    gone, cancelled, other, alone = batches(4)
    free = threading.Event()

    async def use(learner: ModelLearner) -> None:
        waiting = [learner.run(free.wait) for _ in range(4)]  # so that the committer has to wait
        state = StreamState()
        state.given_up = True
        submitted = [learner.submit(batch, stream=state) for batch in (gone, other)]
        learner.submit(cancelled).cancel()
        applied = learner.submit(alone)
        free.set()
        await asyncio.gather(*waiting)
        assert (await applied).sequence == len(alone)
        outcomes = await asyncio.gather(*submitted, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [GivenUpError, GivenUpError]
        assert not learner.queued_bytes

    model = Learning(tmp_path)(use)
    assert model.examples == len(alone)


def test_what_a_client_has_left_is_given_up_until_it_is_journalled(tmp_path: Path) -> None:
    given = batches(3)
    free = threading.Event()
    told: list[dict[str, Any]] = []

    async def use(learner: ModelLearner) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        streams = [StreamState() for _ in given]
        asked = []

        def ask(n: int) -> None:
            work = learner.submit(given[n], stream=streams[n])
            asked.append(asyncio.ensure_future(until_ended(work, streams[n])))

        waiting = [learner.run(free.wait)]
        ask(0)
        await until_in_loop(lambda: learner.journal.position == 2)  # it is durable, and waits for the applier
        waiting += [learner.run(free.wait) for _ in range(4)]  # so that the committer has to wait
        ask(1)
        ask(2)
        await asyncio.sleep(0)
        for one in asked[:2]:
            one.cancel()
        await asyncio.sleep(0)  # they are told in the loop's next turn, and give up then
        free.set()
        await asyncio.gather(*waiting)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2 + [Applied]
        assert not learner.queued_bytes

    model, alone = Learning(tmp_path)(use), new_model()
    gc.collect()  # an error that nobody asked for is told when its future goes
    assert told == []
    for n in (0, 2):
        alone.learn(given[n])
    assert model.digest() == alone.digest()
