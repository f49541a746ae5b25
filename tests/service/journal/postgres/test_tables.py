"""The tables are made once, by however many nodes begin at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg

from nonzero_service.journal.postgres import tables
from nonzero_service.journal.postgres.tables import ensure_tables
from waiting import until


def test_nodes_that_begin_at_once_find_what_one_has_made(database: str) -> None:
    """Each has looked, and found nothing, before it waited for the other."""

    def ensure() -> bytes:
        with psycopg.connect(database, autocommit=True) as connection:
            return ensure_tables(connection)

    with psycopg.connect(database) as first, ThreadPoolExecutor(3) as threads:
        first.execute("SELECT pg_advisory_xact_lock(%s)", (tables._LOCK,))
        made = [threads.submit(ensure) for _ in range(3)]
        with psycopg.connect(database, autocommit=True) as look:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: look.execute(query).fetchall() == [(3,)])
        first.commit()
        assert len({one.result() for one in made}) == 1
