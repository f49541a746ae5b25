"""Few journals of many are open; those that are not are opened when they are needed, as they were left."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from machine import open_below
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalFailedError,
    NoDescriptorsError,
)
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.lock import DirectoryLock
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.open_journals import FEWEST, OF_A_JOURNAL, OpenJournals
from service.journal.history import entry
from service.test_descriptors import limits

MOST = 4


class Many:
    """Journals, of which few are open."""

    def __init__(self, place: Path, stack: ExitStack, count: int = 12) -> None:
        self.open = OpenJournals(MOST)
        stack.callback(self.open.close)
        self.journals = []
        for n in range(count):
            (place / str(n)).mkdir()
            self.journals.append(stack.enter_context(SqliteJournal(place / str(n), among=self.open)))


@pytest.fixture
def many(memory_path: Path) -> Iterator[Many]:
    with ExitStack() as stack:
        yield Many(memory_path, stack)


def is_open(journal: SqliteJournal) -> bool:
    return journal.path.with_name("journal.sqlite-wal").exists()


def test_no_more_are_open_than_may_be_and_all_are_usable(memory_path: Path) -> None:
    with ExitStack() as stack:
        many = Many(memory_path, stack)
        for n in range(40):
            for journal in many.journals:
                assert journal.append([entry(n)]) == n + 1
                assert open_below(memory_path) <= MOST * OF_A_JOURNAL
        for journal in many.journals:
            assert [row.position for row in journal.read()] == list(range(1, 41))
    assert open_below(memory_path) == 0
    for directory in sorted(memory_path.iterdir()):
        with SqliteJournal(directory) as journal:
            assert journal.position == 40


def test_the_one_that_was_used_longest_ago_is_closed(many: Many) -> None:
    for n in (3, 5, 7, 9, 3, 11):
        many.journals[n].append([entry(0)])
    assert [n for n, journal in enumerate(many.journals) if is_open(journal)] == [3, 7, 9, 11]
    for n in (3, 7, 9, 11):
        assert many.journals[n].let_go()
    assert not any(map(is_open, many.journals))


def test_idle_ones_are_closed_but_for_a_few(memory_path: Path) -> None:
    with ExitStack() as stack:
        many = Many(memory_path, stack, FEWEST + 3)
        many.open.most = 100
        for journal in many.journals:
            journal.append([entry(0)])
        many.open.close_idle(3600)
        assert all(map(is_open, many.journals))
        many.open.close_idle(0)
        assert list(map(is_open, many.journals)) == [False] * 3 + [True] * FEWEST


def test_by_many_threads_at_once(many: Many) -> None:
    failures: list[BaseException] = []

    def use(start: int) -> None:
        try:
            for n in range(60):
                journal = many.journals[(start + n) % len(many.journals)]
                journal.append([JournalEntry("batch", 1, b"x", 1, (record(start, n),))])
                found = journal.lookup(f"{start}-{n}")
                assert found is not None
                assert next(journal.read(journal.position)).count == 1
        except BaseException as error:  # noqa: BLE001 - the test is told
            failures.append(error)

    threads = [threading.Thread(target=use, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(journal.position for journal in many.journals) == 360
    assert len(many.open) <= MOST + 6


def record(start: int, n: int) -> KeyRecord:
    return KeyRecord(f"{start}-{n}", b"", 0, 0, 1, True, {})


def test_what_another_process_has_taken_is_busy_and_then_goes_on(many: Many) -> None:
    first = many.journals[0]
    first.append([entry(0)])
    assert first.let_go()
    said = f"process {os.getpid()}.*nothing was written"
    with DirectoryLock(first.directory), pytest.raises(JournalBusyError, match=said):
        first.append([entry(1)])
    assert first.append([entry(1)]) == 2


def test_what_another_process_has_written_is_refused(many: Many, memory_path: Path) -> None:
    first = many.journals[0]
    first.append([entry(0)])
    assert first.let_go()
    with SqliteJournal(first.directory) as other:
        other.append([entry(1)])
    files = open_below(memory_path)
    for _ in range(2):
        with pytest.raises(JournalFailedError, match="ends at position 2, and not at 1"):
            first.append([entry(1)])
    assert open_below(memory_path) == files


def test_one_that_is_held_stays_open_whatever_its_directory_is_called(many: Many, memory_path: Path) -> None:
    first = many.journals[0]
    first.hold()
    first.directory.rename(memory_path / "gone")
    for journal in many.journals[1:]:
        journal.append([entry(0)])
    assert not first.let_go()
    assert first.append([entry(0)]) == 1
    first.close()
    with SqliteJournal(memory_path / "gone") as journal:
        assert journal.position == 1


def test_without_a_descriptor_nothing_is_written_and_it_goes_on(many: Many) -> None:
    first = many.journals[0]
    first.append([entry(0)])
    for journal in many.journals:
        journal.let_go()
    free = os.dup(0)
    os.close(free)
    for more in range(OF_A_JOURNAL):
        with limits(free + more), pytest.raises(NoDescriptorsError, match="RLIMIT_NOFILE"):
            first.append([entry(1)])
    assert first.append([entry(1)]) == 2


def test_without_space_for_its_index_nothing_is_written_and_it_goes_on(small_disk: Path) -> None:
    (small_disk / "0").mkdir()
    with ExitStack() as stack:
        among = OpenJournals(MOST)
        stack.callback(among.close)
        journal = stack.enter_context(SqliteJournal(small_disk / "0", among=among))
        journal.append([entry(0)])
        assert journal.let_go()
        with (small_disk / "filling").open("wb", 0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with pytest.raises(DiskFullError):
            journal.append([entry(1)])
        (small_disk / "filling").unlink()
        assert journal.append([entry(1)]) == 2
