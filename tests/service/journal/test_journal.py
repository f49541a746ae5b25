"""The journal as all else knows it: both kinds are held to the same, row by row and error by error."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    JournalClosedError,
    JournalDamagedError,
    JournalTooShortError,
    PrunedError,
    UnknownKindError,
)
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.verification import verify_journal
from service.journal.history import assert_is_history, write
from service.journal.kept import Kept, KeptInDatabase, KeptInFile

DAY = 24 * 60 * 60 * 1000


@pytest.fixture
def journal(kept: Kept) -> Iterator[Journal]:
    with kept.open() as opened:
        yield opened


def batch(count: int = 1, body: bytes = b"body", key: KeyRecord | None = None) -> JournalEntry:
    return JournalEntry("batch", 1, body, count, () if key is None else (key,))


def record(key: str, offset: int = 10, complete: bool = True) -> KeyRecord:
    return KeyRecord(
        key, b"d" * 16, offset, 0, 3, complete, {"accepted": 3, "errors": [{"line": 1, "reason": "bad"}]}
    )


def test_rows_get_positions_and_sequences_without_holes(journal: Journal) -> None:
    assert (journal.position, journal.next_sequence, journal.first_position) == (0, 0, 1)
    assert journal.append([JournalEntry("settings", 1, b"{}"), batch(5)]) == 2
    assert journal.append([batch(0), batch(7)]) == 4
    rows = list(journal.read())
    assert [row.position for row in rows] == [1, 2, 3, 4]
    assert [row.first_sequence for row in rows] == [0, 0, 5, 5]
    assert journal.next_sequence == rows[-1].next_sequence == 12
    assert [row.kind for row in rows] == ["settings", "batch", "batch", "batch"]
    assert journal.digest_at(4) == rows[-1].digest


def test_the_same_rows_have_the_same_digests(
    memory_path: Path, shared: tuple[str, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two journals of one name, at one time: one is a copy of the other, wherever each is kept."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000 * 10**9)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 0)
    url, database = shared
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(size)))
    told = []
    for kept in (KeptInFile(memory_path, 7), KeptInDatabase(database, url, 7)):
        with kept.open() as journal:
            write(journal, 40, lambda _: None)
            journal.truncate(20)
            told.append((journal.base, journal.tip, list(journal.read()), list(journal.read_keys())))
    assert told[0] == told[1]
    assert len(told[0][2]) == 21


def test_a_follower_is_told_where_a_row_is_refused(kept: Kept) -> None:
    """What was read on is checked from the row on that was read before it."""
    with kept.open() as journal:
        write(journal, 10, lambda _: None)
        digests = [journal.digest_at(position) for position in range(11)]
    with kept.reader() as reader:
        assert [row.position for row in reader.read_on(4, digests[4])] == [5, 6, 7, 8, 9, 10]
        assert [row.position for row in reader.read_on(1, digests[1], 1)] == [2]
        assert reader.read_on(10, digests[10]) == []
        with pytest.raises(JournalDamagedError, match="position 5"):
            reader.read_on(4, digests[3])


def test_reading_from_a_position(journal: Journal) -> None:
    write(journal, 10, lambda _: None)
    assert [row.position for row in journal.read(7)] == [7, 8, 9, 10]
    assert list(journal.read(11)) == []
    with pytest.raises(JournalTooShortError, match="ends at position 10, before position 11;"):
        list(journal.read(12))


def test_a_journal_goes_on_where_it_was_closed(kept: Kept) -> None:
    for stop in (3, 4, 30):
        with kept.open() as journal:
            write(journal, stop, lambda _: None)
    with kept.open(reached=30) as journal:
        assert_is_history(list(journal.read()), journal.lookup)
        assert journal.position == 30


def test_the_clock_never_goes_back(journal: Journal) -> None:
    future = time.time_ns() + 10**12
    with patch("time.time_ns", return_value=future):
        journal.append([batch()])
    journal.append([batch()])
    first, second = (row.time_ms for row in journal.read())
    assert first == future // 10**6
    assert first <= second < first + 60_000  # it ticks on


def test_an_empty_append_and_an_unknown_kind_are_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="at least one"):
        journal.append([])
    with pytest.raises(UnknownKindError, match="'holiday'"):
        journal.append([batch(), JournalEntry("holiday", 1, b"")])
    assert journal.position == 0


@pytest.mark.parametrize(("kind", "version"), [("holiday", 1), ("batch", 2)])
def test_an_unknown_kind_or_version_is_named_when_read(kept: Kept, kind: str, version: int) -> None:
    known = {"batch": frozenset({1}), kind: frozenset({1, version})}
    with patch.dict("nonzero_service.journal.chain.KINDS", known), kept.open() as journal:
        journal.append([batch(), JournalEntry(kind, version, b"")])
    with pytest.raises(UnknownKindError, match=f"position 2.*{version if kind == 'batch' else kind}"):
        kept.open()
    with pytest.raises(UnknownKindError, match="position 2"), kept.reader() as reader:
        verify_journal(reader)


def test_closing_twice_and_use_after_close(kept: Kept) -> None:
    journal = kept.open()
    journal.close()
    journal.close()
    for use in (
        lambda: journal.append([batch()]),
        lambda: list(journal.read()),
        lambda: journal.lookup("key"),
    ):
        with pytest.raises(JournalClosedError):
            use()


class TestKeys:
    def test_the_newest_record_of_a_key_is_found(self, journal: Journal) -> None:
        assert journal.lookup("a") is None
        journal.append([batch(key=record("a", 10, complete=False)), batch(key=record("b"))])
        journal.append([batch(key=record("a", 20))])
        assert journal.lookup("a") == record("a", 20)
        assert journal.lookup("b") == record("b")
        assert journal.lookup("c") is None

    def test_several_keys_in_one_row(self, journal: Journal) -> None:
        records = tuple(record(f"key-{i}", i) for i in range(20))
        journal.append([JournalEntry("batch", 1, b"", 20, records)])
        assert [journal.lookup(f"key-{i}") for i in range(20)] == list(records)

    def test_they_survive_their_rows_and_a_restart(self, kept: Kept) -> None:
        with kept.open() as journal:
            journal.append([batch(key=record("a"))])
            journal.append([batch()])
            journal.truncate(2)
        with kept.open() as journal:
            assert journal.first_position == 2
            assert journal.lookup("a") == record("a")

    def test_they_expire_by_the_journals_clock(self, kept: Kept) -> None:
        now = time.time_ns()
        with kept.open() as journal:
            journal.append([batch(key=record("old"))])
        with patch("time.time_ns", return_value=now + 2 * DAY * 10**6), kept.open() as journal:
            assert journal.lookup("old") is not None  # the wall clock alone does nothing
            journal.append([batch(key=record("new"))])
            assert journal.lookup("old") is None
            assert journal.lookup("new") == record("new")
            assert journal.expire_keys() == 1
            assert journal.expire_keys() == 0
            assert journal.lookup("new") == record("new")
        with kept.open() as journal:
            assert journal.lookup("old") is None
            assert journal.lookup("new") == record("new")
            with kept.reader() as reader:
                assert verify_journal(reader).keys == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM keys WHERE {model} AND position = 5",
            "DELETE FROM keys WHERE {model} AND position = (SELECT max(position) FROM keys WHERE {model})",
            "DELETE FROM keys WHERE {model} AND position = (SELECT min(position) FROM keys WHERE {model})",
            "UPDATE keys SET time_ms = time_ms + 1 WHERE {model} AND position = 5",
            "UPDATE keys SET records = zeroblob(length(records)) WHERE {model} AND position = 5",
        ],
    )
    def test_a_lost_or_changed_key_is_noticed_at_the_start(self, kept: Kept, statement: str) -> None:
        with kept.open() as journal:
            write(journal, 10, lambda _: None)
        kept.change(statement)
        with pytest.raises(JournalDamagedError, match="idempotency keys"):
            kept.open()


class TestPruning:
    def test_rows_before_a_position_go(self, journal: Journal) -> None:
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

    def test_the_last_row_stays(self, kept: Kept) -> None:
        with kept.open() as journal:
            write(journal, 9, lambda _: None)
            journal.truncate(1000)
            assert [row.position for row in journal.read()] == [9]
        with kept.open(reached=9) as journal:
            write(journal, 12, lambda _: None)
            assert [row.position for row in journal.read()] == [9, 10, 11, 12]

    def test_a_reader_that_is_overtaken_is_told(self, journal: Journal) -> None:
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
            ("UPDATE rows SET body = zeroblob(length(body)) WHERE {model} AND position = 5", 5),
            ("UPDATE rows SET time_ms = time_ms - 1 WHERE {model} AND position = 6", 6),
            ("UPDATE rows SET count = count + 1 WHERE {model} AND position = 6", 6),
            ("UPDATE rows SET kind = 'settings' WHERE {model} AND position = 7", 7),
            ("UPDATE rows SET keys_digest = zeroblob(16) WHERE {model} AND position = 7", 7),
            ("DELETE FROM rows WHERE {model} AND position = 5", 5),
            ("DELETE FROM rows WHERE {model} AND position = 1", 1),
            ("UPDATE rows SET digest = zeroblob(16) WHERE {model} AND position = 3", 3),
        ],
    )
    def test_a_changed_or_missing_row_is_named(self, kept: Kept, statement: str, position: int) -> None:
        with kept.open() as journal:
            write(journal, 10, lambda _: None)
        kept.change(statement)
        found = rf": (the row at )?position {position} is "
        with kept.open() as journal, pytest.raises(JournalDamagedError, match=found):
            list(journal.read())

    def test_a_damaged_last_row_is_not_built_on(self, kept: Kept) -> None:
        with kept.open() as journal:
            write(journal, 10, lambda _: None)
        kept.change("UPDATE rows SET body = zeroblob(1) WHERE {model} AND position = 10")
        with pytest.raises(JournalDamagedError, match="position 10"):
            kept.open()


class TestReaders:
    def test_a_reader_beside_the_writer_sees_a_whole_history(self, kept: Kept, journal: Journal) -> None:
        stop = threading.Event()
        problems: list[BaseException] = []
        lengths: list[int] = []

        def read() -> None:
            try:
                with kept.reader() as reader:
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

    def test_memory_is_bounded(self, journal: Journal) -> None:
        body = bytes(2**20)
        for _ in range(32):
            journal.append([batch(body=body)])
        tracemalloc.start()
        try:
            assert sum(len(row.body) for row in journal.read()) == 32 * 2**20
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()
