"""Conflicts: values that came in another kind than their field's, counted by field."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

MAX_NAMED: Final = 100
"""So many fields are named; all others are counted together."""

OTHER: Final = "other"
"""What they are called."""

MAX_SHOWN: Final = 80
"""Of a longer name only so many characters are told: names come from anywhere."""

NO_CONFLICTS: Final[Mapping[str, int]] = MappingProxyType({})
"""What most streams have."""


class Conflicts:
    """Counts by field, which may be added to from any thread.

    Attributes
    ----------
    on_new
        Called with the name of each field that is named for the first time, and with ``other``; by whoever
        reads.

    Examples
    --------
    >>> conflicts = Conflicts()
    >>> conflicts.add({"bid": 2})
    >>> conflicts.add({"bid": 1, "site": 5})
    >>> conflicts.counts()
    {'bid': 3, 'site': 5}
    """

    def __init__(self) -> None:
        self.on_new: Callable[[str], object] = lambda _: None
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Add what a stream had, such as :attr:`nonzero.formats.Parsed.conflicts`.

        Parameters
        ----------
        counts
            How many values of each field, by its name, came in another kind.

        Examples
        --------
        >>> conflicts = Conflicts()
        >>> conflicts.add({"bid": 2})
        >>> conflicts.counts()
        {'bid': 2}
        """
        if not counts:
            return
        new = []
        with self._lock:
            for whole, count in counts.items():
                name = _shown(whole)
                # A field of that very name, beyond the bound, is one of the others.
                known = name in self._counts or len(self._counts) - (OTHER in self._counts) < MAX_NAMED
                shown = name if known else OTHER
                if shown not in self._counts:
                    new.append(shown)
                self._counts[shown] = self._counts.get(shown, 0) + count
        for name in new:
            self.on_new(name)

    def counts(self) -> dict[str, int]:
        """Return how many values of each field came in another kind.

        Returns
        -------
        dict
            By the field's name: the first 100 fields that had any, and ``other`` for the rest together.

        Examples
        --------
        >>> from nonzero import Batch, Schema
        >>> schema = Schema({"bid": "number"})
        >>> batch = Batch.from_dicts([{"bid": "0.5"}], schema=schema)
        >>> schema.conflicts.counts()
        {}
        """
        with self._lock:
            return {name: count for name, count in self._counts.items() if count}

    def take(self) -> dict[str, int]:
        """Return the counts, and begin to count anew; the fields that are named stay the same.

        Returns
        -------
        dict
            As :meth:`counts` does.

        Examples
        --------
        >>> conflicts = Conflicts()
        >>> conflicts.add({"bid": 2})
        >>> conflicts.take(), conflicts.counts()
        ({'bid': 2}, {})
        """
        with self._lock:
            found = {name: count for name, count in self._counts.items() if count}
            self._counts = dict.fromkeys(self._counts, 0)
            return found

    @property
    def total(self) -> int:
        """How many values of all fields came in another kind."""
        return sum(self.counts().values())


def _shown(name: str) -> str:
    """Return a name as it is told, in logs too: not too long, and nothing in it that a terminal obeys."""
    cut = name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
