"""Steps in which rows, expired keys and unused space are given up.

Each is short, so that appends go on between them.
"""

from __future__ import annotations

from typing import Any, Final

import apsw

from nonzero_service.journal.chain import Base
from nonzero_service.journal.sqlite.tables import read_base, write_base

_BYTES: Final = 4 * 2**20
_ROWS: Final = 1024
_PAGES: Final = 64
_SPARE_PAGES: Final = 1024


def drop_rows(connection: apsw.Connection, before: int) -> int:
    """Drop the first 4 MB of rows before a position, in the caller's transaction; return how many."""
    base = read_base(connection)
    candidates: list[Any] = connection.execute(
        "SELECT length(body), position, first_sequence + count, time_ms, digest FROM rows WHERE position < ? "
        "ORDER BY position LIMIT ?",
        (before, _ROWS),
    ).fetchall()
    dropped, size, last = 0, 0, base
    for length, position, sequence, time_ms, digest in candidates:
        last = Base(position, sequence, time_ms, digest, base.keys_position, base.keys_digest)
        dropped += 1
        size += length
        if size >= _BYTES:
            break
    if dropped:
        connection.execute("DELETE FROM rows WHERE position <= ?", (last.position,))
        write_base(connection, last)
    return dropped


def drop_keys(connection: apsw.Connection, horizon_ms: int, until: int = 0) -> tuple[int, int]:
    """Drop the first records of keys up to a time, and all up to the position `until`, in a transaction.

    Returns
    -------
    tuple of int
        How many rows' records were dropped, and the position of the last.
    """
    base = read_base(connection)
    expired: list[Any] = connection.execute(
        "SELECT position, digest FROM keys WHERE time_ms <= ? OR position <= ? ORDER BY position LIMIT ?",
        (horizon_ms, until, _ROWS),
    ).fetchall()
    if not expired:
        return 0, base.keys_position
    position, digest = expired[-1]
    connection.execute("DELETE FROM keys WHERE position <= ?", (position,))
    write_base(connection, Base(base.position, base.sequence, base.time_ms, base.digest, position, digest))
    return len(expired), position


def shrink(connection: apsw.Connection) -> bool:
    """Give 4 MB of unused pages back to the disk; return whether there were too many of them.

    Later rows use them again, so half of the file (and 64 MB) may well be unused.
    """
    unused, pages = int(connection.pragma("freelist_count")), int(connection.pragma("page_count"))
    if unused <= max(_SPARE_PAGES, pages // 2):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    return True
