"""A challenger that is being served: it learns what its champion learns, and is compared with it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.history.keeping import HistoryKeeper
from nonzero_service.incidental import incidentally
from nonzero_service.models.challenger_files import StoredChallenger
from nonzero_service.models.challenger_learner import ChallengerLearner, ChampionParts
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.names import FieldNames
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.writer.challenger_origin import ChallengerOrigin
from nonzero_service.writer.sequences import sequence_of


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
        learner: ChallengerLearner,
        snapshots: SnapshotScheduler,
        history: HistoryKeeper,
        resources: AsyncExitStack,
    ) -> None:
        self.name = name
        self.path = brought.place.path
        self._config = brought.place.config
        self.origin: ChallengerOrigin = brought.place.origin
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
        first, since = self.origin.needed_from, self.origin.position
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
        return max(self.origin.position if newest is None else newest.position, pairing.since.position)

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
