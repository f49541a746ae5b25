"""Models in a database of PostgreSQL, without the nodes that would serve them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import psycopg

from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.journal import PostgresJournal

_NAMES = itertools.count()


def new_database(url: str, *, append_seconds: float = 8.0) -> Database:
    """Return the database of a cluster in which nobody writes yet."""
    database = Database(url, "a", append_seconds=append_seconds)
    database.prepare()
    return database


def take_over(database: Database, node: str = "a") -> int:
    """Begin the next term, as a node does that takes over; return it."""
    with database.writing() as connection:
        row = connection.execute(
            "UPDATE nonzero.term SET term = term + 1, node = %s RETURNING term", (node,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def new_model(database: Database, sequence: int = 0) -> int:
    """Make a model that has no rows; return its number."""
    identity = os.urandom(16)
    with database.writing() as connection:
        row = connection.execute(
            "INSERT INTO nonzero.models (name, config, identity, base_position, base_sequence, base_time_ms, "
            "base_digest, keys_position, keys_digest) VALUES (%s, '{}', %s, 0, %s, 0, %s, 0, %s) "
            "RETURNING id",
            (f"model-{next(_NAMES)}", identity, sequence, identity, bytes(16)),
        ).fetchone()
    assert row is not None
    return int(row[0])


def written(database: Database, model: int, term: int, reached: int = 0) -> PostgresJournal:
    """Open a journal to write it."""
    return PostgresJournal(database, model, Path("/nowhere/default"), term=term, reached=reached)


def followed(database: Database, model: int, reached: int = 0) -> PostgresJournal:
    """Open a journal to follow it."""
    return PostgresJournal(database, model, Path("/nowhere/default"), term=None, reached=reached)


def change(url: str, statement: str) -> None:
    """Change a database, as no defect of ours should."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
