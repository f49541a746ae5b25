"""A journal that another node writes is followed on a standby, as far as it was brought and no further."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    JournalDivergedError,
    JournalError,
    JournalTooShortError,
    PrunedError,
)
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.ends import PostgresEnds
from nonzero_service.journal.postgres.journal import PostgresJournal
from postgres import Cluster
from service.journal.history import answer, entry, write
from service.journal.postgres_models import change, followed, new_database, new_model, take_over, written
from waiting import until


class Two:
    """A journal as one node writes it, and as another follows it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = new_database(url)
        self.model = new_model(self.database)
        self.writes = written(self.database, self.model, take_over(self.database))
        write(self.writes, 10, lambda _: None)
        self.follows = followed(self.database, self.model)

    def bring(self) -> list[int]:
        """Bring the follower what has been written; return the positions."""
        tip = self.follows.tip
        rows = self.follows.read_on(tip.position, tip.digest)
        for row in rows:
            self.follows.advance(row)
        return [row.position for row in rows]


@pytest.fixture
def two(database: str) -> Iterator[Two]:
    opened = Two(database)
    yield opened
    opened.database.close()


def bodies(journal: PostgresJournal) -> int:
    return sum(len(row.body) for row in journal.read())


def test_it_ends_where_it_was_brought(two: Two) -> None:
    before = two.writes.tip
    write(two.writes, 40, lambda _: None)
    assert two.follows.tip == before
    assert [row.position for row in two.follows.read(9)] == [9, 10]
    assert [row.position for row in two.follows.read_of(("batch", "settings"), print)] == list(range(1, 11))
    last = two.follows.last_of("batch")
    assert last is not None
    assert last.position <= 10
    assert {place for place, _, _ in two.follows.read_keys()} <= set(range(1, 11))
    with pytest.raises(JournalTooShortError):
        two.follows.read_part(11, 0, 1)
    assert two.bring() == list(range(11, 41))
    assert two.follows.tip == two.writes.tip
    assert list(two.follows.read()) == list(two.writes.read())
    assert two.follows.nbytes == two.writes.nbytes == bodies(two.writes)
    assert two.bring() == []


def test_keys_are_known_as_far_as_it_was_brought(two: Two) -> None:
    write(two.writes, 40, lambda _: None)
    assert two.follows.lookup("key-20") is None
    two.bring()
    for i in (0, 20, 39):
        assert (two.follows.lookup(f"key-{i}") is not None) == bool(entry(i).keys)
    found = two.follows.lookup("key-20")
    assert found is not None
    assert found.answer == answer(20)


def test_bytes_of_many_rows_are_told_by_their_mean(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_model(two.database)
    journal = written(two.database, model, take_over(two.database))
    for size in (1000, *[300] * 20):
        journal.append([JournalEntry("batch", 1, bytes(size))])
    journal.truncate(2)
    assert journal.nbytes == followed(two.database, model).nbytes == 6000
    monkeypatch.setattr("nonzero_service.journal.postgres.moment._COUNTED", 7)
    assert followed(two.database, model).nbytes == 6000


def test_rows_of_a_kind_are_read_with_few_questions(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a slow line one for each row would take longer than a use of a connection may."""
    for _ in range(100):
        two.writes.append([JournalEntry("batch", 1, b"body", 1), JournalEntry("label", 1, b"other")])
    asked, execute = 0, psycopg.Connection.execute

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal asked
        asked += 1
        return execute(*args, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", counted)
    damaged: list[JournalError] = []
    rows = list(two.writes.read_of(("label",), damaged.append))
    assert len(rows) >= 100
    assert not damaged
    assert asked < 20


def test_what_does_not_follow_is_refused(two: Two) -> None:
    write(two.writes, 13, lambda _: None)
    tip = two.follows.tip
    with pytest.raises(JournalError, match="position 12 does not follow"):
        two.follows.advance(two.follows.read_on(tip.position, tip.digest)[1])
    with pytest.raises(JournalError, match="is written here"):
        two.writes.advance(next(two.writes.read(13)))


def test_rows_that_were_pruned_before_they_were_read(two: Two) -> None:
    write(two.writes, 40, lambda _: None)
    two.writes.truncate(30)
    with pytest.raises(PrunedError) as caught:
        two.bring()
    assert caught.value.first == 30
    with pytest.raises(PrunedError):
        list(two.follows.read(9))


def test_a_standby_that_is_behind_is_waited_for(replicated: Cluster) -> None:
    """What a model in hand has, and the standby does not, is asked of the primary; the rest comes later."""
    two = Two(replicated.database())
    until(lambda: is_on_standby(two.database))
    with not_applied(replicated), ExitStack() as stack:
        database = Database(two.url, "b")  # whose commits do not wait: the setting is of before
        stack.callback(database.close)
        ahead = written(database, two.model, take_over(database))
        write(ahead, 20, lambda _: None)
        assert two.bring() == []
        behind = followed(database, two.model, reached=15)
        assert behind.position == 20
        assert [row.position for row in behind.read(9)] == list(range(9, 21))
        assert behind.read_on(20, behind.tip.digest) == []
        assert behind.lookup("key-18") == ahead.lookup("key-18")
        behind.check_end()
    assert until(two.bring) == list(range(11, 21))
    two.database.close()


def is_on_standby(database: Database) -> bool:
    with database.reading() as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


@contextmanager
def not_applied(cluster: Cluster) -> Iterator[None]:
    """Let a standby take what is written, and not show it; nobody waits until it does."""
    cluster.primary.configure(synchronous_commit="on")
    cluster.standby.ask("SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        cluster.standby.ask("SELECT pg_wal_replay_resume()")
        cluster.primary.configure(synchronous_commit="remote_apply")


def test_rows_that_a_failover_has_lost(two: Two) -> None:
    write(two.writes, 12, lambda _: None)
    two.bring()
    two.follows.check_end()
    for table in ("rows", "keys"):
        change(two.url, f"DELETE FROM nonzero.{table} WHERE position > 10")
    for asks in (two.follows.check_end, lambda: list(two.follows.read(5))):
        with pytest.raises(JournalDivergedError, match=r"ends at position 10, and position 12 was read here"):
            asks()
    written(two.database, two.model, take_over(two.database)).append([JournalEntry("batch", 1, b"other")] * 2)
    with pytest.raises(JournalDivergedError, match="has another row there"):
        two.follows.check_end()


def test_a_start_refuses_a_database_that_lost_what_a_snapshot_has(two: Two) -> None:
    with pytest.raises(JournalTooShortError, match=r"ends at position 10, but the newest snapshot .* 11"):
        followed(two.database, two.model, reached=11)
    with pytest.raises(JournalTooShortError):
        written(two.database, two.model, take_over(two.database), reached=11)


def test_ends_are_told_where_they_have_changed(two: Two) -> None:
    ends = PostgresEnds(two.database)
    other = new_model(two.database, 70)
    found = ends.look()
    assert found is not None
    assert found.is_primary
    tip = two.writes.tip
    assert found.ends[two.model] == (tip.position, tip.sequence, tip.digest)
    assert found.ends[other][:2] == (0, 70)
    assert ends.look() is None
    assert ends.look(anyway=True) == found
    two.writes.append([entry(10)])
    found = ends.look()
    assert found is not None
    assert found.ends[two.model].position == 11
    change(two.url, f"UPDATE nonzero.models SET removed = true WHERE id = {other}")
    found = ends.look()
    assert found is not None
    assert set(found.ends) == {two.model}


class Counted(Database):
    """A database that counts what is asked of it by those who read."""

    asked = 0

    @contextmanager
    def reading(self, seconds: float | None = None) -> Iterator[Any]:
        with super().reading(seconds) as connection:
            yield CountedConnection(connection, self)

    def count(self, asks: Callable[[], object]) -> int:
        before = self.asked
        asks()
        return self.asked - before


class CountedConnection:
    def __init__(self, connection: psycopg.Connection[Any], database: Counted) -> None:
        self._connection, self._database = connection, database

    def __getattr__(self, name: str) -> Any:
        self._database.asked += name == "execute"
        return getattr(self._connection, name)


def test_while_rows_keep_coming_each_look_is_one_question_and_so_is_what_it_finds(two: Two) -> None:
    database = Counted(two.url, "b")
    ends, tip = PostgresEnds(database), two.writes.tip
    assert database.count(ends.look) == 2
    follows = followed(database, two.model)
    for i in range(3):
        two.writes.append([entry(10 + i)])
        assert database.count(ends.look) == 1
        assert database.count(lambda: follows.read_on(tip.position, tip.digest)) == 1
    assert database.count(lambda: ends.look() is None or pytest.fail("nothing has changed")) == 1
    two.writes.append([entry(20)])
    assert database.count(ends.look) == 2
    database.close()


def test_ends_are_asked_of_the_standby(replicated: Cluster) -> None:
    two = Two(replicated.database())
    ends = PostgresEnds(two.database)
    found = ends.look(anyway=True)
    assert found is not None
    assert not found.is_primary
    assert found.ends[two.model].position == 10
    two.database.close()
