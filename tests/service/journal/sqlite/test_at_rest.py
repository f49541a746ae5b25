"""A journal that a stop has left is read as it lies, and opened when something is to be written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine import open_below
from nonzero_service.journal.errors import JournalDamagedError, JournalError, LockedError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.open_journals import OpenJournals
from service.journal.history import entry


@pytest.fixture
def among() -> Iterator[OpenJournals]:
    journals = OpenJournals()
    yield journals
    journals.close()


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory that a stop has left."""
    directory = tmp_path / "odd #?% name"
    directory.mkdir()
    with SqliteJournal(directory) as journal:
        journal.append([entry(n) for n in range(3)])
    return directory


def files_of(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_it_is_read_without_a_trace_and_then_written_to(left: Path, among: OpenJournals) -> None:
    before = files_of(left)
    with SqliteJournal(left, among=among) as journal:
        assert [row.position for row in journal.read(1)] == [1, 2, 3]
        assert journal.tip.position == journal.position == 3
        assert files_of(left) == before
        journal.rest()
        assert (open_below(left), len(among)) == (0, 0)
        assert journal.digest_at(3) == journal.tip.digest
        assert journal.append([entry(3)]) == 4
        assert "journal.sqlite-wal" in files_of(left)
        assert [row.position for row in journal.read(1)] == [1, 2, 3, 4]
    assert files_of(left) == before
    with SqliteJournal(left, among=among) as journal:
        assert journal.append([entry(4)]) == 5  # without a rest
        assert [row.position for row in journal.read(3)] == [3, 4, 5]


def test_what_a_kill_has_left_in_the_wal_is_there(left: Path, among: OpenJournals, tmp_path: Path) -> None:
    with SqliteJournal(left) as journal:
        journal.append([entry(3)])
        shutil.copytree(left, tmp_path / "killed")
    with SqliteJournal(tmp_path / "killed", among=among) as journal:
        journal.rest()  # it does nothing: that is no journal at rest
        assert journal.position == 4
        assert [row.position for row in journal.read(1)] == [1, 2, 3, 4]


def test_nobody_else_has_it_meanwhile(left: Path, among: OpenJournals) -> None:
    with SqliteJournal(left, among=among) as journal:
        with pytest.raises(LockedError):
            SqliteJournal(left)
        journal.rest()
        with SqliteJournal(left) as other:
            other.append([entry(3)])
        with pytest.raises(JournalError, match="something else has written there"):
            journal.append([entry(3)])


def test_damage_is_refused_and_nothing_is_changed(left: Path, among: OpenJournals) -> None:
    path = left / "journal.sqlite"
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:68] + b"\1" + whole[69:], b"no journal" * 10_000):
        path.write_bytes(damaged)
        with pytest.raises(JournalDamagedError):
            SqliteJournal(left, among=among)
        assert path.read_bytes() == damaged
    path.write_bytes(whole)
    with SqliteJournal(left, among=among) as journal:
        assert journal.position == 3
