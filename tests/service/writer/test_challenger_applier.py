"""A challenger's applier: it reads, it is told, and its champion waits where it is far behind."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from nonzero import AdaGrad, LogisticRegression
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.writer import challenger_applier
from nonzero_service.writer.challenger_applier import ChallengerApplier
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.pairing import Pairing
from nonzero_service.writer.results import Results
from nonzero_service.writer.sequences import BEFORE
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import CommittedGroup, Work
from service.failures import no_failure
from service.writer.test_learner import batches, new_model
from waiting import until_in_loop


def challenger() -> LogisticRegression:
    model = LogisticRegression(10, AdaGrad(0.5))
    model.notes[BEFORE] = 0
    return model


def follow(learner: ModelLearner, threads: WriterThreads) -> ChallengerApplier:
    """Have a challenger read the whole journal and go on."""
    made = ChallengerApplier(
        challenger(), learner.journal, learner.applier, 0, None, None, Pairing, threads.appliers,
        Results(lambda _: None, no_failure),
    )  # fmt: skip
    made.moved = learner.committer.turn.call
    threads.start()
    made.wake()
    return made


def test_its_champion_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenger_applier, "LAG_GROUPS", 2)
    given = batches(40)
    alone = challenger()

    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            journal.append([settings_entry(new_model())])
            threads = WriterThreads()
            learner = ModelLearner(new_model(), journal, 2**20, no_failure, threads)
            for batch in given[:10]:
                await learner.submit(batch)
            follower = follow(learner, threads)
            await until_in_loop(lambda: not follower.is_reading)
            assert follower.pairing is not None
            assert follower.pairing.since.sequence == 200
            let_go = threading.Event()
            loop = asyncio.get_running_loop()
            follower.put(CommittedGroup([Work(let_go.wait, 0, loop.create_future())]))
            done = 0

            async def submit() -> None:
                nonlocal done
                for batch in given[10:]:
                    await learner.submit(batch)
                    done += 1

            submitting = asyncio.create_task(submit())
            await until_in_loop(lambda: follower.is_behind and journal.position == learner.applier.position)
            waiting = done
            await asyncio.sleep(0.05)
            assert done <= waiting + 1
            assert not submitting.done()
            let_go.set()
            await submitting
            await until_in_loop(lambda: follower.position == journal.position)
            assert follower.pairing.whole.examples == 600
            await learner.close()
            follower.put(None)
            await asyncio.to_thread(follower.ended.wait)
            threads.close()
            for batch in given:
                alone.learn(batch)
            assert follower.place.position == 41
            assert follower._model.digest() == alone.digest()

    asyncio.run(run())
