"""A disk without space: refused as such, nothing lost, and on again when there is some."""

import errno
import os
from pathlib import Path

import pytest

from nonzero import LogisticRegression
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import DiskFullError
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.journal import SqliteJournal

BODY = os.urandom(100_000)


def write_for_ever(journal: SqliteJournal) -> None:
    while True:
        journal.append([JournalEntry("batch", 1, BODY, 1)])


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017


def test_the_journal_goes_on_when_there_is_space_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3_000_000))
    with SqliteJournal(small_disk) as journal:
        for _ in range(3):  # the space runs out, is given, and runs out again
            written = journal.position
            with pytest.raises(DiskFullError):
                write_for_ever(journal)
            assert journal.position > written
            written = journal.position
            assert [row.position for row in journal.read()] == list(range(1, written + 1))
            with pytest.raises(DiskFullError):
                journal.append([JournalEntry("batch", 1, BODY, 1)])
            ballast.write_bytes(bytes(max(0, ballast.stat().st_size - 1_000_000)))
            assert journal.append([JournalEntry("batch", 1, b"fits", 1)]) == written + 1
    ballast.unlink()
    with SqliteJournal(small_disk, reached=written + 1) as journal:
        assert len(list(journal.read())) == written + 1


def test_a_start_without_space_is_refused_and_changes_nothing(small_disk: Path) -> None:
    with SqliteJournal(small_disk) as journal:
        journal.append([JournalEntry("batch", 1, BODY, 1)])
    fill(small_disk / "ballast")
    with pytest.raises(DiskFullError):
        SqliteJournal(small_disk)
    (small_disk / "ballast").unlink()
    with SqliteJournal(small_disk) as journal:
        assert journal.append([JournalEntry("batch", 1, BODY, 1)]) == 2
        assert len(list(journal.read())) == 2


def test_a_snapshot_leaves_nothing_behind(small_disk: Path) -> None:
    snapshots = SnapshotFolder(small_disk / "snapshots")
    first = snapshots.write(1, lambda path: path.write_bytes(bytes(5_000_000)))
    with pytest.raises(DiskFullError):
        snapshots.write(2, lambda path: path.write_bytes(bytes(5_000_000)))
    assert snapshots.all() == [first]
    assert list(snapshots.directory.iterdir()) == [first.path]
    assert len(first.path.read_bytes()) == 5_000_000


def test_a_model_that_does_not_fit_says_so(small_disk: Path) -> None:
    snapshots, model = SnapshotFolder(small_disk / "snapshots"), LogisticRegression(18)
    model.table.rows[:] = 0.01
    with pytest.raises(DiskFullError):
        snapshots.write(1, model.save)
    assert list(snapshots.directory.iterdir()) == []
