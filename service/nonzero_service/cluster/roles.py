"""NodeRoles: what a node is at, who leads, and what changes where the role does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

Role = Literal["starting", "following", "taking over", "writing", "stepping down"]
"""What a node is at. It learns, and acknowledges what it has learned, only while it is writing."""

ROLES: tuple[Role, ...] = ("starting", "following", "taking over", "writing", "stepping down")


class Leader(NamedTuple):
    """The node that writes, or takes over just now."""

    node: str
    """Its name."""
    term: int
    """Its term: no other node has, or had, or will have the same one."""
    address: str
    """HOST:PORT, where it listens for other nodes."""
    url: str
    """Where its clients reach it."""
    secret: bytes
    """What it shares with nodes that know the database. It is another one in every term."""

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return f"Leader(node={self.node!r}, term={self.term}, address={self.address!r}, url={self.url!r})"


class NodeRoles(Protocol):
    """Where it is known what this node is at, and who leads: :class:`.membership.Membership` knows."""

    @property
    def role(self) -> Role:
        """What this node is at."""

    @property
    def leader(self) -> Leader | None:
        """Who writes, or takes over just now."""

    def on_change(self, listener: Callable[[], object]) -> None:
        """Have somebody told, on the event loop, whenever one of the two has changed."""


class Duties(Protocol):
    """What changes with the role. Both are called on the event loop, and never at the same time."""

    async def take_over(self, term: int) -> None:
        """Open all models for writing under a term, and return when they are.

        What it raises gives the term back. It is cancelled where the term is lost meanwhile. In both cases,
        :meth:`step_down` is called next, whatever was opened by then.
        """

    async def step_down(self, reason: str) -> None:
        """Stop acknowledging at once, then follow.

        It is called after each :meth:`take_over`, also one that failed or was cancelled, and the next one
        begins only after its end. `reason` is for people. What it raises ends the process.
        """
