"""A model comes back as it was: from a snapshot and the rows after it, or from the rows alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonzero import AdaGrad, LogisticRegression, SnapshotError
from nonzero_service.learning.fold import apply
from nonzero_service.storage.errors import BodyError
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.rows import Entry
from nonzero_service.storage.snapshots import Snapshots
from service.history import History, batch, flip


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


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
