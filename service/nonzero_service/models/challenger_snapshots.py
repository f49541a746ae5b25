"""When the snapshots of a challenger are taken: one after each of its champion's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.models.challenger_learner import ChallengerLearner
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.settings import Settings


class ChallengerSnapshots(SnapshotScheduler):
    """Takes the snapshots of a challenger: one after each of its champion's, so that they go together.

    What it is compared with is what its champion predicts. A start predicts that again, so it begins from a
    snapshot of the champion that is not after the challenger's.

    Parameters
    ----------
    name, stored, learner, settings, gate, before
        As for :class:`SnapshotScheduler`, of the challenger.
    champion_newest
        Returns the newest snapshot of its champion; None before the first.
    """

    def __init__(
        self,
        name: str,
        stored: StoredModel,
        learner: ChallengerLearner,
        settings: Settings,
        gate: AbstractAsyncContextManager[Any],
        before: Callable[[], Awaitable[object]],
        champion_newest: Callable[[], SnapshotFile | None],
    ) -> None:
        def prune(_: bool) -> None:  # a few files are soon removed, also at the end
            stored.snapshots.prune()

        super().__init__(name, stored, learner, settings, gate, prune, before)
        self._champion_newest = champion_newest
        self._follower = learner.follower

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what takes a snapshot, where one is due."""
        return None if self._follower.failure is not None else super().look()

    def _due(self) -> bool:
        newest = self._champion_newest()
        beside = newest is not None and newest.position > self._newest
        if beside and newest is not None and self._learner.applier.position >= newest.position:
            return True
        return self._follower.is_reading and super()._due()
