"""Followers: those who learn what a champion learns, and how far they may be behind it."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from nonzero_service.writer.work import CommittedGroup

MOST: Final = 4
"""So many follow one champion at most: each learns all that it learns."""

LAG_BYTES: Final = 16 << 20
"""So many bytes of batches may wait for one of them before nothing more is committed."""

LAG_GROUPS: Final = 256
"""So many groups, likewise."""

NEAR: Final = 64
"""From so many rows of the journal on, who reads them is near enough to be told of what comes."""


class Follows(Protocol):
    """Who learns what a champion learns."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits there that nothing more is to be committed."""

    def put(self, group: CommittedGroup | None) -> None:
        """Take what was learned."""


class Followers:
    """Those who are told of what a champion learns. Used by any thread."""

    def __init__(self) -> None:
        self.moving = threading.Lock()
        """Held while the champion's position moves and all are told: who comes meanwhile waits."""
        self._told: tuple[Follows, ...] = ()

    @property
    def are_behind(self) -> bool:
        """Whether one of them is so far behind that nothing more is to be committed."""
        return any(one.is_behind for one in self._told)

    def put(self, group: CommittedGroup) -> None:
        """Tell all of what was learned; `moving` is held."""
        for one in self._told:
            one.put(group)

    def add(self, one: Follows) -> None:
        """Tell one more of what is learned from now on; `moving` is held."""
        self._told = (*self._told, one)

    def remove(self, one: Follows) -> None:
        """Tell one of nothing more."""
        with self.moving:
            self._told = tuple(other for other in self._told if other is not one)
