"""The statements that change a journal in PostgreSQL. Each is one round trip and a transaction of its own.

So a client that is stopped half-way holds no lock. Each locks the row of the term, where that is its own: it
is done before another node takes over, or not at all.
"""

from __future__ import annotations

from typing import Final

_LEADER: Final = "leader AS (SELECT 1 FROM nonzero.term WHERE term = %(term)b FOR SHARE)"

# What another has written behind the same row meanwhile is found by the primary key.
APPEND: Final = f"""
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
    SELECT %(model)b, entry.*, %(term)b FROM leader, tip, unnest(
        %(positions)b::bigint[], %(first_sequences)b::bigint[], %(counts)b::bigint[], %(kinds)b::text[],
        %(versions)b::integer[], %(times)b::bigint[], %(keys_digests)b::bytea[], %(digests)b::bytea[],
        %(bodies)b::bytea[]
    ) AS entry
),
kept AS (
    INSERT INTO nonzero.keys (model, position, time_ms, records, digest)
    SELECT %(model)b, key.* FROM leader, tip, unnest(
        %(key_positions)b::bigint[], %(key_times)b::bigint[], %(key_records)b::bytea[],
        %(key_digests)b::bytea[]
    ) AS key
)
SELECT EXISTS (SELECT FROM leader), EXISTS (SELECT FROM tip)
"""  # noqa: S608
"""Appends rows and their keys. Tells whether the term is so, and the row that they build on."""

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
