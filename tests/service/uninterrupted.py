"""A model's directory, beside the model that was never interrupted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.recovery import StoredModel, recover
from nonzero_service.models.snapshot_files import write_snapshot
from nonzero_service.writer.entries import batch_entry, settings_entry


def batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(np.arange(41) * 3, rng.integers(0, 2**10, 120), labels=rng.integers(0, 2, 40))


def silent(last: int, end: int) -> None:
    assert last <= end


class History:
    """A model's directory, and the model that was never interrupted."""

    def __init__(self, directory: Path, model: LogisticRegression | None = None) -> None:
        self.directory = directory
        self.model = model or LogisticRegression(10, AdaGrad(0.1))
        self.seed = 0
        ModelConfig(created=datetime.now(UTC), bits=self.model.bits).write(directory)
        with SqliteJournal(directory, sequence=self.model.examples) as journal:
            journal.append([settings_entry(self.model)])

    def learn(self, rows: int) -> None:
        with SqliteJournal(self.directory) as journal:
            for _ in range(rows):
                self.seed += 1
                journal.append([batch_entry(batch(self.seed))])
                self.model.learn(batch(self.seed))

    def snapshot(self, held_since: int | None = None) -> Path:
        with SqliteJournal(self.directory) as journal:
            position = journal.position
            snapshots = SnapshotFolder(self.directory / "snapshots")
            return write_snapshot(
                snapshots, position, journal.digest_at(position), self.model.packed(), held_since
            ).path

    def prune(self) -> None:
        oldest = SnapshotFolder(self.directory / "snapshots").prune()
        assert oldest is not None
        with SqliteJournal(self.directory) as journal:
            journal.truncate(oldest + 1)

    def recovered(self) -> StoredModel:
        kept = recover(self.directory, SqliteJournal, silent)
        kept.journal.close()
        return kept


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
