"""The journal's tables, and the questions asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

import apsw

from nonzero_service.journal.chain import Base, JournalRow, Tip
from nonzero_service.journal.errors import JournalDamagedError, JournalTooShortError, PrunedError

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


def read_tip(connection: apsw.Connection) -> Tip:
    """Return where the journal ends."""
    base = read_base(connection)
    found = connection.execute(
        "SELECT position, first_sequence + count, time_ms, digest, keys_digest FROM rows ORDER BY position "
        "DESC LIMIT 1"
    ).fetchone()
    if found is None:
        return Tip(base.position, base.sequence, base.time_ms, base.digest, base.keys_digest)
    return Tip(*found)


def read_digest(connection: apsw.Connection, position: int) -> bytes:
    """Return the chain's digest at `position`, 16 bytes.

    Raises
    ------
    PrunedError, JournalTooShortError, JournalDamagedError
        Where it is no longer held, is not held yet, or should be held and is not.
    """
    base = read_base(connection)
    if position == base.position:
        return base.digest
    if position < base.position:
        raise PrunedError(
            f"position {position} is no longer held: the rows before {base.position + 1} were pruned behind "
            "a snapshot",
            base.position + 1,
        )
    found = connection.execute("SELECT digest FROM rows WHERE position = ?", (position,)).fetchone()
    if found is not None:
        return bytes(found[0])
    last = read_tip(connection).position
    if position > last:
        raise JournalTooShortError(
            f"the journal ends at position {last}, before position {position}; the snapshot or program that "
            "asks for it has seen rows that this journal does not have: restore the directory from a backup"
        )
    raise JournalDamagedError(f"position {position} is missing; restore the directory from a backup")


def read_last(connection: apsw.Connection, kinds: Sequence[str]) -> int | None:
    """Return the position of the last row of some kinds; None where none is held."""
    marks = ", ".join("?" * len(kinds))
    found = connection.execute(
        f"SELECT position FROM rows WHERE kind IN ({marks}) ORDER BY position DESC LIMIT 1",  # noqa: S608
        tuple(kinds),
    ).fetchone()
    return None if found is None else int(found[0])


def read_rows(
    connection: apsw.Connection, after: int, size: int, kinds: Sequence[str] = ()
) -> list[JournalRow]:
    """Return the rows after a position, as many as fill `size` bytes (one at least, where there is one).

    Of some kinds, where those are named. The bodies of the others are not read then.
    """
    rows: list[JournalRow] = []
    chosen = f"kind IN ({', '.join('?' * len(kinds))}) AND" if kinds else ""
    cursor = connection.execute(
        "SELECT position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest "  # noqa: S608
        f"FROM rows WHERE {chosen} position > ? ORDER BY position",
        (*kinds, after),
    )
    for values in cursor:
        rows.append(JournalRow(*values))
        size -= len(rows[-1].body)
        if size <= 0:
            break
    cursor.close()
    return rows
