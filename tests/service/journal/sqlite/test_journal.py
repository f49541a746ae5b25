"""The seam: append, read, truncate; and what is known of keys."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    JournalDamagedError,
    JournalTooShortError,
    LockedError,
    UnsupportedSQLiteError,
)
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.journal.verification import verify_journal
from service.journal.history import assert_is_history, entry, write

DAY = 24 * 60 * 60 * 1000


@pytest.fixture
def journal(memory_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(memory_path) as opened:
        yield opened


def batch(count: int = 1, body: bytes = b"body", key: KeyRecord | None = None) -> JournalEntry:
    return JournalEntry("batch", 1, body, count, () if key is None else (key,))


def record(key: str, offset: int = 10, complete: bool = True) -> KeyRecord:
    return KeyRecord(
        key, b"d" * 16, offset, 0, 3, complete, {"accepted": 3, "errors": [{"line": 1, "reason": "bad"}]}
    )


def change(directory: Path, statement: str) -> None:
    """Change a journal that is closed, as no defect of ours should."""
    connection = apsw.Connection(str(directory / "journal.sqlite"))
    connection.execute(statement).fetchall()
    connection.close()


def test_one_journal_at_a_time(memory_path: Path, journal: SqliteJournal) -> None:
    with pytest.raises(LockedError):
        SqliteJournal(memory_path)
    journal.append([batch()])


def test_an_old_sqlite_is_refused(memory_path: Path) -> None:
    with (
        patch("apsw.sqlite_lib_version", return_value="3.51.2"),
        pytest.raises(UnsupportedSQLiteError, match=r"3\.51\.3"),
    ):
        SqliteJournal(memory_path)
    with patch("apsw.sqlite_lib_version", return_value="3.100.0"):
        SqliteJournal(memory_path).close()


class TestPruning:
    def test_space_is_used_again_and_given_back(self, memory_path: Path) -> None:
        with SqliteJournal(memory_path) as journal:
            body = bytes(2**20)
            for _ in range(160):
                journal.append([batch(body=body)])
            journal.checkpoint()
            largest = journal.path.stat().st_size
            journal.truncate(journal.position)
            journal.checkpoint()
            assert journal.path.stat().st_size < largest / 2
            assert len(list(journal.read())) == 1


class TestDamage:
    def test_a_row_of_another_journal_does_not_fit(self, memory_path: Path) -> None:
        one, other = memory_path / "one", memory_path / "other"
        for directory in (one, other):
            directory.mkdir()
            with SqliteJournal(directory) as journal:
                write(journal, 10, lambda _: None)
        (one / "journal.sqlite").replace(other / "journal.sqlite")
        with pytest.raises(JournalDamagedError, match="different histories"):
            SqliteJournal(other)

    @pytest.mark.parametrize("data", [b"", b"not a database", bytes(200_000)])
    def test_a_file_that_is_no_journal(self, memory_path: Path, data: bytes) -> None:
        (memory_path / "journal.sqlite").write_bytes(data)
        with pytest.raises(JournalDamagedError):
            SqliteJournal(memory_path)
        assert (memory_path / "journal.sqlite").read_bytes() == data


class TestTooShort:
    """A journal that ends too early is refused with both positions, and nothing on disk is changed."""

    @pytest.fixture
    def killed(self, memory_path: Path) -> Path:
        """A journal as a kill leaves it: five rows in the file, five in the WAL."""
        directory = memory_path / "killed"
        directory.mkdir()
        with SqliteJournal(memory_path) as journal:
            write(journal, 5, lambda _: None)
            journal.checkpoint()
            write(journal, 10, lambda _: None)
            for name in ("journal.sqlite", "journal.sqlite-wal", "mark"):
                (directory / name).write_bytes((memory_path / name).read_bytes())
        return directory

    def test_a_lost_wal(self, killed: Path) -> None:
        (killed / "journal.sqlite-wal").unlink()
        with pytest.raises(JournalTooShortError, match=r"ends at position 5,.* knows of position 10:"):
            SqliteJournal(killed)
        (killed / "mark").unlink()  # the way out that the message names
        with SqliteJournal(killed) as journal:
            assert journal.position == 5

    def test_a_damaged_wal_is_left_for_whoever_repairs_it(self, killed: Path) -> None:
        wal = killed / "journal.sqlite-wal"
        data = bytearray(wal.read_bytes())
        data[len(data) // 2] ^= 1
        wal.write_bytes(data)
        with pytest.raises(JournalTooShortError):
            SqliteJournal(killed)
        assert wal.read_bytes() == data
        data[len(data) // 2] ^= 1
        wal.write_bytes(data)
        with SqliteJournal(killed) as journal:
            assert_is_history(list(journal.read()), journal.lookup)

    def test_a_snapshot_that_is_ahead(self, killed: Path) -> None:
        with pytest.raises(JournalTooShortError, match=r"position 10.*the newest snapshot.*position 11"):
            SqliteJournal(killed, reached=11)

    def test_a_lost_journal(self, killed: Path) -> None:
        for name in ("journal.sqlite", "journal.sqlite-wal"):
            (killed / name).unlink()
        with pytest.raises(JournalTooShortError, match=r"ends at position 0,.* knows of position 10;"):
            SqliteJournal(killed)
        (killed / "mark").unlink()
        with pytest.raises(JournalTooShortError):
            SqliteJournal(killed, reached=3)

    def test_a_mark_that_lags(self, killed: Path) -> None:
        before = (killed / "mark").read_bytes()
        with SqliteJournal(killed) as journal:
            write(journal, 20, lambda _: None)
        (killed / "mark").write_bytes(before)
        with SqliteJournal(killed) as journal:
            assert journal.position == 20

    def test_normal_durability_allows_for_a_restart_of_the_machine(self, killed: Path) -> None:
        with SqliteJournal(killed, durability="normal") as journal:
            write(journal, 20, lambda _: None)
            mark = (killed / "mark").read_bytes()
        with patch("nonzero_service.journal.sqlite.mark.this_boot", return_value=b"b" * 16):
            assert_lost_rows_are_allowed(killed, mark)
        (killed / "mark").write_bytes(mark)
        with pytest.raises(JournalTooShortError):  # without a restart, they cannot have been lost like this
            assert_lost_rows_are_allowed(killed, mark)


def assert_lost_rows_are_allowed(directory: Path, mark: bytes) -> None:
    change(directory, "DELETE FROM rows WHERE position > 14; DELETE FROM keys WHERE position > 14")
    (directory / "mark").write_bytes(mark)
    with SqliteJournal(directory) as journal:
        assert journal.position == 14


class TestReaders:
    def test_reading_changes_nothing_on_disk(self, memory_path: Path) -> None:
        directory = memory_path / "killed"
        directory.mkdir()
        with SqliteJournal(memory_path) as journal:
            write(journal, 10, lambda _: None)
            for name in ("journal.sqlite", "journal.sqlite-wal", "mark"):
                (directory / name).write_bytes((memory_path / name).read_bytes())
        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        with JournalReader(directory) as reader:
            found = verify_journal(reader)
        assert (found.first, found.last, found.keys) == (1, 10, sum(len(entry(i).keys) for i in range(10)))
        assert {name: (directory / name).read_bytes() for name in before} == before


def test_a_new_journal_may_begin_at_a_sequence(memory_path: Path) -> None:
    with SqliteJournal(memory_path, sequence=1000) as journal:
        journal.append([batch(5)])
    with SqliteJournal(memory_path) as journal:
        assert [row.first_sequence for row in journal.read()] == [1000]
        assert journal.next_sequence == 1005
