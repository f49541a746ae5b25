"""The tables are made once, whoever begins at the same time."""

from __future__ import annotations

from threading import Thread

import psycopg

from nonzero_service.journal.postgres.tables import ensure_tables
from waiting import until


def test_who_waited_finds_what_the_other_made(database: str) -> None:
    """Both have looked and found nothing; the second goes on when the first has committed."""
    found = []
    with (
        psycopg.connect(database, autocommit=True) as first,
        psycopg.connect(database, autocommit=True) as second,
        psycopg.connect(database, autocommit=True) as watching,
    ):
        waiter = Thread(target=lambda: found.append(ensure_tables(second)))
        with first.transaction():
            found.append(ensure_tables(first))
            waiter.start()
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: watching.execute(waits).fetchone() == (1,))
        waiter.join()
    assert len(found) == 2
    assert found[0] == found[1]
