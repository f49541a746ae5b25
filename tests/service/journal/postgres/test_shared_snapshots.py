"""Snapshots that travel by the database: there when they are whole, under one term, and each part checked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from nonzero import SnapshotError
from nonzero_service.journal.errors import (
    FencedError,
    JournalClosedError,
    JournalUnreachableError,
    PrunedError,
)
from nonzero_service.journal.postgres.snapshots import PART, SharedSnapshots
from shared_database import Hooked

MODEL = 7


@pytest.fixture
def snapshots(hooked: Hooked) -> SharedSnapshots:
    return SharedSnapshots(hooked, share=1.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(Random(1).randbytes(3 * PART + 5))
    return path


def test_it_goes_there_and_back_to_several_at_once(
    snapshots: SharedSnapshots, file: Path, tmp_path: Path
) -> None:
    assert snapshots.newest(MODEL) is None
    shared = snapshots.put(1, MODEL, 40, file, needed_from=30)
    assert (shared.model, shared.position, shared.needed_from) == (MODEL, 40, 30)
    assert shared.nbytes == file.stat().st_size
    assert snapshots.newest(MODEL + 1) is None
    found = snapshots.newest(MODEL)
    assert found is not None
    assert 0 <= found.age_seconds < 60
    places = [tmp_path / f"fetched {number}" for number in range(4)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda place: snapshots.fetch(found, place), places))
    assert all(place.read_bytes() == file.read_bytes() for place in places)


@pytest.mark.parametrize("size", [0, 1, PART, 2 * PART])
def test_any_length(snapshots: SharedSnapshots, tmp_path: Path, size: int) -> None:
    file, fetched = tmp_path / "file", tmp_path / "fetched"
    file.write_bytes(bytes(size))
    snapshots.fetch(snapshots.put(1, MODEL, 1, file), fetched)
    assert fetched.read_bytes() == file.read_bytes()


def test_the_newest_and_those_before(snapshots: SharedSnapshots, file: Path) -> None:
    for position in (10, 30, 20):
        snapshots.put(1, MODEL, position, file)
    assert [one.position for one in snapshots.all(MODEL)] == [30, 20, 10]
    newest = snapshots.newest(MODEL)
    assert newest is not None
    assert newest.position == 30


def test_it_is_not_there_before_it_is_whole(snapshots: SharedSnapshots, hooked: Hooked, file: Path) -> None:
    seen = []
    hooked.before_each(lambda: seen.append(hooked.ask("SELECT count(*) FROM nonzero.snapshots")))
    snapshots.put(1, MODEL, 40, file)
    assert len(seen) > 5  # four parts, and what is around them
    assert set(seen) == {0}
    assert hooked.ask("SELECT count(*) FROM nonzero.snapshots") == 1


def test_a_part_that_is_gone_when_it_is_finished(
    snapshots: SharedSnapshots, hooked: Hooked, file: Path
) -> None:
    with snapshots.sending(1, MODEL, 40, file):  # while another one finishes the same
        other = SharedSnapshots(hooked, share=1.0)

        def lose(statement: str) -> None:
            if "INSERT INTO nonzero.snapshots " in statement:
                hooked.ask("DELETE FROM nonzero.snapshot_parts WHERE part = 2")

        hooked.before_statement(lose)
        with pytest.raises(JournalUnreachableError, match="not all in the database"):
            other.put(1, MODEL, 40, file)
        hooked.before_statement(None)
    assert snapshots.newest(MODEL) is None
    assert snapshots.put(1, MODEL, 40, file).position == 40


def test_another_term(snapshots: SharedSnapshots, hooked: Hooked, file: Path) -> None:
    with pytest.raises(FencedError, match="term 2"):
        snapshots.put(2, MODEL, 40, file)
    assert hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 0


def test_another_node_takes_over_meanwhile(snapshots: SharedSnapshots, hooked: Hooked, file: Path) -> None:
    def take_over() -> None:
        if hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 2:
            hooked.ask("UPDATE nonzero.term SET term = 2")

    hooked.before_each(take_over)
    with pytest.raises(FencedError):
        snapshots.put(1, MODEL, 40, file)
    hooked.before_each(None)
    assert snapshots.newest(MODEL) is None
    # The next writer has another snapshot there, which is shorter: no part of the older one is in it.
    with file.open("rb+") as opened:
        opened.write(b"other")
        opened.truncate(PART + 1)
    SharedSnapshots(hooked, share=1.0).put(2, MODEL, 40, file)
    newest = snapshots.newest(MODEL)
    assert newest is not None
    snapshots.fetch(newest, file.with_name("fetched"))
    assert file.with_name("fetched").read_bytes() == file.read_bytes()
    assert hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 2


def test_what_was_sent_before_a_break_is_not_sent_again(
    snapshots: SharedSnapshots, hooked: Hooked, file: Path
) -> None:
    def lose() -> None:
        if hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 2:
            hooked.kill_next()

    hooked.before_each(lose)
    with pytest.raises(JournalUnreachableError):
        snapshots.put(1, MODEL, 40, file)
    hooked.before_each(None)
    versions = "SELECT string_agg(xmin::text, ' ' ORDER BY part) FROM nonzero.snapshot_parts WHERE part < 2"
    before = hooked.ask(versions)
    shared = snapshots.put(1, MODEL, 40, file)
    assert hooked.ask(versions) == before
    snapshots.fetch(shared, file.with_name("fetched"))
    assert file.with_name("fetched").read_bytes() == file.read_bytes()
    assert snapshots.put(1, MODEL, 40, file.with_name("gone")).digest == shared.digest  # it is there


def test_it_is_broken_off(snapshots: SharedSnapshots, file: Path) -> None:
    ended = threading.Event()
    ended.set()
    with pytest.raises(JournalClosedError):
        snapshots.put(1, MODEL, 40, file, ended=ended)
    assert snapshots.newest(MODEL) is None


def test_fetching_goes_on_over_a_lost_connection(
    hooked: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonzero_service.journal.postgres.snapshots._AHEAD", 1)
    snapshots, file, fetched = SharedSnapshots(hooked, share=1.0), tmp_path / "file", tmp_path / "fetched"
    file.write_bytes(Random(2).randbytes(3 * PART))
    shared = snapshots.put(1, MODEL, 40, file)
    told: list[int] = []

    def note(nbytes: int) -> None:
        told.append(nbytes)
        hooked.kill_next()

    snapshots.fetch(shared, fetched, note)
    assert told == [PART, 2 * PART, 3 * PART]
    assert fetched.read_bytes() == file.read_bytes()


DAMAGE = {
    "a bit": ("UPDATE nonzero.snapshot_parts SET body = set_bit(body, 8000, 1 - get_bit(body, 8000)) "
              "WHERE part = 2", "part 2 is not what was sent"),
    "a digest": ("UPDATE nonzero.snapshot_parts SET digest = set_byte(digest, 3, get_byte(digest, 3) # 8) "
                 "WHERE part = 1", "part 1 is not what was sent"),
    "the last digest": ("UPDATE nonzero.snapshots SET digest = set_byte(digest, 3, get_byte(digest, 3) # 8)",
                        "part 3 is not the last one"),
    "a part is gone": ("DELETE FROM nonzero.snapshot_parts WHERE part = 1", "part 1 is missing"),
    "the first is gone": ("DELETE FROM nonzero.snapshot_parts WHERE part = 0", "part 0 is missing"),
    "the last is gone": ("DELETE FROM nonzero.snapshot_parts WHERE part = 3", "part 3 is missing"),
    "two are exchanged": ("UPDATE nonzero.snapshot_parts AS one SET body = two.body "
                          "FROM nonzero.snapshot_parts AS two WHERE one.part + two.part = 3 AND one.part > 0 "
                          "AND two.part > 0", "part 1 is not what was sent"),
    "another model's": ("UPDATE nonzero.snapshot_parts SET model = 8; UPDATE nonzero.snapshots SET model = 8",
                        "part 0 is not what was sent"),
}  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(snapshots: SharedSnapshots, hooked: Hooked, file: Path, damage: str) -> None:
    change, message = DAMAGE[damage]
    snapshots.put(1, MODEL, 40, file)
    hooked.ask(change)
    shared = snapshots.newest(MODEL) or snapshots.newest(8)
    assert shared is not None
    with pytest.raises(SnapshotError, match=message) as error:
        snapshots.fetch(shared, file.with_name("fetched"))
    assert "position 40" in str(error.value)


def test_it_is_given_up_while_it_is_fetched(
    snapshots: SharedSnapshots, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonzero_service.journal.postgres.snapshots._AHEAD", 1)
    shared = snapshots.put(1, MODEL, 40, file)
    for position in (50, 60):
        snapshots.put(1, MODEL, position, file)
    with pytest.raises(PrunedError, match="given up"):
        snapshots.fetch(shared, file.with_name("fetched"), lambda _: snapshots.prune(1, MODEL))
    assert [one.position for one in snapshots.all(MODEL)] == [60, 50]


def test_two_stay(snapshots: SharedSnapshots, hooked: Hooked, file: Path) -> None:
    for position in (10, 20, 30, 40):
        snapshots.put(1, MODEL, position, file)
    snapshots.put(1, MODEL + 1, 5, file)
    assert snapshots.prune(1, MODEL) == 2
    assert snapshots.prune(1, MODEL) == 0
    assert [one.position for one in snapshots.all(MODEL)] == [40, 30]
    assert (
        hooked.ask("SELECT string_agg(DISTINCT position::text, ' ') FROM nonzero.snapshot_parts") == "30 40 5"
    )
    snapshots.put(1, MODEL, 50, file)
    with pytest.raises(FencedError):
        snapshots.prune(2, MODEL)
    with pytest.raises(ValueError, match="at least 2"):
        snapshots.prune(1, MODEL, 1)


def test_pruning_that_was_broken_off(snapshots: SharedSnapshots, hooked: Hooked, file: Path) -> None:
    for position in (10, 20, 30):
        snapshots.put(1, MODEL, position, file)
    hooked.before_statement(lambda statement: hooked.kill_next() if "snapshot_parts" in statement else None)
    with pytest.raises(JournalUnreachableError):
        snapshots.prune(1, MODEL)
    hooked.before_statement(None)
    assert [one.position for one in snapshots.all(MODEL)] == [30, 20]  # what is told of is whole
    with snapshots.sending(1, MODEL, 40, file):  # what is sent just now stays
        assert snapshots.give_up_unfinished(1) == 1
        assert (
            hooked.ask("SELECT string_agg(DISTINCT position::text, ' ') FROM nonzero.snapshot_parts")
            == "20 30 40"
        )
    assert snapshots.give_up_unfinished(1) == 1
    assert hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 8


def test_the_same_twice_at_once(snapshots: SharedSnapshots, file: Path) -> None:
    with snapshots.sending(1, MODEL, 40, file), pytest.raises(JournalUnreachableError, match="already"):
        snapshots.put(1, MODEL, 40, file)


def test_a_full_disk(snapshots: SharedSnapshots, file: Path, small_disk: Path) -> None:
    shared = snapshots.put(1, MODEL, 40, file)
    (small_disk / "filler").write_bytes(bytes(6 * PART))
    with pytest.raises(OSError, match="No space left"):
        snapshots.fetch(shared, small_disk / "fetched")
