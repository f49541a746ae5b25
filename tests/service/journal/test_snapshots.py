"""Snapshots are there whole or not at all; damaged ones are put aside, and the one before takes over."""

import os
import time
from pathlib import Path

import pytest

from nonzero.errors import NonzeroError, SnapshotError
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(tmp_path / "snapshots")


def write(snapshots: SnapshotFolder, *positions: int) -> list[SnapshotFile]:
    return [snapshots.write(position, lambda path: path.write_text("good")) for position in positions]


def read(path: Path) -> str:
    if path.read_text() != "good":
        raise SnapshotError(f"{path} is damaged")
    return "good"


def test_the_newest_comes_first(snapshots: SnapshotFolder) -> None:
    assert snapshots.all() == []
    assert snapshots.newest(read) is None
    first, second, third = write(snapshots, 9, 1000, 20)
    assert snapshots.all() == [second, third, first]
    assert snapshots.newest(read) == (second, "good")
    assert SnapshotFolder(snapshots.directory).all() == [second, third, first]


def test_how_old_a_snapshot_is_and_that_none_is_of_the_future(snapshots: SnapshotFolder) -> None:
    (written,) = write(snapshots, 1)
    now = time.time()
    for seconds in (3600, -3600):
        os.utime(written.path, (now - seconds, now - seconds))
        assert written.age_seconds == pytest.approx(max(seconds, 0), abs=60)


def test_a_writer_that_fails_leaves_nothing(snapshots: SnapshotFolder) -> None:
    (first,) = write(snapshots, 1)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise SnapshotError("no")

    with pytest.raises(SnapshotError):
        snapshots.write(2, fail)
    with pytest.raises(FileNotFoundError):
        snapshots.write(2, lambda _: None)
    assert list(snapshots.directory.iterdir()) == [first.path]


def test_what_a_kill_left_half_written_is_no_snapshot_and_goes(snapshots: SnapshotFolder) -> None:
    (snapshots.directory / ".writing-00000000000000000005.safetensors").write_text("half")
    (snapshots.directory / "notes.txt").write_text("not ours")
    assert snapshots.all() == []
    snapshots.tidy()
    assert [path.name for path in snapshots.directory.iterdir()] == ["notes.txt"]


def test_a_damaged_one_is_named_and_the_one_before_takes_over(snapshots: SnapshotFolder) -> None:
    oldest, middle, newest = write(snapshots, 1, 2, 3)
    middle.path.write_text("bad")
    newest.path.write_text("bad")
    told: list[tuple[int, str]] = []

    def damaged(snapshot: SnapshotFile, error: NonzeroError) -> None:
        told.append((snapshot.position, str(error)))

    assert snapshots.newest(read, damaged) == (oldest, "good")
    assert told == [(3, f"{newest.path} is damaged"), (2, f"{middle.path} is damaged")]
    assert snapshots.all() == [oldest]
    assert [path.read_text() for path in snapshots.damaged()] == ["bad", "bad"]


def test_pruning_keeps_two_and_names_what_the_journal_needs_no_more(snapshots: SnapshotFolder) -> None:
    assert snapshots.prune() is None
    write(snapshots, 1)
    assert snapshots.prune() is None
    write(snapshots, 2, 3)
    snapshots.put_aside(write(snapshots, 4)[0])
    assert snapshots.prune() == 2
    assert [snapshot.position for snapshot in snapshots.all()] == [3, 2]
    assert len(snapshots.damaged()) == 1  # newer than what is kept: somebody may want to see it
    write(snapshots, 5, 6)
    assert snapshots.prune() == 5
    assert snapshots.damaged() == []
    with pytest.raises(ValueError, match="at least 2"):
        snapshots.prune(keep=1)
