"""A model that is being served, and all that works for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import structlog

from nonzero import LogisticRegression
from nonzero_service.history.keeping import HistoryKeeper
from nonzero_service.incidental import incidentally
from nonzero_service.models.attribution import Attribution
from nonzero_service.models.challenger_learner import ChampionParts
from nonzero_service.models.clocks import ClockWatch
from nonzero_service.models.dependents import Dependents
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.impression_keeper import ImpressionKeeper, PredictedRequest
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.names import FieldNames
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.replica import ReplicaState
from nonzero_service.models.slicing import Slices
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.models.snapshot_store import SnapshotStore
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.sequences import sequence_of


class SharingState(Protocol):
    """How it stands with the snapshots that nodes share."""

    failures: int
    """How many were due and could not be shared, since this node writes."""

    @property
    def age_seconds(self) -> float:
        """How long ago the newest one was shared; 0 where nothing has come since."""


class Feed(Protocol):
    """What has a model learn beside requests."""

    async def close(self) -> None:
        """Read no more, and return when what is with the learner is learned from. May be called again."""


@dataclass(eq=False)
class ServedModel:
    """A model that is being served."""

    name: str
    config: ModelConfig
    stored: StoredModel
    learner: ModelLearner
    snapshots: SnapshotScheduler
    impressions: ImpressionKeeper
    attribution: Attribution
    names: FieldNames
    slices: Slices
    clock: ClockWatch
    fields: FieldWatch
    history: HistoryKeeper
    replica: ReplicaState | None
    """How far it is behind, where another process writes; None where it is written here."""
    parts: ChampionParts
    """What those need who follow it."""
    dependents: Dependents
    """What of its past is of use still, and who follows it."""
    resources: AsyncExitStack
    """Closes all of these, what was opened last first."""
    store: SnapshotStore | None = None
    """What copies its snapshots to an object store; None where nothing does."""
    shares: SharingState | None = None
    """What shares its snapshots with other nodes; None where there are none, or another one does."""

    feed: Feed | None = None
    """What has it learn beside requests; None where nothing does."""

    keeps = True

    @property
    def model(self) -> LogisticRegression:
        """The model itself, for those who only read it."""
        return self.learner.model

    @property
    def sequence(self) -> int:
        """The examples applied since it was made."""
        return sequence_of(self.model)

    @property
    def keeper(self) -> PredictedRequest:
        """What takes the predictions of one request that have ids."""
        return self.impressions.request()

    def begin_feed(self, begin: Callable[[ServedModel], Feed | None]) -> None:
        """Have it learn beside requests from now on, where something is there that has it learn."""
        self.feed = begin(self)
        if self.feed is not None:
            self.resources.push_async_callback(self.feed.close)

    async def end_feed(self) -> None:
        """Have it learn from requests alone, when what was read is learned from."""
        if self.feed is not None:
            await self.feed.close()

    async def save_at_end(self) -> None:
        """Apply all that is queued, and take a last snapshot; the journal has every row without it too.

        A model that has learned nothing yet is what its journal's first row says, and none is taken.
        """
        log = structlog.get_logger("models")
        try:
            await self.end_feed()
            await self.learner.run(lambda: None)
            if self.model.examples:
                taken = await self.snapshots.take(last=True)
                log.info("saved", model=self.name, sequence=taken.sequence)
        except Exception:  # noqa: BLE001 - whatever it is, the journal has all, and the others are to be saved
            incidentally(log.exception, "no snapshot was taken", model=self.name)

    async def let_go(self) -> None:
        """End the threads and close the files; what fails is logged, and the rest is closed all the same."""
        log = structlog.get_logger("models")
        try:
            await self.resources.aclose()
        except Exception:  # noqa: BLE001 - whatever it is, all has been closed that could be
            incidentally(log.exception, "a model was not closed well", model=self.name)
