"""What becomes of appends where other nodes, the network, the database or its disk are against them.

Nothing is acknowledged that may be lost, and what is said not to be written is not.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from disks import mounted
from links import Link
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import (
    DiskFullError,
    FencedError,
    JournalDivergedError,
    JournalError,
    JournalFailedError,
    JournalReadOnlyError,
    JournalUnreachableError,
    OutcomeUnknownError,
)
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.journal import MOST_BYTES, PostgresJournal
from postgres import Cluster, Server
from service.journal.history import assert_is_history, write
from service.journal.postgres_models import change, followed, new_database, new_model, take_over, written
from waiting import SECONDS, until

WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'nonzero a' AND wait_event = %s"
TESTS = Path(__file__).parents[3]
FENCED = 3
"""The exit status of a client whose term is over."""

ROW = JournalEntry("batch", 1, b"body", 1)


class Written:
    """A journal that is written to, in a database of its own."""

    def __init__(self, url: str, append_seconds: float = 8.0) -> None:
        self.url = url
        self.database = new_database(url, append_seconds=append_seconds)
        self.model = new_model(self.database)
        self.term = take_over(self.database)
        self.journal = written(self.database, self.model, self.term)

    def again(self) -> PostgresJournal:
        """Open it under the next term, as whoever goes on does."""
        self.term = take_over(self.database)
        return written(self.database, self.model, self.term)


@contextmanager
def writing(url: str, append_seconds: float = 8.0) -> Iterator[Written]:
    one = Written(url, append_seconds)
    try:
        yield one
    finally:
        one.database.close()


@pytest.fixture
def one(database: str) -> Iterator[Written]:
    with writing(database) as opened:
        write(opened.journal, 10, lambda _: None)
        yield opened


@contextmanager
def appending(journal: PostgresJournal, body: JournalEntry = ROW) -> Iterator[Future[int]]:
    """Append beside the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(journal.append, [body])


def assert_takes_no_more(journal: PostgresJournal) -> None:
    with pytest.raises(JournalFailedError, match="open it anew"):
        journal.append([ROW])


class TestOthers:
    def test_another_term(self, one: Written) -> None:
        before = one.journal.tip
        take_over(one.database, "b")
        with pytest.raises(FencedError, match=f"term {one.term}, under which this node writes, is over"):
            one.journal.append([ROW])
        assert_takes_no_more(one.journal)
        assert followed(one.database, one.model).tip == before

    def test_another_term_confirms_nothing(self, one: Written) -> None:
        """What is not here may be there."""
        before = one.journal.tip
        one.journal.confirm()
        assert one.journal.append([ROW]) == before.position + 1
        take_over(one.database, "b")
        with pytest.raises(FencedError, match="is over"):
            one.journal.confirm()
        assert_takes_no_more(one.journal)

    @pytest.mark.parametrize("prune", ["truncate", "expire_keys"])
    def test_another_term_prunes_nothing(self, one: Written, prune: str) -> None:
        take_over(one.database, "b")
        with pytest.raises(FencedError):
            one.journal.truncate(5) if prune == "truncate" else one.journal.expire_keys()
        assert followed(one.database, one.model).first_position == 1

    def test_two_of_one_term(self, one: Written) -> None:
        """Which must not be, and of which the second says so."""
        other = written(one.database, one.model, one.term)
        one.journal.append([ROW])
        with pytest.raises(JournalDivergedError, match="does not end at position 10"):
            other.append([ROW])
        assert_takes_no_more(other)

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM nonzero.rows WHERE position = 10",
            "UPDATE nonzero.rows SET digest = '\\x00' WHERE position = 10",
            "UPDATE nonzero.models SET removed = true",
        ],
    )
    def test_what_it_builds_on_is_gone(self, one: Written, statement: str) -> None:
        change(one.url, statement)
        with pytest.raises(JournalDivergedError):
            one.journal.append([ROW])
        assert one.journal.position == 10

    def test_whoever_takes_over_waits_for_what_is_under_way(self, one: Written, postgres: Cluster) -> None:
        """And finds it: here an append that waits in the middle, for a row that is undone in the end."""
        waiting = WAITING.replace("pid", "count(*)", 1)
        with psycopg.connect(one.url) as other:
            other.execute(
                "INSERT INTO nonzero.rows SELECT model, 11, 0, 0, kind, 1, 0, '', '', '', term "
                "FROM nonzero.rows WHERE position = 1"
            )
            with appending(one.journal) as appended, ThreadPoolExecutor(1) as pool:
                until(lambda: postgres.primary.ask(waiting, "transactionid") == 1)
                taking = pool.submit(one.again)
                until(lambda: postgres.primary.ask(waiting, "transactionid") == 2)
                other.rollback()
                assert appended.result() == 11
                assert taking.result().position == 11

    def test_a_client_that_is_stopped_holds_no_lock(self, one: Written) -> None:
        """Stopped at any moment: the row of the term can be locked at once, and another term begin."""
        program = [sys.executable, __file__, one.url, str(one.model), str(one.term)]
        paths = {**os.environ, "PYTHONPATH": str(TESTS)}
        chance = random.Random(1)
        with subprocess.Popen(program, env=paths, stdout=subprocess.PIPE) as client:
            try:
                assert client.stdout is not None
                client.stdout.readline()
                for _ in range(20):
                    time.sleep(chance.uniform(0, 0.01))
                    client.send_signal(signal.SIGSTOP)
                    begun = time.monotonic()
                    change(one.url, "UPDATE nonzero.term SET node = 'b'")
                    assert time.monotonic() - begun < 2
                    client.send_signal(signal.SIGCONT)
                client.send_signal(signal.SIGSTOP)
                journal = one.again()
                journal.append([ROW])
                client.send_signal(signal.SIGCONT)
                assert client.wait(SECONDS) == FENCED
            finally:
                client.kill()
        assert_is_whole(one)


def assert_is_whole(one: Written) -> None:
    """Each row follows the one before it, and nobody has written under an older term than the one before."""
    rows = list(followed(one.database, one.model).read())
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    with one.database.primary() as connection:
        terms = connection.execute("SELECT term FROM nonzero.rows ORDER BY position").fetchall()
    assert terms == sorted(terms)


class TestLost:
    def test_connections_that_broke_while_idle_are_made_anew(self, one: Written, postgres: Cluster) -> None:
        theirs = "FROM pg_stat_activity WHERE application_name = 'nonzero a'"
        change(one.url, f"SELECT pg_terminate_backend(pid) {theirs}")
        until(lambda: postgres.primary.ask(f"SELECT count(*) {theirs}") == 0)
        assert one.journal.append([ROW]) == 11

    def test_a_database_that_is_not_there_has_nothing_written(self, one: Written, postgres: Cluster) -> None:
        with Link([postgres.primary.port]) as link:
            url = one.url.replace(str(postgres.primary.port), str(link.ports[0]))
            database = Database(url, "a")
            journal = written(database, one.model, one.term)
            link.cut()
            for _ in range(2):
                with pytest.raises(JournalUnreachableError, match="nothing was written"):
                    journal.append([ROW])
            with pytest.raises(JournalUnreachableError):
                list(journal.read())
            link.heal()
            assert journal.append([ROW]) == 11  # the same journal goes on
            database.close()

    @pytest.mark.parametrize("arrives", [True, False])
    def test_the_network_is_lost_in_an_append(self, one: Written, postgres: Cluster, arrives: bool) -> None:
        """Before it arrives or before its answer does: who asked cannot tell, and whoever goes on can."""
        with Link([postgres.primary.port]) as link:
            url = one.url.replace(str(postgres.primary.port), str(link.ports[0]))
            database = Database(url, "a")
            journal = written(database, one.model, one.term)
            journal.append([ROW])
            link.stall(there=not arrives, back=arrives)
            with appending(journal) as appended:
                until(lambda: database._limits._running)  # it has a connection, and sends
                if arrives:
                    until(lambda: followed(one.database, one.model).position == 12)
                link.cut()
                with pytest.raises(OutcomeUnknownError, match="send the request again, to any node, with"):
                    appended.result(SECONDS)
            assert_takes_no_more(journal)
            assert one.again().position == 11 + arrives
            database.close()

    def test_a_connection_that_is_ended_in_a_commit(self, replicated: Cluster) -> None:
        """Its rows show on the primary, and no standby has them."""
        with writing(replicated.database()) as one, without(replicated.standby):
            with appending(one.journal) as appended:
                pid = until(lambda: replicated.primary.ask(WAITING, "SyncRep"))
                replicated.primary.ask("SELECT pg_terminate_backend(%s)", pid)
                with pytest.raises(OutcomeUnknownError):
                    appended.result(SECONDS)
            assert count(replicated.primary, one) == 1

    @pytest.mark.parametrize("least", ["warning", "error"])
    def test_a_wait_that_is_cancelled_is_not_acknowledged(self, replicated: Cluster, least: str) -> None:
        """The server answers as if all were well, with a warning, which its user may want to hear or not."""
        url = f"{replicated.database()}?options=-c%20client_min_messages%3D{least}"
        with writing(url) as one, without(replicated.standby):
            with appending(one.journal) as appended:
                pid = until(lambda: replicated.primary.ask(WAITING, "SyncRep"))
                replicated.primary.ask("SELECT pg_cancel_backend(%s)", pid)
                with pytest.raises(OutcomeUnknownError, match="did not wait for its standby"):
                    appended.result(SECONDS)
            assert_takes_no_more(one.journal)
            assert count(replicated.primary, one) == 1

    def test_a_primary_without_its_standby_confirms_nothing(self, replicated: Cluster) -> None:
        """The standby may have been promoted, and another node may write there."""
        with (
            writing(replicated.database(), append_seconds=0.5) as one,
            without(replicated.standby),
            pytest.raises(OutcomeUnknownError),
        ):
            one.journal.confirm()

    def test_a_server_that_stalls_is_given_up_in_time(self, replicated: Cluster) -> None:
        with writing(replicated.database(), append_seconds=0.5) as one:
            one.journal.append([ROW])
            replicated.primary.stop_signal()
            begun = time.monotonic()
            with pytest.raises(OutcomeUnknownError, match=r"no answer within 0\.5 s"):
                one.journal.append([ROW])
            assert time.monotonic() - begun < 5
            replicated.primary.cont()
            assert until(lambda: one.again()).position in (1, 2)

    def test_a_primary_that_is_killed_loses_nothing_that_was_acknowledged(self, breakable: Cluster) -> None:
        acknowledged: list[int] = []
        with writing(breakable.database()) as one:

            def write_on() -> None:
                with pytest.raises((OutcomeUnknownError, JournalUnreachableError)):
                    write(one.journal, 100_000, acknowledged.append)

            thread = threading.Thread(target=write_on)
            thread.start()
            until(lambda: len(acknowledged) > 20)
            breakable.fail_over()
            thread.join()
            journal = one.again()
            assert acknowledged[-1] <= journal.position <= acknowledged[-1] + 3
            write(journal, journal.position + 10, acknowledged.append)
            assert_is_history(list(journal.read()), journal.lookup)


@contextmanager
def without(standby: Server) -> Iterator[None]:
    """Stop a standby, so that commits wait for it."""
    standby.stop_signal()
    try:
        yield
    finally:
        standby.cont()


def count(server: Server, one: Written) -> int:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/{one.url.rsplit('/')[-1]}") as asked:
        row = asked.execute("SELECT count(*) FROM nonzero.rows").fetchone()
    return 0 if row is None else row[0]


class TestRefusals:
    def test_a_full_disk(self, one: Written) -> None:
        """Nothing of the append is written; what was there can be read; it goes on when there is space."""
        with mounted(Path("/tmp") / f"nonzero-full-{os.getpid()}", 8) as small:
            if os.geteuid() == 0:
                shutil.chown(small, "postgres", "postgres")
            change(one.url, f"CREATE TABLESPACE small LOCATION '{small}'")
            change(one.url, "ALTER TABLE nonzero.rows SET TABLESPACE small")
            try:
                with pytest.raises(DiskFullError, match="free some, nothing was lost"):
                    append_for_ever(one.journal, os.urandom(2**18))
                last = one.journal.position
                assert [row.position for row in one.journal.read()][-1] == last
                change(one.url, "ALTER TABLE nonzero.rows SET TABLESPACE pg_default")
                assert one.journal.append([ROW]) == last + 1
            finally:
                change(one.url, "ALTER TABLE nonzero.rows SET TABLESPACE pg_default")
                change(one.url, "DROP TABLESPACE small")
        small.rmdir()

    def test_what_cannot_be_written_at_all(self, one: Written) -> None:
        with pytest.raises(ValueError, match="too many for one append"):
            one.journal.append([JournalEntry("batch", 1, bytes(MOST_BYTES // 2))] * 3)
        change(one.url, "ALTER TABLE nonzero.rows ADD CHECK (count < 1000)")
        with pytest.raises(JournalError, match=r"refuses \(.*check constraint.*\); nothing was written"):
            one.journal.append([JournalEntry("batch", 1, b"", 1000)])
        assert_takes_no_more(one.journal)

    def test_a_lock_that_is_refused_for_now(self, one: Written, postgres: Cluster) -> None:
        with psycopg.connect(one.url) as other:
            other.execute("LOCK TABLE nonzero.rows IN EXCLUSIVE MODE")
            with appending(one.journal) as appended:
                pid = until(lambda: postgres.primary.ask(WAITING, "relation"))
                other.execute("SELECT pg_cancel_backend(%s)", [pid])
                with pytest.raises(JournalUnreachableError, match="refuses for now"):
                    appended.result(SECONDS)
        assert one.journal.append([ROW]) == 11

    def test_who_follows_writes_nothing(self, one: Written) -> None:
        journal = followed(one.database, one.model)
        with pytest.raises(JournalReadOnlyError, match="is followed by this node"):
            journal.append([ROW])
        with pytest.raises(JournalReadOnlyError):
            journal.truncate(5)
        with pytest.raises(JournalReadOnlyError):
            journal.expire_keys()


def append_for_ever(journal: PostgresJournal, body: bytes = b"body") -> None:
    while True:
        journal.append([JournalEntry("batch", 1, body, 1)])


def be_stopped(url: str, model: int, term: int) -> None:
    journal = written(Database(url, "stopped"), model, term)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    try:
        append_for_ever(journal)
    except FencedError:
        os._exit(FENCED)


if __name__ == "__main__":
    be_stopped(sys.argv[1], *map(int, sys.argv[2:]))
