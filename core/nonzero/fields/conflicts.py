"""Conflicts: values that came in another kind than their field's, counted by field."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["MAX_NAMED", "NO_CONFLICTS", "OTHER", "Conflicts"]

MAX_NAMED: Final = 100
"""So many fields are named; all others are counted together."""

OTHER: Final = "other"
"""What they are called."""

NO_CONFLICTS: Final[Mapping[str, int]] = MappingProxyType({})
"""What most streams have."""


class Conflicts:
    """Counts by field, which may be added to from any thread.

    Examples
    --------
    >>> conflicts = Conflicts()
    >>> conflicts.add({"bid": 2})
    >>> conflicts.add({"bid": 1, "site": 5})
    >>> conflicts.counts()
    {'bid': 3, 'site': 5}
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Add what a stream had, such as :attr:`nonzero.formats.Parsed.conflicts`."""
        if not counts:
            return
        with self._lock:
            for name, count in counts.items():
                # A field of that very name, beyond the bound, is one of the others.
                known = name in self._counts or len(self._counts) - (OTHER in self._counts) < MAX_NAMED
                shown = name if known else OTHER
                self._counts[shown] = self._counts.get(shown, 0) + count

    def counts(self) -> dict[str, int]:
        """Return how many values of each field came in another kind: the first 100 fields, and ``other``."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """How many values these are in all."""
        return sum(self.counts().values())
