"""Conditional appends to a bare database that fails over, on which journals there rest; and a control."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
import pytest

from checking import Final, Operation, check
from links import DatabaseLink
from postgres import Cluster
from waiting import until

APPEND = """
    WITH tip AS (SELECT coalesce(max(position), 0) AS position, coalesce(max(last), 0) AS last FROM appended)
    INSERT INTO appended SELECT position + 1, last + %(examples)s, %(key)s FROM tip
    WHERE NOT EXISTS (SELECT 1 FROM appended WHERE key = %(key)s)
    ON CONFLICT (position) DO NOTHING RETURNING last"""


class Appender:
    """A client that appends one thing after another, each until it is there."""

    def __init__(self, number: int, url: str) -> None:
        self.operations: list[Operation] = []
        self._number = number
        self._url = f"{url}?target_session_attrs=read-write&connect_timeout=2&tcp_user_timeout=1000"

    def run(self, ending: threading.Event) -> None:
        n = 0
        connection: psycopg.Connection | None = None
        while not ending.is_set():
            start = time.monotonic()
            sequence, again = None, False
            try:
                connection = connection or psycopg.connect(self._url, autocommit=True)
                sequence, again = self._append(connection, f"{self._number}-{n}", 1 + n % 3)
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
            self._note(n, start, sequence, again)
            n += sequence is not None
        if connection is not None:
            connection.close()

    @staticmethod
    def _append(connection: psycopg.Connection, key: str, examples: int) -> tuple[int, bool]:
        """Return the sequence after what is appended, and whether it was there before."""
        while True:
            done = connection.execute(APPEND, {"key": key, "examples": examples}).fetchone()
            if done:
                return done[0], False
            there = connection.execute("SELECT last FROM appended WHERE key = %s", [key]).fetchone()
            if there:
                return there[0], True

    def _note(self, n: int, start: float, sequence: int | None, again: bool) -> None:
        examples = 1 + n % 3
        answer = {"accepted": examples, "replayed": again * examples, "sequence": sequence}
        self.operations.append(
            Operation(
                client=self._number,
                node="",
                kind="update",
                key=f"{self._number}-{n}",
                start=start,
                end=time.monotonic(),
                status=None if sequence is None else 200,
                answer={} if sequence is None else answer,
                examples=examples,
            )
        )


@contextmanager
def appending(url: str) -> Iterator[list[Appender]]:
    """Have four clients append meanwhile."""
    ending = threading.Event()
    appenders = [Appender(number, url) for number in range(4)]
    threads = [threading.Thread(target=appender.run, args=[ending]) for appender in appenders]
    for thread in threads:
        thread.start()
    try:
        yield appenders
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def until_more(appenders: list[Appender], count: int = 20) -> None:
    """Wait until each has appended some more."""
    for appender in appenders:
        seen = len(appender.operations)
        until(lambda: sum(one.is_answered for one in appender.operations[seen:]) >= count)  # noqa: B023


def acknowledged(appenders: list[Appender]) -> int:
    return sum(one.is_answered for appender in appenders for one in list(appender.operations))


def final_of(cluster: Cluster, database: str) -> Final:
    row = asked(cluster, database, "SELECT coalesce(max(last), 0) FROM appended")
    return Final(cluster.primary.name, row, row, 0)


def positions_in(cluster: Cluster, database: str) -> int:
    return asked(cluster, database, "SELECT count(*) FROM appended")


def asked(cluster: Cluster, database: str, query: LiteralString) -> int:
    with psycopg.connect(cluster.primary.url_of(database)) as connection:
        ((found,),) = connection.execute(query).fetchall()
    return int(found)


@pytest.fixture
def database(breakable: Cluster) -> str:
    """The address of a database with an empty table."""
    url = breakable.database()
    with psycopg.connect(breakable.primary.url_of(url), autocommit=True) as connection:
        connection.execute("CREATE TABLE appended (position int PRIMARY KEY, last int, key text UNIQUE)")
    return url


def test_nothing_is_lost_or_appended_twice(breakable: Cluster, database: str) -> None:
    with DatabaseLink(database) as link, appending(link.url) as appenders:
        until_more(appenders)
        breakable.fail_over()
        until_more(appenders)
        breakable.rejoin()
        link.stall(there=False)  # what is asked is done, and nobody is told
        try:
            until(lambda: positions_in(breakable, database) > acknowledged(appenders))
        finally:
            link.cut()
        link.heal()
        until_more(appenders)
    operations = [one for appender in appenders for one in appender.operations]
    assert any(one.is_answered and one.answer["replayed"] for one in operations)
    assert check(operations, [final_of(breakable, database)]) == []


def test_what_waits_for_no_standby_is_lost_and_found_out(breakable: Cluster, database: str) -> None:
    """The control: a primary that acknowledges by itself loses what its standby has not got."""
    with appending(database) as appenders:
        until_more(appenders)
        breakable.standby.kill()
        breakable.primary.configure(synchronous_standby_names="")
        until_more(appenders)
        breakable.primary.kill()
        breakable.standby.start()
        breakable.fail_over()
        until_more(appenders)
    operations = [one for appender in appenders for one in appender.operations]
    found = {violation.fault for violation in check(operations, [final_of(breakable, database)])}
    assert {"lost", "overlap"} <= found
