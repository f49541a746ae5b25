"""Where the journals of a cluster's models end: asked often, and told only where something has changed."""

from __future__ import annotations

from typing import Final

from nonzero_service.journal.ends import JournalEnd, JournalEnds
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import refusals

# The transactions that are over. A position in the log would not do: it moves before a commit is seen, which
# then waits for its standby, and not again when it is.
_CHANGED: Final = "SELECT pg_is_in_recovery(), pg_current_snapshot()::text"
_ENDS: Final = """
SELECT pg_is_in_recovery(), pg_current_snapshot()::text, ends.* FROM (SELECT) AS once LEFT JOIN (
    SELECT id, coalesce(position, base_position), coalesce(sequence, base_sequence),
        coalesce(digest, base_digest)
    FROM nonzero.models LEFT JOIN LATERAL (
        SELECT position, first_sequence + count AS sequence, digest FROM nonzero.rows
        WHERE model = id ORDER BY position DESC LIMIT 1
    ) AS last ON true WHERE NOT removed
) AS ends ON true
"""


class PostgresEnds:
    """Says where the journals end, by the connections that read. One thread uses it.

    While rows keep coming it asks at once where the journals end, and not first whether anything has changed:
    on a busy machine a follower waits for each answer.

    Parameters
    ----------
    database
        The cluster's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: object = None
        self._ends: dict[int, JournalEnd] = {}
        self._are_moving = False

    def look(self, *, anyway: bool = False) -> JournalEnds | None:
        """Return where all journals end; None where nothing has changed since it was asked before.

        Parameters
        ----------
        anyway
            Whether to say so in any case.

        Raises
        ------
        JournalUnreachableError
            Where no database says.
        """
        with self._database.reading() as connection, refusals(connection, self._database.place):
            if not (self._are_moving or anyway):
                changed = connection.execute(_CHANGED, binary=True, prepare=True).fetchone()
                if changed == self._seen:
                    return None
            found = connection.execute(_ENDS, binary=True, prepare=True).fetchall()
        changed = found[0][:2]
        if changed == self._seen and not anyway:
            self._are_moving = False
            return None
        ends = {model: JournalEnd(*end) for _, _, model, *end in found if model is not None}
        self._are_moving = ends != self._ends
        self._seen, self._ends = changed, ends
        return JournalEnds(ends, not changed[0])
