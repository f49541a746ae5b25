"""A model comes back as it was: from a snapshot and the rows after it, or from the rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero import AdaGrad, LogisticRegression, SnapshotError
from nonzero_service.impressions.joined import References
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import BodyError, PrunedError
from nonzero_service.journal.snapshots import SnapshotFolder, snapshots_in
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.recovery import recover
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.verifying import verify
from nonzero_service.writer.entries import held_entry, resume_entry, trip_entry
from nonzero_service.writer.fold import apply
from service.uninterrupted import History, batch, flip


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
    SnapshotFolder(tmp_path / "snapshots")
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
    with SqliteJournal(history.directory) as journal:
        journal.append([JournalEntry("settings", 1, b"{}")])
    with pytest.raises(BodyError, match="position 2"):
        history.recovered()


def test_the_first_row_says_what_the_model_starts_from(history: History) -> None:
    with SqliteJournal(history.directory) as journal:
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
    history.model.save(SnapshotFolder(history.directory / "snapshots").directory / f"{4:020d}.safetensors")
    with pytest.raises(SnapshotError, match="another history"):
        history.recovered()


def test_a_row_that_does_not_follow_the_model_is_named(history: History) -> None:
    history.learn(2)
    with SqliteJournal(history.directory) as journal:
        rows = list(journal.read(2))
    model = LogisticRegression(10, AdaGrad(0.1))
    with pytest.raises(BodyError, match="position 3 follows 40 examples"):
        apply(model, rows[1])
    assert model.examples == 0


def paused(history: History) -> tuple[Path, Path]:
    """Make a history of a pause with a snapshot in it, its end, and a snapshot after that; return the two."""
    history.learn(3)
    with SqliteJournal(history.directory) as journal:
        since = journal.append([trip_entry({"figure": "click_rate"})])
        journal.append([held_entry(batch(70), References.none(), [])])
    first = history.snapshot(held_since=since)
    with SqliteJournal(history.directory) as journal:
        journal.append([resume_entry(since, discard=False, examples=40)])
    history.model.learn(batch(70))
    history.learn(2)
    return first, history.snapshot()


def test_a_snapshot_says_which_rows_a_start_from_it_needs(history: History) -> None:
    first, second = paused(history)
    inside, after = snapshots_in(first.parent)[::-1]
    assert (inside.path, after.path) == (first, second)
    assert (needed_from(inside), needed_from(after)) == (5, after.position + 1)
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(SnapshotError, match="damaged"):
        needed_from(after)


def test_rows_that_an_earlier_release_gave_up_are_named_with_a_way_out(history: History) -> None:
    first, second = paused(history)
    inside = snapshots_in(first.parent)[-1]
    with SqliteJournal(history.directory) as journal:
        journal.truncate(inside.position + 1)  # as if nothing had been held there
    assert history.recovered().model.digest() == history.model.digest()
    [fault] = verify(history.directory, lambda *_: None).faults
    assert "position 7 learns from what was held since position 5" in fault
    assert "only the rows from 7 on are there" in fault
    assert "take two more" in fault
    flip(second)
    with pytest.raises(PrunedError, match="make a new model of that file"):
        history.recovered()


def test_a_start_tells_what_the_tail_holds(history: History) -> None:
    references = References(np.arange(40), np.arange(40, dtype=np.uint64), np.full(40, 0x3C, np.uint8))
    with SqliteJournal(history.directory) as journal:
        since = journal.append([trip_entry({"figure": "click_rate"})])
        journal.append([held_entry(batch(70), references, [])])
        journal.append([resume_entry(since, discard=True, examples=40)])
        size = sum(len(row.body) for row in journal.read(1))
    kept = recover(history.directory, SqliteJournal, lambda *_: None)
    kept.journal.close()
    assert kept.pause is None
    assert kept.tail_bytes == size
    assert 0 <= kept.tail_seconds < 60
