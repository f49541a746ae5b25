"""A power cut: what was acknowledged is in the recovered model, the fold of the rows that are left."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.recovery import recover
from nonzero_service.writer.entries import batch_entry, settings_entry
from reporting import Figure
from service.faults.invariants import silent
from service.journal.power import Acknowledge, Event, RecordingVFS, cut

ROWS = 60


def batch(n: int) -> Batch:
    rng = np.random.default_rng(n)
    size = 20 if n % 9 else 3000
    return Batch(np.arange(size + 1) * 3, rng.integers(0, 2**8, 3 * size), labels=rng.integers(0, 2, size))


def new_model() -> LogisticRegression:
    return LogisticRegression(8, AdaGrad(0.1))


def recorded(directory: Path) -> tuple[list[Event], dict[str, bytes], list[str]]:
    """Journal a model's updates; return what was written when, and the model's digest after each row."""
    model = new_model()
    events: list[Event] = []
    digests = [model.digest()]
    vfs = RecordingVFS("recording-updates", events)
    try:
        with SqliteJournal(directory) as journal:
            journal.append([settings_entry(model)])
        before = {name: (directory / name).read_bytes() for name in ("journal.sqlite", "mark")}
        with SqliteJournal(directory, vfs="recording-updates", wal_limit=2**20) as journal:
            for n in range(ROWS):
                record = KeyRecord(f"key-{n}", b"", 0, model.examples, len(batch(n)), True, {})
                position = journal.append([batch_entry(batch(n), [record])])
                events.append(Acknowledge(position, (directory / "mark").read_bytes()))
                model.learn(batch(n))
                digests.append(model.digest())
                if n % 20 == 15:
                    journal.checkpoint()
            return list(events), before, digests
    finally:
        vfs.unregister()


def cut_power(directory: Path, seeds: int) -> None:
    (directory / "recorded").mkdir()
    events, before, digests = recorded(directory / "recorded")
    for seed in range(seeds):
        place = directory / str(seed)
        place.mkdir()
        acknowledged = cut(events, before, place, random.Random(seed))
        kept = recover(place, SqliteJournal, silent)
        with kept.journal as journal:
            assert journal.position >= acknowledged
            assert kept.model.digest() == digests[journal.position - 1]
            for n in range(ROWS):
                assert (journal.lookup(f"key-{n}") is not None) == (n + 2 <= journal.position)


def test_nothing_acknowledged_is_lost(memory_path: Path) -> None:
    cut_power(memory_path, 40)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_long(memory_path: Path, figure: Figure) -> None:
    cut_power(memory_path, 400)
    figure(
        "power loss under a served model: unsynced writes dropped, torn, reordered",
        "400 seeds: nothing acknowledged lost, the digest that of the rows left",
        "400 seeds: nothing lost, every digest right",
    )
