"""The lease of whoever writes, as a node sees it that may take over."""

from __future__ import annotations

from collections import deque
from typing import Final

from nonzero_service.cluster.roles import Leader
from nonzero_service.journal.postgres.leadership import Seen, steady

ASKED: Final = 16
"""So many of the terms that a node has asked for it knows as its own."""

LONGEST_RESPITE: Final = 30.0
"""Seconds that a node which failed leaves to others at most, before it tries again."""


class WatchedLease:
    """What a node has seen of the writer, and when by its own clock.

    Parameters
    ----------
    seconds
        How long a lease is.
    node
        This node's name.
    """

    def __init__(self, seconds: float, node: str) -> None:
        self.seconds = seconds
        self.term = 0
        """The newest term that was seen."""
        self.seen: Seen | None = None
        """What was seen last."""
        self.since = 0.0
        """When that was seen first."""
        self.has_namesake = False
        """Whether another process has this node's name."""
        self._node = node
        self._secrets: deque[bytes] = deque(maxlen=ASKED)
        self._not_before = 0.0
        self._respite = 0.0

    def look(self, seen: Seen) -> None:
        """Take what was just read: the writer has sent it before now."""
        if self.seen is None or seen[:2] != self.seen[:2]:
            if self.seen is not None and seen.term == self.seen.term and not self._is_own(seen):
                self.has_namesake = seen.node == self._node
            self.seen, self.since = seen, steady()
        self.term = max(self.term, seen.term)

    @property
    def leader(self) -> Leader | None:
        """Who writes; None where nobody does, or has given no sign of life for the lease."""
        if self.seen is None or self.seen.node is None or steady() - self.since >= self.seconds:
            return None
        return Leader(self.seen.node, self.seen.term, self.seen.address, self.seen.url, self.seen.secret)

    def free_in(self) -> float:
        """Return in how many seconds this node may ask for the next term."""
        now, free = steady(), 0.0
        if self.seen is None:
            return self.seconds
        if self.seen.node is not None and not self._is_own(self.seen):
            free = self.since + self.seconds - now
        return max(free, self._not_before - now)

    def ask(self, secret: bytes) -> None:
        """Note that this node asks for a term, with this secret: it may get it and not hear of it."""
        self._secrets.append(secret)

    def rest(self, *, well: bool) -> None:
        """Leave it to others for a while.

        Parameters
        ----------
        well
            Whether this node has written well before. Where it has not, it rests ever longer.
        """
        first = self.seconds / 4
        self._respite = first if well else min(max(2 * self._respite, first), LONGEST_RESPITE)
        self._not_before = steady() + self._respite

    def _is_own(self, seen: Seen) -> bool:
        """Whether a term is one of this process: nobody else has it, so nobody is waited for."""
        return seen.secret in self._secrets
