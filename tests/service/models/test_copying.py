"""The learner's copy, made while it learns on: the model as some row of the journal left it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer.entries import remedy_entry, settings_entry
from nonzero_service.writer.fold import apply
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import Copied
from service.failures import no_failure

BITS = 18
"""So many slots are copied in eight steps."""

REMEDY = {"action": "rescale", "factor": 0.25}


def folded(directory: Path, position: int) -> LogisticRegression:
    model = LogisticRegression(BITS)
    with JournalReader(directory) as reader:
        for row in reader.read():
            if row.position <= position:
                apply(model, row)
    return model


@pytest.mark.sampled(1)
@pytest.mark.parametrize("changed", [False, True], ids=["batches", "and what changes every row"])
def test_it_is_the_fold_up_to_its_position(tmp_path: Path, changed: bool) -> None:
    rng = np.random.default_rng(1)
    given = [Batch([0, 30], rng.integers(0, 2**BITS, 30), labels=[j % 2]) for j in range(60)]
    model, copies = LogisticRegression(BITS), [LogisticRegression(BITS) for _ in range(3)]

    async def run() -> list[Copied]:
        with SqliteJournal(tmp_path) as journal:
            journal.append([settings_entry(model)])
            threads = WriterThreads()
            learner = ModelLearner(model, journal, 2**20, no_failure, threads)
            made = []
            for j, batch in enumerate(given):
                if j % 20 == 10:
                    made.append(learner.copy(copies[j // 20]))
                submitted = learner.submit(batch)
                if j % 20 == 11 and changed:
                    learner.change(remedy_entry(REMEDY), lambda: model.apply_remedy(REMEDY))
                if j % 3:
                    await submitted
            await learner.close()
            threads.close()
            return [await one for one in made]

    made = asyncio.run(run())
    for copied, copy in zip(made, copies, strict=True):
        assert copied.held_since is None
        assert copy.digest() == folded(tmp_path, copied.position).digest()
    assert made[0].position < made[1].position < made[2].position
    assert model.digest() == folded(tmp_path, 10**6).digest()
