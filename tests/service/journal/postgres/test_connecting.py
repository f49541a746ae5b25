"""Connections to a database: few, to the right host, and none that is used for longer than is allowed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from nonzero_service.journal.errors import (
    JournalClosedError,
    JournalError,
    JournalUnreachableError,
    OutcomeUnknownError,
)
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import place_of
from nonzero_service.journal.postgres.line import Line
from nonzero_service.journal.postgres.tables import FORMAT
from postgres import Cluster
from service.journal.postgres_models import change


@pytest.fixture
def opened(database: str) -> Iterator[Database]:
    one = Database(database, "a", append_seconds=0.2)
    yield one
    one.close()


def test_the_tables_are_made_by_one_of_many(database: str) -> None:
    nodes = [Database(database, f"node-{n}") for n in range(6)]
    barrier = threading.Barrier(len(nodes))

    def prepare(node: Database) -> bytes:
        barrier.wait()
        return node.prepare()

    with ThreadPoolExecutor(len(nodes)) as pool:
        found = list(pool.map(prepare, nodes))
    assert len(set(found)) == 1
    assert len(found[0]) == 16
    for node in nodes:
        node.close()


def test_tables_of_a_newer_release_are_refused(database: str, opened: Database) -> None:
    opened.prepare()
    change(database, f"UPDATE nonzero.cluster SET format = {FORMAT + 1}")
    with pytest.raises(JournalError, match=f"have the format {FORMAT + 1}, and this release knows {FORMAT}"):
        opened.prepare()


def test_a_user_who_may_not_make_them_is_told_so(database: str) -> None:
    change(database, "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    one = Database(database.replace("postgres@", "reader@"), "a")
    with pytest.raises(JournalError, match="grant CREATE on the database"):
        one.prepare()
    one.close()


def test_reading_is_on_the_standby_and_writing_on_the_primary(replicated: Cluster) -> None:
    one = Database(replicated.database(), "a")
    recovers = "SELECT pg_is_in_recovery()"
    with one.reading() as reading, one.writing() as writing, one.primary() as primary:
        assert reading.execute(recovers).fetchone() == (True,)
        assert writing.execute(recovers).fetchone() == primary.execute(recovers).fetchone() == (False,)
    one.close()


def test_reading_goes_to_the_primary_where_there_is_no_other_and_changes_nothing(opened: Database) -> None:
    with opened.reading() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE made (x int)")


def test_what_takes_too_long_is_cut(opened: Database) -> None:
    for use, error in (
        (opened.reading, JournalUnreachableError),
        (opened.primary, JournalUnreachableError),
        (opened.writing, OutcomeUnknownError),
    ):
        begun = time.monotonic()
        with pytest.raises(error, match=r"no answer within 0\.2 s"), use() as connection:
            connection.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - begun < 10
    with opened.reading(seconds=30) as connection:
        connection.execute("SELECT pg_sleep(0.3)")


def test_what_the_server_refuses_leaves_the_connection(opened: Database) -> None:
    pids = []
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable), opened.writing() as connection:  # noqa: PT012
            pids.append(connection.info.backend_pid)
            connection.execute("SELECT * FROM nowhere")
    assert pids[0] == pids[1]


def test_there_are_few_and_who_finds_none_waits(database: str) -> None:
    one = Database(database, "a")
    pids = set()

    def use(_: int) -> None:
        with one.writing() as connection:
            pids.add(connection.info.backend_pid)
            connection.execute("SELECT pg_sleep(0.01)")

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(use, range(48)))
    assert 1 < len(pids) <= 8
    one.close()


def test_closing_ends_what_waits(database: str) -> None:
    one = Database(database, "a")
    begun = threading.Event()

    def wait() -> None:
        with one.reading() as connection:
            begun.set()
            connection.execute("SELECT pg_sleep(60)")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        begun.wait()
        one.close()
        one.close()
        with pytest.raises(JournalUnreachableError):
            waiting.result(30)
    with pytest.raises(JournalClosedError), one.reading():
        pass


def test_a_host_that_does_not_answer_is_passed_over(database: str, postgres: Cluster) -> None:
    """Two seconds a host: the system accepts connections of a process that is stopped."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        port = silent.getsockname()[1]
        url = database.replace("@127.0.0.1:", f"@127.0.0.1:{port},127.0.0.1:")
        one = Database(url, "a")
        begun = time.monotonic()
        with one.writing() as connection:
            assert connection.info.port == postgres.primary.port
        assert time.monotonic() - begun < 10
        one.close()


def test_passwords_are_in_no_message() -> None:
    url = "postgresql://someone:secret@one:5433,two:5434/nonzero?sslmode=disable"
    assert place_of(url) == "the database nonzero at one:5433,two:5434"
    one = Database("postgresql://someone:secret@127.0.0.1:1/nonzero", "a")
    with pytest.raises(JournalUnreachableError) as caught, one.reading():
        pass
    assert "secret" not in str(caught.value)
    assert "the database nonzero at 127.0.0.1:1 cannot be reached" in str(caught.value)
    one.close()


def test_it_is_said_once_of_each_host_why_it_cannot_be_written_to(database: str) -> None:
    name = database.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')  # as a standby
        port = connection.info.port
    url = database.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    one, line = Database(url, "a"), Line(url, "test")
    for connect in (one.writing().__enter__, line.connect):
        with pytest.raises(JournalUnreachableError) as caught:
            connect()
        assert str(caught.value) == (
            f"{place_of(url)} cannot be reached (127.0.0.1:1: Connection refused; 127.0.0.1:{port}: it is "
            "read-only, as a standby is); nothing was written; where the primary is lost, promote the standby"
        )
    one.close()
    line.close()


def test_a_port_that_is_left_out_is_named() -> None:
    assert place_of("postgresql://one,two:5434/nonzero") == "the database nonzero at one:5432,two:5434"
