"""A challenger that is being served: it learns what its champion learns, and is compared with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.history.keeping import HistoryKeeper
from nonzero_service.incidental import incidentally
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.models.challenger_files import StoredChallenger
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.following_learner import ChampionParts, FollowingLearner
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.names import FieldNames
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.settings import Settings
from nonzero_service.writer.following import Following, sequence_of


class FollowingSnapshots(SnapshotScheduler):
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
        learner: FollowingLearner,
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


class NotKeeping:
    """Keeps no predictions: only a champion's may be labelled."""

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Keep nothing."""

    async def synced(self) -> None:
        """Return at once."""


class Challenger:
    """A challenger that is being served.

    It keeps no predictions: only what its champion predicts may be labelled.

    Parameters
    ----------
    name
        Its name.
    brought
        As far as it was brought.
    champion
        Whom it follows.
    learner
        What learns.
    snapshots
        What takes its snapshots.
    history
        What keeps its history.
    resources
        Closes both, what was opened last first.
    """

    keeps = False

    def __init__(
        self,
        name: str,
        brought: StoredChallenger,
        champion: ChampionParts,
        learner: FollowingLearner,
        snapshots: SnapshotScheduler,
        history: HistoryKeeper,
        resources: AsyncExitStack,
    ) -> None:
        self.name = name
        self.path = brought.place.path
        self._config = brought.place.config
        self.following: Following = brought.place.following
        self.champion = self.parts = champion
        self.learner = learner
        self.snapshots = snapshots
        self.history = history
        self.keeper = NotKeeping()
        self._resources = resources

    @property
    def config(self) -> ModelConfig:
        """When it was made, and with which settings; its policy is another after a promotion changed that."""
        rejoiner = self.learner.follower.rejoiner
        if rejoiner is None:
            return self._config
        return msgspec.structs.replace(self._config, negatives=rejoiner.store.rules.negatives)

    @property
    def model(self) -> LogisticRegression:
        """The model itself, for those who only read it."""
        return self.learner.model

    @property
    def sequence(self) -> int:
        """The examples of its champion's journal up to where it is."""
        return sequence_of(self.model)

    @property
    def fields(self) -> FieldWatch:
        """What came of fields: its champion's."""
        return self.champion.fields

    @property
    def names(self) -> FieldNames:
        """What learns the names of fields: they are its champion's."""
        return self.champion.names

    @property
    def failure(self) -> Exception | None:
        """Why it learns no more; None where it does."""
        return self.learner.follower.failure

    @property
    def needed_from(self) -> int | None:
        """The first position of its champion's journal that it needs; None where that is none."""
        if self.failure is not None:
            return None
        kept = self.snapshots.stored.snapshots.all()
        first, since = self.following.needed_from, self.following.position
        if len(kept) >= 2:
            first, since = min(map(needed_from, kept)), kept[-1].position
        rejoiner = self.learner.follower.rejoiner
        if rejoiner is not None and rejoiner.after is not None and since < rejoiner.after[0]:
            return min(first, rejoiner.after[1])  # it begins to join again
        return first

    @property
    def paired_from(self) -> int | None:
        """The last position up to which its champion's predictions are not needed; None: they are not."""
        pairing = self.learner.follower.pairing
        if pairing is None or self.failure is not None:
            return None
        newest = self.snapshots.newest
        return max(self.following.position if newest is None else newest.position, pairing.since.position)

    async def save_at_end(self) -> None:
        """Learn all that it was told of, and take a last snapshot."""
        log = structlog.get_logger("models")
        try:
            if self.failure is None:
                await self.snapshots.take(last=True)
        except Exception:  # noqa: BLE001 - whatever it is, the champion's journal has all
            incidentally(log.exception, "no snapshot was taken", model=self.name)

    async def let_go(self) -> None:
        """End what works for it; what fails is logged."""
        try:
            await self._resources.aclose()
        except Exception:  # noqa: BLE001 - whatever it is, all has been closed that could be
            incidentally(
                structlog.get_logger("models").exception, "a model was not closed well", model=self.name
            )
