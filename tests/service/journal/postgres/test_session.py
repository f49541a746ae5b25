"""What is said first over each connection, whatever settings a database has of its own."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.line import Line
from nonzero_service.journal.postgres.register import UNSYNCED
from nonzero_service.journal.postgres.session import parameters
from service.journal.postgres_models import change

LIMITS = ("statement_timeout", "lock_timeout")
ASKED = "SELECT " + ", ".join(f"current_setting('{name}')" for name in LIMITS)


def test_no_statement_is_cancelled_by_a_limit_that_the_database_has(database: str) -> None:
    name = urlsplit(database).path[1:]
    for limit in LIMITS:
        change(database, f"ALTER DATABASE {name} SET {limit} = '30s'")
    with closing(Database(database, "a")) as one:
        for use in (one.reading, one.primary, one.writing):
            with use() as connection:
                assert connection.execute(ASKED.encode()).fetchone() == ("0", "0")
    for line in (Line(database, "lease"), Line(database, "notes", UNSYNCED)):
        with closing(line):
            assert line.run(ASKED) == [("0", "0")]


def test_what_an_address_says_goes_before_what_is_usual() -> None:
    known = parameters("postgresql://one/nonzero?connect_timeout=7&application_name=x", "lease", "read-write")
    assert "connect_timeout" not in known
    assert known["keepalives_idle"] == 2
    assert known["application_name"] == "lease"
