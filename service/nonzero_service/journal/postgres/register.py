"""What each node notes of itself in the database, for people to see. Nothing is decided by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from nonzero_service.journal.postgres.condition import Condition, condition_of
from nonzero_service.journal.postgres.line import Line
from nonzero_service.journal.postgres.session import SESSION

UNSYNCED: Final = f"{SESSION}; SET synchronous_commit = off"
"""A note is worth no waiting, least of all for a standby that is not there."""

NOTE: Final = """
INSERT INTO nonzero.nodes (node, address, url, role, positions, seen)
VALUES (%s, %s, %s, %s, %s::jsonb, clock_timestamp())
ON CONFLICT (node) DO UPDATE SET address = excluded.address, url = excluded.url, role = excluded.role,
  positions = excluded.positions, seen = excluded.seen
"""

FORGET: Final = "DELETE FROM nonzero.nodes WHERE node = %s"
FORGET_OLD: Final = "DELETE FROM nonzero.nodes WHERE seen < clock_timestamp() - interval '1 day'"


class Reached(NamedTuple):
    """How far a node is with a model."""

    position: int
    sequence: int


class NodeRegister:
    """Writes what a node says of itself, by a line of its own. One thread uses it; any may cut it.

    What is asked raises JournalUnreachableError where the database does not answer.

    Parameters
    ----------
    url
        The address of the database.
    node
        This node's name.
    """

    def __init__(self, url: str, node: str) -> None:
        self.node = node
        self._line = Line(url, f"nonzero {node} notes", UNSYNCED)
        # Its other session has the server's own setting, which condition() is about.
        self._asking = Line(url, f"nonzero {node} condition")

    def note(self, address: str, url: str, role: str, reached: Mapping[str, Reached]) -> None:
        """Write how this node is: where it is reached, what it is at, and how far with each model."""
        positions = {name: one._asdict() for name, one in reached.items()}
        values: tuple[Any, ...] = (self.node, address, url, role, msgspec.json.encode(positions).decode())
        self._line.run(NOTE, values)

    def condition(self) -> Condition:
        """Ask how the database keeps what it acknowledges, and drop notes of nodes that are long gone."""
        self._line.run(FORGET_OLD)
        return condition_of(self._asking)

    def forget(self) -> None:
        """Drop this node's note: it stops."""
        self._line.run(FORGET, (self.node,))

    def cut(self) -> None:
        """Have whoever waits for the database fail now; from any thread."""
        self._line.cut()
        self._asking.cut()

    def close(self) -> None:
        """Close the lines."""
        self._line.close()
        self._asking.close()
