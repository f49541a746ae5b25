"""A model comes back as it was: from a snapshot and the rows after it, or from the rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression, SnapshotError
from nonzero_service.fold import apply, batch_entry, settings_entry
from nonzero_service.recovery import Kept, recover, write_snapshot
from nonzero_service.storage.errors import BodyError
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.rows import Entry
from nonzero_service.storage.snapshots import Snapshots


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
        with Journal(directory, sequence=self.model.examples) as journal:
            journal.append([settings_entry(self.model)])

    def learn(self, rows: int) -> None:
        with Journal(self.directory) as journal:
            for _ in range(rows):
                self.seed += 1
                journal.append([batch_entry(batch(self.seed))])
                self.model.learn(batch(self.seed))

    def snapshot(self) -> Path:
        with Journal(self.directory) as journal:
            position = journal.position
            snapshots = Snapshots(self.directory / "snapshots")
            return write_snapshot(snapshots, position, journal.digest_at(position), self.model).path

    def prune(self) -> None:
        oldest = Snapshots(self.directory / "snapshots").prune()
        assert oldest is not None
        with Journal(self.directory) as journal:
            journal.truncate(oldest + 1)

    def recovered(self) -> Kept:
        kept = recover(self.directory, "full", silent)
        kept.journal.close()
        return kept


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_from_the_journal_alone(history: History) -> None:
    history.learn(5)
    kept = history.recovered()
    assert kept.model.digest() == history.model.digest()
    assert kept.model.examples == 200


def test_from_a_snapshot_and_the_tail(history: History) -> None:
    history.learn(5)
    history.snapshot()
    history.learn(4)
    assert history.recovered().model.digest() == history.model.digest()


def test_the_rows_before_the_older_snapshot_are_not_needed(history: History) -> None:
    for _ in range(3):
        history.learn(3)
        history.snapshot()
    history.prune()
    history.learn(2)
    kept = history.recovered()
    assert kept.model.digest() == history.model.digest()


def test_a_damaged_snapshot_gives_way_to_the_one_before(history: History) -> None:
    for _ in range(3):
        history.learn(3)
        newest = history.snapshot()
    history.prune()
    history.learn(1)
    flip(newest)
    assert history.recovered().model.digest() == history.model.digest()
    assert newest.with_name(newest.name + ".damaged").exists()


def test_with_every_snapshot_damaged_pruned_rows_are_missed_by_name(history: History) -> None:
    for _ in range(2):
        history.learn(3)
        flip(history.snapshot())
    history.prune()
    with pytest.raises(SnapshotError, match="position 5 only"):
        history.recovered()


def test_a_snapshot_of_another_history_is_refused(history: History, tmp_path: Path) -> None:
    history.learn(3)
    other = tmp_path / "other"
    other.mkdir()
    stranger = History(other)
    stranger.learn(4)
    strange = stranger.snapshot()
    history.learn(1)
    Snapshots(tmp_path / "snapshots")
    (tmp_path / "snapshots" / strange.name).write_bytes(strange.read_bytes())
    with pytest.raises(SnapshotError, match="another history"):
        history.recovered()


def test_a_trained_model_is_its_first_snapshot(tmp_path: Path) -> None:
    trained = LogisticRegression(10, AdaGrad(0.3))
    trained.learn(batch(99))
    history = History(tmp_path, trained)
    path = history.snapshot()
    history.learn(2)
    assert history.recovered().model.digest() == history.model.digest()
    path.unlink()
    with pytest.raises(SnapshotError, match="trained file"):
        history.recovered()


def test_a_row_that_does_not_fit_the_model_is_named(history: History) -> None:
    with Journal(history.directory) as journal:
        journal.append([Entry("settings", 1, b"{}")])
    with pytest.raises(BodyError, match="position 2"):
        history.recovered()


def test_the_first_row_says_what_the_model_starts_from(history: History) -> None:
    with Journal(history.directory) as journal:
        row = next(journal.read(1))
    apply(LogisticRegression(10, AdaGrad(0.1)), row)
    with pytest.raises(BodyError, match="another model"):
        apply(LogisticRegression(10, AdaGrad(0.2)), row)


def test_a_snapshot_under_another_name_is_refused(history: History) -> None:
    history.learn(3)
    path = history.snapshot()
    history.learn(1)
    path.rename(path.with_name(f"{5:020d}.safetensors"))
    with pytest.raises(SnapshotError, match="position 4"):
        history.recovered()


def test_a_file_that_is_no_snapshot_of_a_journal_is_refused(history: History) -> None:
    history.learn(3)
    history.model.notes = {}
    history.model.save(Snapshots(history.directory / "snapshots").directory / f"{4:020d}.safetensors")
    with pytest.raises(SnapshotError, match="another history"):
        history.recovered()


def test_a_row_that_does_not_follow_the_model_is_named(history: History) -> None:
    history.learn(2)
    with Journal(history.directory) as journal:
        rows = list(journal.read(2))
    model = LogisticRegression(10, AdaGrad(0.1))
    with pytest.raises(BodyError, match="position 3 follows 40 examples"):
        apply(model, rows[1])
    assert model.examples == 0
