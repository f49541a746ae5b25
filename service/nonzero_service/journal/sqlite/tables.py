"""The journal's tables, and its note of what was pruned."""

from __future__ import annotations

from dataclasses import astuple
from typing import Final

import apsw

from nonzero_service.journal.chain import Base
from nonzero_service.journal.errors import JournalDamagedError

SCHEMA: Final = """
CREATE TABLE rows (
    position INTEGER PRIMARY KEY,
    first_sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    keys_digest BLOB NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE keys (
    position INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    records BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE base (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    digest BLOB NOT NULL,
    keys_position INTEGER NOT NULL,
    keys_digest BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
"""


def read_base(connection: apsw.Connection) -> Base:
    """Return what stands before the first row.

    Raises
    ------
    JournalDamagedError
        Where it is not what was written.
    """
    found = connection.execute(
        "SELECT position, sequence, time_ms, digest, keys_position, keys_digest, seal FROM base WHERE id = 1"
    ).get
    if found is not None:
        base = Base(*found[:-1])
        if base.seal == found[-1]:
            return base
    raise JournalDamagedError(
        "the journal's note of what was pruned is damaged: it does not have its digest; restore the journal "
        "from a backup"
    )


def write_base(connection: apsw.Connection, base: Base) -> None:
    """Set what stands before the first row, in the transaction of whoever calls."""
    connection.execute(
        "INSERT OR REPLACE INTO base VALUES (1, ?, ?, ?, ?, ?, ?, ?)", (*astuple(base), base.seal)
    )
