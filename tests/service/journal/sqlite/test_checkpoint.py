"""The WAL is moved into the file beside the writer, and stays within its limit."""

import threading
import time
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import JournalFailedError
from nonzero_service.journal.sqlite.checkpoint import Checkpointer
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.open_journals import OpenJournals
from waiting import SECONDS, until

LIMIT = 2**22
BODY = bytes(200_000)


def largest_wal(journal: SqliteJournal, appends: int) -> int:
    wal = journal.path.with_name("journal.sqlite-wal")
    largest = 0
    for _ in range(appends):
        journal.append([JournalEntry("batch", 1, BODY, 1)])
        largest = max(largest, wal.stat().st_size)
    return largest


def test_the_wal_stays_within_its_limit(memory_path: Path) -> None:
    with SqliteJournal(memory_path, wal_limit=LIMIT) as journal:
        assert largest_wal(journal, 200) < LIMIT + 2**20
        assert len(list(journal.read())) == 200


def on_disk(directory: Path) -> int:
    return sum(
        path.stat().st_size for path in directory.glob("*/journal.sqlite*") if path.suffix != ".sqlite-shm"
    )


def test_its_size_is_known_without_a_look_at_the_disk(memory_path: Path) -> None:
    """Through commits, checkpoints, pruning, a WAL that is begun anew, and files that are closed."""
    opened = OpenJournals()
    (memory_path / "a").mkdir()
    sizes = []
    for _ in range(2):
        with SqliteJournal(memory_path / "a", wal_limit=LIMIT, among=opened) as journal:
            for n in range(60):
                journal.append([JournalEntry("batch", 1, BODY, 1)])
                if n % 20 == 5:
                    journal.checkpoint()
                if n % 20 == 11:
                    assert journal.let_go()
                if n == 40:
                    journal.truncate(journal.position)
                # A checkpoint beside the writer may be looking just now.
                until(lambda: journal.nbytes == on_disk(memory_path))
                sizes.append(journal.nbytes)
            wal = journal.path.with_name("journal.sqlite-wal")
        assert not wal.exists()
        assert journal.nbytes == on_disk(memory_path)
    opened.close()
    assert len(set(sizes)) > 40


def test_a_reader_that_does_not_let_go_delays_and_does_not_stop(memory_path: Path) -> None:
    with SqliteJournal(memory_path, wal_limit=LIMIT) as journal:
        largest_wal(journal, 5)
        shell = apsw.Connection(str(journal.path))
        shell.execute("BEGIN")
        shell.execute("SELECT count(*) FROM rows").fetchall()
        with patch("nonzero_service.journal.sqlite.checkpoint._PATIENCE", 0.2):
            begun = time.monotonic()
            assert largest_wal(journal, 100) > LIMIT + 2**20
            assert time.monotonic() - begun >= 0.2
        shell.execute("ROLLBACK")
        largest_wal(journal, 100)  # the WAL begins anew
        # The file is cut where nobody else moves the WAL just then.
        until(lambda: shell.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0] == 0)
        assert largest_wal(journal, 100) < LIMIT + 2**20
        shell.close()


def test_a_writer_is_not_kept_waiting_by_readers_and_pruning(memory_path: Path) -> None:
    with SqliteJournal(memory_path, wal_limit=LIMIT) as journal:
        stop = threading.Event()

        def read_and_prune() -> None:
            while not stop.is_set():
                for _ in journal.read(journal.first_position):
                    pass
                journal.truncate(journal.position - 1)

        thread = threading.Thread(target=read_and_prune)
        thread.start()
        longest = 0.0
        with patch("nonzero_service.journal.sqlite.checkpoint._PATIENCE", SECONDS):
            for _ in range(200):
                begun = time.monotonic()
                journal.append([JournalEntry("batch", 1, BODY, 1)])
                longest = max(longest, time.monotonic() - begun)
        stop.set()
        thread.join()
        assert longest < SECONDS / 2  # and never that of a reader that does not let go


def test_a_checkpoint_that_fails_as_none_should_is_told_to_the_next_append(memory_path: Path) -> None:
    with (
        SqliteJournal(memory_path, wal_limit=LIMIT) as journal,
        patch.object(Checkpointer, "checkpoint", side_effect=MemoryError),
    ):
        with pytest.raises(JournalFailedError, match="MemoryError"):
            largest_wal(journal, 200)
        assert journal.position < 60  # and not when somebody has waited for it for ever
