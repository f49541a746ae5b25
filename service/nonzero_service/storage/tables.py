"""The journal's tables, and the questions asked of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw
import xxhash

from nonzero_service.storage.errors import JournalDamagedError, JournalTooShortError, PrunedError
from nonzero_service.storage.rows import Row

__all__ = [
    "SCHEMA",
    "Base",
    "Tip",
    "read_base",
    "read_digest",
    "read_last",
    "read_rows",
    "read_tip",
    "write_base",
]

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


@dataclass(frozen=True, slots=True)
class Base:
    """What stands before the first row that is held: the last of those that were pruned, or the beginning.

    Parameters
    ----------
    position, sequence, time_ms, digest
        Of the last row pruned: its position, the examples up to it, its time, its digest (16 bytes).
    keys_position, keys_digest
        Of the last key records that expired.
    """

    position: int
    sequence: int
    time_ms: int
    digest: bytes
    keys_position: int
    keys_digest: bytes

    @property
    def seal(self) -> bytes:
        """A digest over all of it, for no later row vouches for it while there is none."""
        numbers = struct.pack("<4q", self.position, self.sequence, self.time_ms, self.keys_position)
        return xxhash.xxh3_64_digest(numbers + self.digest + self.keys_digest)


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the journal ends, and what the next row builds on.

    Parameters
    ----------
    position, sequence, time_ms, digest
        Of the last row: its position (0 before the first), the examples up to and with it, its time, its
        digest.
    keys_digest
        The newest digest of the keys' chain, 16 bytes.
    """

    position: int
    sequence: int
    time_ms: int
    digest: bytes
    keys_digest: bytes


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
        "INSERT OR REPLACE INTO base VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (
            base.position,
            base.sequence,
            base.time_ms,
            base.digest,
            base.keys_position,
            base.keys_digest,
            base.seal,
        ),
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
            "asks for it has seen rows that this journal does not have: restore the directory from a backup",
            last,
            position,
        )
    raise JournalDamagedError(
        f"position {position} is missing; restore the directory from a backup", position
    )


def read_last(connection: apsw.Connection, kinds: Sequence[str]) -> int | None:
    """Return the position of the last row of some kinds; None where none is held."""
    marks = ", ".join("?" * len(kinds))
    found = connection.execute(
        f"SELECT position FROM rows WHERE kind IN ({marks}) ORDER BY position DESC LIMIT 1",  # noqa: S608
        tuple(kinds),
    ).fetchone()
    return None if found is None else int(found[0])


def read_rows(connection: apsw.Connection, after: int, size: int) -> list[Row]:
    """Return the rows after a position, as many as fill `size` bytes (one at least, where there is one)."""
    rows: list[Row] = []
    cursor = connection.execute(
        "SELECT position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest "
        "FROM rows WHERE position > ? ORDER BY position",
        (after,),
    )
    for values in cursor:
        rows.append(Row(*values))
        size -= len(rows[-1].body)
        if size <= 0:
            break
    cursor.close()
    return rows
