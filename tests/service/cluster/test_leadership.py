"""The rows that say who writes: whatever is under way, a term is had once, and nobody waits for long."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest

from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres import leadership as statements
from nonzero_service.journal.postgres.leadership import Leadership, Seen, steady
from postgres import Cluster
from service.cluster.members import APPEND, make_tables
from waiting import until


@pytest.fixture
def url(database: str) -> str:
    make_tables(database)
    return database


@pytest.fixture
def two(url: str) -> Iterator[tuple[Leadership, Leadership]]:
    with closing(Leadership(url, "a")) as a, closing(Leadership(url, "b")) as b:
        yield a, b


def taken(leadership: Leadership, seen: Seen, highest: int = 0) -> int | None:
    return leadership.take(seen, "127.0.0.1:8100", f"http://{leadership.node}", b"s" * 32, highest)


def test_a_term_is_taken_kept_and_given_back(two: tuple[Leadership, Leadership]) -> None:
    a, b = two
    nobody = b.observe()
    assert nobody == Seen(0, 0, None, "", "", b"")
    assert taken(a, nobody) == 1
    assert b.observe() == Seen(1, 0, "a", "127.0.0.1:8100", "http://a", b"s" * 32)
    before = steady()
    sent = a.beat(1)
    assert sent is not None
    assert before <= sent <= steady()
    assert b.observe().beat == 1
    assert b.beat(2) is None
    assert not b.give_back(0)
    assert a.give_back(1)
    assert b.observe() == Seen(2, 0, None, "", "", b"")
    assert a.beat(1) is None  # what is still under way in its term is refused
    assert not a.give_back(1)
    assert taken(b, b.observe()) == 3


def test_who_wakes_late_does_not_take_over_from_who_is_alive(two: tuple[Leadership, Leadership]) -> None:
    a, b = two
    assert taken(a, a.observe()) == 1
    seen = b.observe()
    a.beat(1)
    assert taken(b, seen) is None  # it gave a sign of life
    assert taken(b, b.observe()) == 2
    assert taken(a, b.observe()._replace(term=1)) is None
    assert taken(a, seen) is None  # another term has begun


def test_a_term_that_the_database_has_lost_is_not_used_again(two: tuple[Leadership, Leadership]) -> None:
    a, b = two
    assert taken(a, a.observe(), highest=6) == 7
    assert taken(b, b.observe(), highest=3) == 8


def test_of_many_at_once_one_wins(url: str) -> None:
    with ExitStack() as stack:
        many = [stack.enter_context(closing(Leadership(url, f"n{n}"))) for n in range(4)]
        threads = stack.enter_context(ThreadPoolExecutor(4))
        for round_ in range(25):
            seen = many[0].observe()
            start = threading.Barrier(4)

            def take(one: Leadership, seen: Seen = seen, start: threading.Barrier = start) -> int | None:
                one.observe()
                start.wait()
                return taken(one, seen)

            won = [term for term in threads.map(take, many) if term is not None]
            assert won == [round_ + 1]


def test_terms_only_rise_whatever_is_under_way(url: str) -> None:
    """Takes, signs of life, ends and appends, all at once: no deadlock, and each term is had once."""
    with closing(Leadership(url, "first")) as first:
        first.observe()
    end, had, wrong = time.monotonic() + 1, [], []

    def live(node: str) -> None:
        try:
            with closing(Leadership(url, node)) as one:
                while time.monotonic() < end:
                    if (term := taken(one, one.observe())) is not None:
                        had.append(term)
                        while one.beat(term) is not None and len(had) % 3 and time.monotonic() < end:
                            pass
                        one.give_back(term)
        except BaseException as error:
            wrong.append(error)
            raise

    def add() -> None:
        with psycopg.connect(url, autocommit=True) as line:
            while time.monotonic() < end:
                term = line.execute("SELECT term FROM nonzero.term").fetchall()[0][0]
                line.execute(APPEND, (term, term, "x"))

    threads = [threading.Thread(target=live, args=(f"n{n}",)) for n in range(3)]
    threads += [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(had) > 10
    assert len(set(had)) == len(had)
    with psycopg.connect(url) as line:
        of_rows = [row[0] for row in line.execute("SELECT term FROM ledger ORDER BY n").fetchall()]
    assert of_rows == sorted(of_rows)


def test_signs_of_life_and_appends_do_not_wait_for_each_other(
    two: tuple[Leadership, Leadership], url: str
) -> None:
    a, b = two
    assert taken(a, a.observe()) == 1
    with psycopg.connect(url) as append, psycopg.connect(url) as other:
        append.execute(APPEND, (1, 1, "a"))  # and it is not committed yet
        before = steady()
        assert a.beat(1) is not None
        other.execute(statements.BEAT, (1,))
        append.execute(APPEND, (1, 1, "a"))
        assert steady() - before < 1
        # Whoever takes over waits for it: nothing of the term before is added after it.
        other.rollback()
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(taken, b, b.observe())
            with psycopg.connect(url, autocommit=True) as look:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                until(lambda: look.execute(query).fetchall()[0][0] == 1)
            assert not asked.done()
            append.commit()
            assert asked.result() == 2


def test_a_client_that_is_stopped_holds_nothing(two: tuple[Leadership, Leadership], url: str) -> None:
    """Its statements are whole: between two of them nothing is locked."""
    a, b = two
    assert taken(a, a.observe()) == 1
    a.beat(1)
    with psycopg.connect(url, autocommit=True) as look:
        query = (
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE datname = current_database() AND application_name LIKE 'nonzero%'"
        )
        assert look.execute(query).fetchall() == [(0,)]
    assert taken(b, b.observe()) == 2


def test_who_waits_for_the_database_is_cut_off(postgres: Cluster) -> None:
    """And goes on by another connection, when there is one to be had."""
    url = postgres.database()
    make_tables(url)
    with closing(Leadership(url, "a")) as a:
        assert taken(a, a.observe()) == 1
        postgres.primary.stop_signal()
        threading.Timer(0.3, a.cut).start()
        before = steady()
        with pytest.raises(JournalUnreachableError, match="cannot be reached"):
            a.beat(1)
        assert 0.25 < steady() - before < 5
        postgres.primary.cont()
        assert a.beat(1) is not None


def test_a_commit_that_is_not_waited_for_is_no_success(replicated: Cluster) -> None:
    """It is seen here, and the standby has not got it: after a failover somebody else has the term."""
    url = replicated.database()
    make_tables(url)
    hears_little = f"{url}?options=-c%20client_min_messages%3Derror"
    with closing(Leadership(hears_little, "a")) as a, ThreadPoolExecutor(1) as thread:
        seen = a.observe()
        replicated.standby.stop_signal()
        asked = thread.submit(taken, a, seen)
        query = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE wait_event = 'SyncRep' AND application_name LIKE 'nonzero%'"
        )
        pid = until(lambda: replicated.primary.ask(query))
        assert replicated.primary.ask("SELECT pg_cancel_backend(%s)", pid)
        with pytest.raises(JournalUnreachableError, match="did not wait for its standby"):
            asked.result()
        replicated.standby.cont()
        assert a.observe().term == 1


def test_no_clock_of_the_database_is_looked_at() -> None:
    written = [value for value in vars(statements).values() if isinstance(value, str) and "nonzero." in value]
    assert len(written) >= 4
    assert not re.search(r"\bnow\b|clock|_time|current", " ".join(written), re.IGNORECASE)
