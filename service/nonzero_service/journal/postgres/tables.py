"""The tables that the nodes of a cluster share: made by the first node, known by their format."""

from __future__ import annotations

import os
from typing import Any, Final

import psycopg

from nonzero_service.journal.errors import JournalError

FORMAT: Final = 1
"""Of the tables. A release that finds a higher one refuses to touch them."""

_LOCK: Final = 0x4E5A4A4C  # "NZJL"

# Before PostgreSQL 16 a new column cannot say how it is stored. Bodies are stored as they are: numbers of few
# patterns, so that trying to compress them takes more time than it saves.
_TABLES: Final = """
CREATE SCHEMA nonzero;
CREATE TABLE nonzero.cluster (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    format integer NOT NULL,
    id bytea NOT NULL
);
CREATE TABLE nonzero.term (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    term bigint NOT NULL,
    node text,
    address text,
    url text,
    secret bytea
);
COMMENT ON TABLE nonzero.term IS 'Who writes. Appends lock its row FOR SHARE; only a take-over changes it.';
CREATE TABLE nonzero.beat (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    term bigint NOT NULL,
    beat bigint NOT NULL
);
COMMENT ON TABLE nonzero.beat IS 'A sign of life of who writes: a row of its own, that waits for no append.';
CREATE TABLE nonzero.nodes (
    node text PRIMARY KEY,
    address text,
    url text,
    role text,
    positions jsonb,
    seen timestamptz NOT NULL
);
CREATE TABLE nonzero.models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    config text NOT NULL,
    removed boolean NOT NULL DEFAULT false,
    identity bytea NOT NULL,
    base_position bigint NOT NULL,
    base_sequence bigint NOT NULL,
    base_time_ms bigint NOT NULL,
    base_digest bytea NOT NULL,
    keys_position bigint NOT NULL,
    keys_digest bytea NOT NULL
);
COMMENT ON TABLE nonzero.models IS 'The models; base_* is what stands before the first row that is held.';
CREATE UNIQUE INDEX models_name ON nonzero.models (name) WHERE NOT removed;
CREATE TABLE nonzero.rows (
    model bigint NOT NULL,
    position bigint NOT NULL,
    first_sequence bigint NOT NULL,
    count bigint NOT NULL,
    kind text NOT NULL,
    version integer NOT NULL,
    time_ms bigint NOT NULL,
    keys_digest bytea NOT NULL,
    body bytea NOT NULL,
    digest bytea NOT NULL,
    term bigint NOT NULL,
    PRIMARY KEY (model, position)
);
ALTER TABLE nonzero.rows ALTER body SET STORAGE EXTERNAL;
CREATE TABLE nonzero.keys (
    model bigint NOT NULL,
    position bigint NOT NULL,
    time_ms bigint NOT NULL,
    records bytea NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (model, position)
);
CREATE TABLE nonzero.snapshots (
    model bigint NOT NULL,
    position bigint NOT NULL,
    needed_from bigint NOT NULL,
    bytes bigint NOT NULL,
    digest bytea NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (model, position)
);
CREATE TABLE nonzero.snapshot_parts (
    model bigint NOT NULL,
    position bigint NOT NULL,
    part integer NOT NULL,
    body bytea NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (model, position, part)
);
ALTER TABLE nonzero.snapshot_parts ALTER body SET STORAGE EXTERNAL;
INSERT INTO nonzero.term (term) VALUES (0);
INSERT INTO nonzero.beat (term, beat) VALUES (0, 0);
"""


def ensure_tables(connection: psycopg.Connection[Any]) -> bytes:
    """Make the tables where there are none, and return the cluster's id, 16 random bytes.

    Nodes that start at once wait for each other: one makes them.

    Parameters
    ----------
    connection
        To where the database can be written to, in autocommit.

    Raises
    ------
    JournalError
        Where they are of another format; it names both.
    psycopg.Error
        Where the database refuses: the user may not make them, or what is there is something else.
    """
    found = _find(connection)
    if found is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            found = _find(connection)
            if found is None:
                found = FORMAT, os.urandom(16)
                connection.execute(_TABLES)
                connection.execute("INSERT INTO nonzero.cluster (format, id) VALUES (%s, %s)", found)
    form, cluster = found
    if form != FORMAT:
        raise JournalError(
            f"the tables in the schema nonzero have the format {form}, and this release knows {FORMAT}: use "
            "the release that made them, or another database"
        )
    return cluster


def _find(connection: psycopg.Connection[Any]) -> tuple[int, bytes] | None:
    """Return the format of the tables, and the cluster's id; None where there are none."""
    # to_regclass() would remember behind the lock that it was not there before: the wait for an advisory lock
    # tells it of no change.
    there = connection.execute(
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'nonzero' AND tablename = 'cluster'"
    ).fetchone()
    if there is None:
        return None
    found = connection.execute("SELECT format, id FROM nonzero.cluster").fetchone()
    if found is None:
        raise JournalError("nonzero.cluster is empty: restore the database from a backup, or use another one")
    return int(found[0]), bytes(found[1])
