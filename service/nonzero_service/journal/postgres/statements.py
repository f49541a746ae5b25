"""The statements that change a journal in PostgreSQL. Each is one round trip and a transaction of its own.

So a client that is stopped half-way holds no lock. Each locks the row of the term, where that is its own: it
is done before another node takes over, or not at all.
"""

from __future__ import annotations

from functools import cache
from typing import Final, LiteralString

_LEADER: Final = "leader AS (SELECT 1 FROM nonzero.term WHERE term = %(term)b FOR SHARE)"

_ROW: Final = (
    "(%(position_{i})b::bigint, %(first_sequence_{i})b::bigint, %(count_{i})b::bigint, %(kind_{i})b::text, "
    "%(version_{i})b::integer, %(time_ms_{i})b::bigint, %(keys_digest_{i})b::bytea, %(digest_{i})b::bytea, "
    "%(body_{i})b::bytea)"
)
_KEY: Final = (
    "(%(key_position_{i})b::bigint, %(key_time_ms_{i})b::bigint, %(key_records_{i})b::bytea, "
    "%(key_digest_{i})b::bytea)"
)
_KEYS: Final = """,
kept AS (
    INSERT INTO nonzero.keys (model, position, time_ms, records, digest)
    SELECT %(model)b, key.* FROM leader, tip, (VALUES {keys}) AS key
)"""

# What another has written behind the same row meanwhile is found by the primary key.
_APPEND: Final = f"""
WITH {_LEADER},
tip AS (
    SELECT 1 FROM nonzero.models WHERE id = %(model)b AND NOT removed AND (
        (base_position = %(before)b AND base_digest = %(before_digest)b) OR EXISTS (
            SELECT FROM nonzero.rows
            WHERE model = %(model)b AND position = %(before)b AND digest = %(before_digest)b
        )
    )
),
written AS (
    INSERT INTO nonzero.rows (
        model, position, first_sequence, count, kind, version, time_ms, keys_digest, digest, body, term
    )
    SELECT %(model)b, entry.*, %(term)b FROM leader, tip, (VALUES {{rows}}) AS entry
){{keys}}
SELECT EXISTS (SELECT FROM leader), EXISTS (SELECT FROM tip)
"""  # noqa: S608


@cache
def append_statement(rows: int, keys: int) -> LiteralString:
    """Return what appends so many rows and records of keys.

    It tells whether the term is so, and the row that they build on. Each value is a parameter of its own: as
    arrays, a row of 1 MB took 17 ms in the place of 7, where no disk was waited for.
    """
    entries = ", ".join(_ROW.format(i=i) for i in range(rows))
    kept = _KEYS.format(keys=", ".join(_KEY.format(i=i) for i in range(keys))) if keys else ""
    return _APPEND.format(rows=entries, keys=kept)


CONFIRM: Final = f"WITH {_LEADER} SELECT EXISTS (SELECT FROM leader)"  # noqa: S608
"""Tells whether the term is so. The lock is committed as rows are: by a primary that has its standby."""

TRUNCATE: Final = f"""
WITH {_LEADER},
firsts AS (
    SELECT position, first_sequence + count AS sequence, time_ms, digest, octet_length(body) AS size
    FROM nonzero.rows WHERE model = %(model)b AND position < %(before)b ORDER BY position LIMIT %(rows)b
),
last AS (
    SELECT * FROM (SELECT *, sum(size) OVER (ORDER BY position) - size AS smaller FROM firsts) AS summed
    WHERE smaller < %(bytes)b ORDER BY position DESC LIMIT 1
),
noted AS (
    UPDATE nonzero.models
    SET base_position = position, base_sequence = sequence, base_time_ms = time_ms, base_digest = digest
    FROM leader, last WHERE id = %(model)b
),
dropped AS (
    DELETE FROM nonzero.rows USING leader, last
    WHERE rows.model = %(model)b AND rows.position <= last.position RETURNING octet_length(rows.body) AS size
)
SELECT EXISTS (SELECT FROM leader), (SELECT count(*) FROM dropped),
    (SELECT coalesce(sum(size), 0)::bigint FROM dropped)
"""  # noqa: S608
"""Drops the first rows before a position. Tells whether the term is so, how many, and of how many bytes."""

EXPIRE: Final = f"""
WITH {_LEADER},
last AS (
    SELECT * FROM (
        SELECT position, digest FROM nonzero.keys
        WHERE model = %(model)b AND (time_ms <= %(horizon)b OR position <= %(until)b)
        ORDER BY position LIMIT %(rows)b
    ) AS firsts ORDER BY position DESC LIMIT 1
),
noted AS (
    UPDATE nonzero.models SET keys_position = position, keys_digest = digest
    FROM leader, last WHERE id = %(model)b
),
dropped AS (
    DELETE FROM nonzero.keys USING leader, last
    WHERE keys.model = %(model)b AND keys.position <= last.position RETURNING 1
)
SELECT EXISTS (SELECT FROM leader), (SELECT count(*) FROM dropped), coalesce((SELECT position FROM last), 0)
"""  # noqa: S608
"""Drops the first records of expired keys. Tells whether the term is so, how many, and the last position."""
