"""What fails in the learner's threads, beside the disk: the books stay right, or the process is to end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.model.gradual_copy import GradualCopy
from nonzero_service.journal.errors import OutcomeUnknownError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.committer import Committer
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.results import Results
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import Applied
from nonzero_service.writer.work_queue import WorkQueue
from waiting import SECONDS, until_in_loop

BITS = 18
"""So many slots are copied in eight steps."""

BODY = b'{"features": {"site": "news"}, "label": 1}'


class TornError(BaseException):
    """Something that nobody expects."""


ERRORS: tuple[Callable[[], BaseException], ...] = (
    RuntimeError,
    MemoryError,
    lambda: OSError(errno.ENOSPC, "no space"),
    TornError,
)
each_error = pytest.mark.parametrize("error", ERRORS, ids=["defect", "no memory", "no space", "torn"])


def batch(rows: int = 20) -> Batch:
    rng = np.random.default_rng(5)
    return Batch(np.arange(rows + 1), rng.integers(0, 2**BITS, rows), labels=rng.integers(0, 2, rows))


class Learning:
    """Runs a use of a learner; what it was told to end for is kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.failures: list[Exception] = []
        self.model = LogisticRegression(BITS, AdaGrad(0.1))

    def __call__(self, use: Callable[[ModelLearner], Awaitable[None]]) -> None:
        async def run() -> None:
            with SqliteJournal(self.directory) as journal:
                journal.append([settings_entry(self.model)])
                threads = WriterThreads()
                learner = ModelLearner(self.model, journal, 2**20, self.failures.append, threads)
                async with asyncio.timeout(SECONDS):
                    await use(learner)
                    await learner.close()
                threads.close()

        asyncio.run(run())


@pytest.fixture
def learning(tmp_path: Path) -> Iterator[Learning]:
    with structlog.testing.capture_logs():
        yield Learning(tmp_path)


def raising(error: Callable[[], BaseException]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error()

    return fail


async def unknown(*waiting: Awaitable[Any]) -> None:
    """Wait for work whose outcome is unknown."""
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError] * len(waiting)


@each_error
def test_what_fails_after_the_append_is_unknown_and_ends_the_process(
    learning: Learning, error: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(learner: ModelLearner) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(GroupRows, "committed", raising(error))
            await unknown(learner.submit(batch()))
        assert learner.journal.next_sequence == 20
        await unknown(learner.submit(batch()), learner.gather(BODY), learner.run(lambda: None))
        assert learner.journal.next_sequence == 20
        assert learner.queued_bytes == 0

    learning(use)
    assert [type(failure) for failure in learning.failures] == [OutcomeUnknownError]
    assert type(learning.failures[0].__cause__) is type(error())
    assert learning.model.examples == 0


def test_what_fails_before_the_append_fails_its_group_alone(learning: Learning) -> None:
    def broken(first: int, came: Applied) -> KeyRecord:
        raise ValueError(first, came.held)

    async def use(learner: ModelLearner) -> None:
        with pytest.raises(ValueError, match="0, 0"):
            await learner.submit(batch(), record=broken)
        assert (await learner.submit(batch())).sequence == 20

    learning(use)
    assert learning.failures == []


def test_single_examples_that_fail_before_they_are_read_take_no_more(
    learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(learner: ModelLearner) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Committer, "_prepared", raising(MemoryError))
            with pytest.raises(MemoryError):
                await learner.gather(BODY)
        learned = await learner.gather(BODY)
        assert learned is not None
        assert learned.sequence == 1

    learning(use)
    assert learning.failures == []


@each_error
@pytest.mark.parametrize(
    ("thread", "method"),
    [(WorkQueue, "next"), (Committer, "_prepare"), (Applier, "_copy_on"), (Applier, "_take")],
)
def test_a_thread_that_fails_leaves_nobody_waiting(
    learning: Learning,
    thread: type,
    method: str,
    error: Callable[[], BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = getattr(thread, method)

    async def use(learner: ModelLearner) -> None:
        await learner.submit(batch())
        begun, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            let_go.wait()

        holding = learner.run(hold)
        await until_in_loop(begun.is_set)
        monkeypatch.setattr(thread, method, raising(error))
        waiting: list[Awaitable[object]] = [learner.submit(batch()), learner.gather(BODY)]
        let_go.set()
        await holding
        await until_in_loop(lambda: learning.failures)
        monkeypatch.setattr(thread, method, usual)
        await unknown(*waiting, learner.submit(batch()), learner.run(lambda: None))

    learning(use)
    assert learning.model.examples == 20


def test_results_that_cannot_be_given_end_the_process(
    learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(learner: ModelLearner) -> None:
        loop = learner._results._loop

        class Full:
            """An event loop that takes no more."""

            is_closed = staticmethod(loop.is_closed)
            call_soon_threadsafe = staticmethod(raising(MemoryError))

        monkeypatch.setattr(learner._results, "_loop", Full)
        learner.submit(batch())
        await until_in_loop(lambda: learning.failures)
        monkeypatch.setattr(learner._results, "_loop", loop)
        await unknown(learner.submit(batch()))

    learning(use)
    assert learning.model.examples == 20


def test_a_loop_that_is_closed_is_no_failure(learning: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        learner.submit(batch())

    async def run() -> ModelLearner:
        journal.append([settings_entry(learning.model)])
        learner = ModelLearner(learning.model, journal, 2**20, learning.failures.append, threads)
        learner.run(closed.wait)
        learner.submit(batch())
        return learner

    closed, threads = threading.Event(), WriterThreads()
    with SqliteJournal(learning.directory) as journal:
        learner = asyncio.run(run())
        closed.set()
        learner.committer.put(None)
        assert learner.applier.ended.wait(SECONDS)
    threads.close()
    assert learning.failures == []


def test_one_answer_that_fails_keeps_nobody_else_from_theirs(learning: Learning) -> None:
    class Broken:
        """Takes nothing."""

        done = staticmethod(lambda: False)
        set_result = set_exception = staticmethod(raising(RuntimeError))

    async def use(learner: ModelLearner) -> None:
        let_go = threading.Event()
        held = learner.run(let_go.wait)  # so that they gather
        before = learner.gather(BODY)
        learner.gather_for(Broken(), BODY)
        after = learner.gather(BODY)
        let_go.set()
        await held
        assert [(await one).examples for one in (before, after)] == [1, 1]  # type: ignore[union-attr]
        assert learner.queued_bytes == 0

    learning(use)
    assert [type(failure) for failure in learning.failures] == [OutcomeUnknownError]


@pytest.mark.parametrize("method", ["__init__", "before", "step", "finish"])
def test_a_copy_that_fails_fails_alone(
    learning: Learning, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(learner: ModelLearner) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(GradualCopy, method, raising(MemoryError))
            if method != "step":  # it goes on, and does not end before what comes
                patched.setattr(Applier, "_copy_on", lambda _: None)
            copied = learner.copy(LogisticRegression(BITS, AdaGrad(0.1)))
            assert (await learner.submit(batch())).sequence == 20
            if method == "finish":
                await learner.change(settings_entry(learning.model), lambda: None)
            with pytest.raises(MemoryError):
                await copied
        assert (await learner.submit(batch())).sequence == 40
        into = LogisticRegression(BITS, AdaGrad(0.1))
        await learner.copy(into)
        assert into.digest() == learning.model.digest()

    learning(use)
    assert learning.failures == []


@pytest.mark.parametrize("method", ["step", "is_lost"])
def test_an_applier_that_ends_while_it_copies_leaves_nobody_waiting(
    learning: Learning, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the copy is told at once: nothing else need come after it."""
    into = LogisticRegression(BITS, AdaGrad(0.1))

    async def use(learner: ModelLearner) -> None:
        await learner.submit(batch())
        failing = property(raising(TornError)) if method == "is_lost" else raising(TornError)
        with monkeypatch.context() as patched:
            patched.setattr(GradualCopy, method, failing)
            await unknown(learner.copy(into))
        await unknown(learner.copy(into), learner.submit(batch()), learner.run(lambda: None))

    learning(use)
    assert [type(failure.__cause__) for failure in learning.failures] == [TornError]
    assert learning.model.examples == 20


def test_what_is_counted_beside_the_model_fails_no_update(learning: Learning) -> None:
    async def use(learner: ModelLearner) -> None:
        learner.applier.learned = raising(IndexError)
        assert await learner.submit(batch()) == Applied(20, 20, None)
        assert await learner.gather(BODY) == Applied(1, 21, None)

    learning(use)
    assert learning.failures == []
    assert learning.model.examples == 21


def test_a_pause_that_cannot_be_logged_is_one(learning: Learning, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it nor its end fails anybody, and their counts are those of the journal."""
    monkeypatch.setattr("nonzero_service.writer.pause.structlog.get_logger", raising(OSError))

    async def use(learner: ModelLearner) -> None:
        learner.pause._breaker = Breaker(learning.model, Bounds())
        rng = np.random.default_rng(1)

        def examples(n: int, rate: float) -> Batch:
            return Batch(np.arange(n + 1), rng.integers(0, 50, n), labels=rng.random(n) < rate)

        await learner.submit(examples(12_000, 0.1))
        applied = await learner.submit(examples(2_500, 1))
        assert applied.held > 0
        assert learner.pause.examples == applied.held
        assert (await learner.submit(examples(7, 0.1))).held == 7
        resumed = await learner.resume(discard=False)
        assert resumed == (applied.held + 7, 0, 14_507)
        assert await learner.submit(examples(1, 0)) == Applied(1, 14_508, None)
        assert learner.journal.next_sequence == 14_508

    learning(use)
    assert learning.failures == []


def test_what_was_not_queued_takes_no_room(learning: Learning, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(learner: ModelLearner) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(learner.committer.queue, "put", raising(MemoryError))
            for put in (lambda: learner.submit(batch()), lambda: learner.gather(BODY)):
                with pytest.raises(MemoryError):
                    put()
        assert learner.queued_bytes == 0
        assert (await asyncio.gather(learner.gather(BODY), learner.gather(BODY)))[1] is not None

    learning(use)


def test_an_error_is_named_once_and_stays() -> None:
    told: list[Exception] = []

    async def run() -> None:
        results = Results(lambda _: None, told.append)
        results.end(KeyError("a"))
        results.end(KeyError("b"))
        await asyncio.sleep(0)

    asyncio.run(run())
    assert len(set(told)) == 1
    assert isinstance(told[0].__cause__, KeyError)
    assert told[0].__cause__.args == ("a",)
