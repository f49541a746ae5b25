"""When a history is written: a while after something has come, and when the model is closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.history import keeping
from nonzero_service.history.history import History
from nonzero_service.history.keeping import HistoryKeeper
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.threads import WriterThreads
from service.failures import no_failure

BATCH = Batch([0, 3, 6], np.arange(6), labels=[0, 1])


def test_it_is_written_when_due_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, file = LogisticRegression(10), tmp_path / "history"

    def kept() -> int:
        found = History(file, "other")
        return sum(int(point["totals"][0]) for point in found.records("day").points)

    async def run() -> None:
        with SqliteJournal(tmp_path) as journal:
            journal.append([settings_entry(model)])
            threads = WriterThreads()
            learner = ModelLearner(model, journal, 2**20, no_failure, threads)
            history = History(file, "default")
            history.replayed(model, journal.position)
            keeper = HistoryKeeper(history, learner)
            learner.applier.learning = lambda time_ms: history.learning(
                model, learner.applier.position, time_ms, bool
            )
            assert keeper.look() is None
            await learner.submit(BATCH)
            assert keeper.look() is None  # it waits for what else comes
            assert not file.exists()
            monkeypatch.setattr(keeping, "SAVE_SECONDS", 0.0)
            due = keeper.look()
            assert due is not None
            await due
            assert kept() == 2
            assert keeper.look() is None
            written = file.stat().st_mtime_ns
            assert keeper.look() is None  # nothing has come: nothing is written
            assert file.stat().st_mtime_ns == written
            await learner.submit(BATCH)
            await learner.close()
            late = keeper.look()
            assert late is None
            await keeper.close()
            assert kept() == 4
            threads.close()

    asyncio.run(run())
    assert model.examples == 4
