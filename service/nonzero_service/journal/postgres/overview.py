"""What a database says of its cluster, in one look, for people to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from nonzero_service.journal.errors import JournalError
from nonzero_service.journal.postgres.condition import Condition, condition_of
from nonzero_service.journal.postgres.leadership import Seen, who_writes
from nonzero_service.journal.postgres.line import Line

THERE: Final = "SELECT to_regclass('nonzero.cluster') IS NOT NULL"

# Only here is a clock of the database looked at, and only to show it.
NODES: Final = """
SELECT node, coalesce(address, ''), coalesce(url, ''), coalesce(role, ''), coalesce(positions, '{}'),
  extract(epoch FROM clock_timestamp() - seen)::float8
FROM nonzero.nodes ORDER BY node
"""

MODELS: Final = """
SELECT name, coalesce(position, base_position), coalesce(sequence, base_sequence)
FROM nonzero.models LEFT JOIN LATERAL (
  SELECT position, first_sequence + count AS sequence FROM nonzero.rows
  WHERE model = id ORDER BY position DESC LIMIT 1
) AS last ON true WHERE NOT removed ORDER BY name
"""


class NodeNote(NamedTuple):
    """What a node has noted of itself."""

    node: str
    address: str
    url: str
    role: str
    positions: Mapping[str, Mapping[str, int]]
    """By model: its ``position`` and its ``sequence``."""
    age_seconds: float
    """How long ago."""


class ModelEnd(NamedTuple):
    """How far the journal of a model goes."""

    name: str
    position: int
    sequence: int


class Overview(NamedTuple):
    """What was seen."""

    seen: Seen
    nodes: list[NodeNote]
    models: list[ModelEnd]
    condition: Condition


class ClusterView:
    """Looks at a cluster from outside, by a line of its own.

    Parameters
    ----------
    url
        The address of the database.
    """

    def __init__(self, url: str) -> None:
        self._line = Line(url, "nonzero cluster status")

    def check_there(self) -> None:
        """Refuse a database that no node has used.

        Raises
        ------
        JournalUnreachableError
            Where it does not answer.
        JournalError
            Where no node has used it yet.
        """
        if self._line.run(THERE) != [(True,)]:
            why = condition_of(self._line).waiting
            raise JournalError(
                f"no node has used {self._line.place} yet: "
                + (f"{why}, so that the first one can" if why else "start one with --journal and --node")
            )

    def look(self) -> Overview:
        """Return what there is.

        Raises
        ------
        JournalUnreachableError
            Where the database does not answer.
        """
        nodes = [NodeNote(*row) for row in self._line.run(NODES)]
        models = [ModelEnd(*row) for row in self._line.run(MODELS)]
        return Overview(self.who_writes(), nodes, models, condition_of(self._line))

    def who_writes(self) -> Seen:
        """Return what the rows say that tell who writes."""
        return who_writes(self._line)

    def close(self) -> None:
        """Close the line."""
        self._line.close()
