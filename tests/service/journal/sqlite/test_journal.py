"""The seam: append, read, truncate; and what is known of keys."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    JournalClosedError,
    JournalDamagedError,
    JournalTooShortError,
    LockedError,
    PrunedError,
    UnknownKindError,
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


def test_rows_get_positions_and_sequences_without_holes(journal: SqliteJournal) -> None:
    assert (journal.position, journal.next_sequence, journal.first_position) == (0, 0, 1)
    assert journal.append([JournalEntry("settings", 1, b"{}"), batch(5)]) == 2
    assert journal.append([batch(0), batch(7)]) == 4
    rows = list(journal.read())
    assert [row.position for row in rows] == [1, 2, 3, 4]
    assert [row.first_sequence for row in rows] == [0, 0, 5, 5]
    assert journal.next_sequence == rows[-1].next_sequence == 12
    assert [row.kind for row in rows] == ["settings", "batch", "batch", "batch"]
    assert journal.digest_at(4) == rows[-1].digest


def test_reading_from_a_position(journal: SqliteJournal) -> None:
    write(journal, 10, lambda _: None)
    assert [row.position for row in journal.read(7)] == [7, 8, 9, 10]
    assert list(journal.read(11)) == []
    with pytest.raises(JournalTooShortError, match="ends at position 10, before position 11;"):
        list(journal.read(12))


def test_a_new_journal_may_begin_at_a_sequence(memory_path: Path) -> None:
    with SqliteJournal(memory_path, sequence=1000) as journal:
        journal.append([batch(5)])
    with SqliteJournal(memory_path) as journal:
        assert [row.first_sequence for row in journal.read()] == [1000]
        assert journal.next_sequence == 1005


def test_a_journal_goes_on_where_it_was_closed(memory_path: Path) -> None:
    for stop in (3, 4, 30):
        with SqliteJournal(memory_path) as journal:
            write(journal, stop, lambda _: None)
    with SqliteJournal(memory_path, reached=30) as journal:
        assert_is_history(list(journal.read()), journal.lookup)
        assert journal.position == 30


def test_the_clock_never_goes_back(journal: SqliteJournal) -> None:
    future = time.time_ns() + 10**12
    with patch("time.time_ns", return_value=future):
        journal.append([batch()])
    journal.append([batch()])
    first, second = (row.time_ms for row in journal.read())
    assert first == future // 10**6
    assert first <= second < first + 60_000  # it ticks on


def test_an_empty_append_and_an_unknown_kind_are_refused(journal: SqliteJournal) -> None:
    with pytest.raises(ValueError, match="at least one"):
        journal.append([])
    with pytest.raises(UnknownKindError, match="'holiday'"):
        journal.append([batch(), JournalEntry("holiday", 1, b"")])
    assert journal.position == 0


@pytest.mark.parametrize(("kind", "version"), [("holiday", 1), ("batch", 2)])
def test_an_unknown_kind_or_version_is_named_when_read(memory_path: Path, kind: str, version: int) -> None:
    known = {"batch": frozenset({1}), kind: frozenset({1, version})}
    with patch.dict("nonzero_service.journal.chain.KINDS", known), SqliteJournal(memory_path) as journal:
        journal.append([batch(), JournalEntry(kind, version, b"")])
    with pytest.raises(UnknownKindError, match=f"position 2.*{version if kind == 'batch' else kind}"):
        SqliteJournal(memory_path)
    with JournalReader(memory_path) as reader, pytest.raises(UnknownKindError, match="position 2"):
        verify_journal(reader)


def test_closing_twice_and_use_after_close(memory_path: Path) -> None:
    journal = SqliteJournal(memory_path)
    journal.close()
    journal.close()
    for use in (
        lambda: journal.append([batch()]),
        lambda: list(journal.read()),
        lambda: journal.lookup("key"),
    ):
        with pytest.raises(JournalClosedError):
            use()


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


class TestKeys:
    def test_the_newest_record_of_a_key_is_found(self, journal: SqliteJournal) -> None:
        assert journal.lookup("a") is None
        journal.append([batch(key=record("a", 10, complete=False)), batch(key=record("b"))])
        journal.append([batch(key=record("a", 20))])
        assert journal.lookup("a") == record("a", 20)
        assert journal.lookup("b") == record("b")
        assert journal.lookup("c") is None

    def test_several_keys_in_one_row(self, journal: SqliteJournal) -> None:
        records = tuple(record(f"key-{i}", i) for i in range(20))
        journal.append([JournalEntry("batch", 1, b"", 20, records)])
        assert [journal.lookup(f"key-{i}") for i in range(20)] == list(records)

    def test_they_survive_their_rows_and_a_restart(self, memory_path: Path) -> None:
        with SqliteJournal(memory_path) as journal:
            journal.append([batch(key=record("a"))])
            journal.append([batch()])
            journal.truncate(2)
        with SqliteJournal(memory_path) as journal:
            assert journal.first_position == 2
            assert journal.lookup("a") == record("a")

    def test_they_expire_by_the_journals_clock(self, memory_path: Path) -> None:
        now = time.time_ns()
        with SqliteJournal(memory_path) as journal:
            journal.append([batch(key=record("old"))])
        with patch("time.time_ns", return_value=now + 2 * DAY * 10**6), SqliteJournal(memory_path) as journal:
            assert journal.lookup("old") is not None  # the wall clock alone does nothing
            journal.append([batch(key=record("new"))])
            assert journal.lookup("old") is None
            assert journal.lookup("new") == record("new")
            assert journal.expire_keys() == 1
            assert journal.expire_keys() == 0
            assert journal.lookup("new") == record("new")
        with SqliteJournal(memory_path) as journal:
            assert journal.lookup("old") is None
            assert journal.lookup("new") == record("new")
            with JournalReader(memory_path) as reader:
                assert verify_journal(reader).keys == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM keys WHERE position = 5",
            "DELETE FROM keys WHERE position = (SELECT max(position) FROM keys)",
            "DELETE FROM keys WHERE position = (SELECT min(position) FROM keys)",
            "UPDATE keys SET time_ms = time_ms + 1 WHERE position = 5",
            "UPDATE keys SET records = CAST(replace(records, 'key', 'kez') AS BLOB) WHERE position = 5",
        ],
    )
    def test_a_lost_or_changed_key_is_noticed_at_the_start(self, memory_path: Path, statement: str) -> None:
        with SqliteJournal(memory_path) as journal:
            write(journal, 10, lambda _: None)
        change(memory_path, statement)
        with pytest.raises(JournalDamagedError, match="idempotency keys"):
            SqliteJournal(memory_path)


class TestPruning:
    def test_rows_before_a_position_go(self, journal: SqliteJournal) -> None:
        write(journal, 20, lambda _: None)
        digest = journal.digest_at(11)
        assert journal.truncate(12) == 11
        assert journal.truncate(12) == 0
        assert (journal.first_position, journal.digest_at(11)) == (12, digest)
        assert_is_history(list(journal.read()), journal.lookup)
        for start in (1, 11):
            with pytest.raises(PrunedError) as caught:
                list(journal.read(start))
            assert caught.value.first == 12

    def test_the_last_row_stays(self, memory_path: Path) -> None:
        with SqliteJournal(memory_path) as journal:
            write(journal, 9, lambda _: None)
            journal.truncate(1000)
            assert [row.position for row in journal.read()] == [9]
        with SqliteJournal(memory_path, reached=9) as journal:
            write(journal, 12, lambda _: None)
            assert [row.position for row in journal.read()] == [9, 10, 11, 12]

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

    def test_a_reader_that_is_overtaken_is_told(self, journal: SqliteJournal) -> None:
        body = bytes(2**20)
        for _ in range(30):
            journal.append([batch(body=body)])
        rows = journal.read()
        assert next(rows).position == 1
        journal.truncate(29)
        with pytest.raises(PrunedError):
            list(rows)


class TestDamage:
    @pytest.mark.parametrize(
        ("statement", "position"),
        [
            ("UPDATE rows SET body = zeroblob(length(body)) WHERE position = 5", 5),
            ("UPDATE rows SET time_ms = time_ms - 1 WHERE position = 6", 6),
            ("UPDATE rows SET count = count + 1 WHERE position = 6", 6),
            ("UPDATE rows SET kind = 'settings' WHERE position = 7", 7),
            ("UPDATE rows SET keys_digest = zeroblob(16) WHERE position = 7", 7),
            ("DELETE FROM rows WHERE position = 5", 5),
            ("DELETE FROM rows WHERE position = 1", 1),
            ("UPDATE rows SET digest = zeroblob(16) WHERE position = 3", 3),
        ],
    )
    def test_a_changed_or_missing_row_is_named(
        self, memory_path: Path, statement: str, position: int
    ) -> None:
        with SqliteJournal(memory_path) as journal:
            write(journal, 10, lambda _: None)
        change(memory_path, statement)
        found = rf": (the row at )?position {position} is "
        with SqliteJournal(memory_path) as journal, pytest.raises(JournalDamagedError, match=found):
            list(journal.read())

    def test_a_damaged_last_row_is_not_built_on(self, memory_path: Path) -> None:
        with SqliteJournal(memory_path) as journal:
            write(journal, 10, lambda _: None)
        change(memory_path, "UPDATE rows SET body = x'00' WHERE position = 10")
        with pytest.raises(JournalDamagedError, match="position 10"):
            SqliteJournal(memory_path)

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
    def test_a_reader_beside_the_writer_sees_a_whole_history(
        self, memory_path: Path, journal: SqliteJournal
    ) -> None:
        stop = threading.Event()
        problems: list[BaseException] = []
        lengths: list[int] = []

        def read() -> None:
            try:
                with JournalReader(memory_path) as reader:
                    while not stop.is_set():
                        lengths.append(verify_journal(reader).last)
            except BaseException as error:
                problems.append(error)
                raise

        thread = threading.Thread(target=read)
        thread.start()
        write(journal, 150, lambda _: None)
        stop.set()
        thread.join()
        assert not problems
        assert lengths == sorted(lengths)

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

    def test_memory_is_bounded(self, journal: SqliteJournal) -> None:
        body = bytes(2**20)
        for _ in range(64):
            journal.append([batch(body=body)])
        tracemalloc.start()
        try:
            assert sum(len(row.body) for row in journal.read()) == 64 * 2**20
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()
