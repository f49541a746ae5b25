"""Dependents: those who follow a champion, and what of its past they and its promotions need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nonzero_service.journal.snapshots import SnapshotFile, snapshots_in
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.promotions import give_up_promoted, needed_by_promotions


class Dependents:
    """What of a champion's past is of use still. Asked by any thread.

    Parameters
    ----------
    directory
        The champion's.
    impressions_from
        Returns the first position that its impressions need; None where that is none.
    """

    def __init__(self, directory: Path, impressions_from: Callable[[], int | None]) -> None:
        self.challengers: tuple[Challenger, ...] = ()
        """Those who follow it."""
        self.expected = 0
        """How many are being made."""
        self.is_unfinished = False
        """Whether something is left for the next start, so that no row may be given up."""
        self._directory = directory
        self._impressions_from = impressions_from

    def needed_from(self) -> int | None:
        """Return the first position of the journal that is of use beside snapshots; None where none is."""
        if self.is_unfinished:
            return 0
        kept = snapshots_in(self._directory / "snapshots")
        needed = [
            self._impressions_from(),
            needed_by_promotions(self._directory, kept),
            *(one.needed_from for one in self.challengers),
        ]
        return min((one for one in needed if one is not None), default=None)

    def paired_from(self) -> int | None:
        """Return the position after which predictions are made again at a start; None where none are."""
        needed = [one.paired_from for one in self.challengers]
        return min((one for one in needed if one is not None), default=None)

    def remove(self, challenger: Challenger) -> None:
        """Let one follow no more."""
        self.challengers = tuple(one for one in self.challengers if one is not challenger)

    async def let_go(self) -> None:
        """End what works for those who follow."""
        for one in self.challengers:
            await one.let_go()

    def gave_up(self, kept: Sequence[SnapshotFile]) -> None:
        """Give up what was promoted before the oldest snapshot."""
        give_up_promoted(self._directory, kept)
