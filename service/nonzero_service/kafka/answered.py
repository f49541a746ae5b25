"""Answered: when brokers have answered, and since when they have never been silent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Answered(NamedTuple):
    """When brokers have answered, in seconds since 1970."""

    at: float
    """Last."""
    since: float
    """Since when they have never been silent."""

    @classmethod
    def by_all(cls, each: Iterable[Answered | None]) -> Answered | None:
        """Return when all have answered, and have since; None where some have not yet.

        Parameters
        ----------
        each
            When each has; at least one.

        Examples
        --------
        >>> Answered.by_all([Answered(9.0, 1.0), Answered(8.0, 5.0)])
        Answered(at=8.0, since=5.0)
        >>> Answered.by_all([Answered(9.0, 1.0), None])
        """
        found: list[Answered] = []
        for one in each:
            if one is None:
                return None
            found.append(one)
        return cls(min(one.at for one in found), max(one.since for one in found))
