"""A challenger that is being served: it learns what its champion learns, and is compared with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.errors import ChallengerError, ClosedError
from nonzero_service.incidental import incidentally
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.logs import described
from nonzero_service.models.challenger_files import StoredChallenger, begin_comparison
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.names import FieldNames
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.challenger_applier import ChallengerApplier
from nonzero_service.writer.following import Following, sequence_of
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.pairing import Pairing
from nonzero_service.writer.results import Results
from nonzero_service.writer.threads import WriterThreads
from nonzero_service.writer.work import CommittedGroup, Copied, Copy, Outcome, Work

T = TypeVar("T")


class ChampionParts(NamedTuple):
    """What a challenger needs of its champion."""

    name: str
    journal: Journal
    learner: ModelLearner
    names: FieldNames
    fields: FieldWatch
    newest_snapshot: Callable[[], SnapshotFile | None]


class FollowingLearner:
    """Learns what a champion learns; runs tasks and copies in order with that. Used on the event loop.

    Parameters
    ----------
    brought
        The challenger, as far as it was brought.
    champion
        Whom it follows.
    fields
        By which it is compared too.
    threads
        Those of all learners.
    on_failure
        Told why it learns no more.
    """

    def __init__(
        self,
        brought: StoredChallenger,
        champion: ChampionParts,
        fields: list[str],
        threads: WriterThreads,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.model = brought.model
        self._loop = asyncio.get_running_loop()
        self._results = results = Results(_deliver, on_failure)
        self._name = brought.place.name
        self._followers = champion.learner.applier.followers
        self._closed = False
        path = brought.place.path
        self.follower = ChallengerApplier(
            brought.model,
            champion.journal,
            champion.learner.applier,
            brought.position,
            brought.held_since,
            brought.pairing,
            lambda since: begin_comparison(path, since, fields),
            threads.appliers,
            results,
            brought.rejoiner,
        )
        self.follower.moved = champion.learner.committer.turn.call
        threads.start()
        if brought.failure is not None:
            results.end(brought.failure)
        self.follower.wake()

    @property
    def applier(self) -> Applier:
        """What learns."""
        return self.follower

    @property
    def appended_bytes(self) -> int:
        """The bytes of what it has learned from, in this process."""
        return self.follower.appended_bytes

    def check_whole(self) -> None:
        """Raise :class:`ChallengerError` where it learns no more."""
        failure = self.follower.failure
        if failure is not None:
            raise ChallengerError(
                f"{self._name!r} learns no more: {described(failure.__cause__ or failure)}; DELETE it, and "
                "make another"
            )

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task after all that it was told of: it sees the model at rest."""
        return self._put(task)

    def copy(self, into: LogisticRegression) -> asyncio.Future[Copied]:
        """Copy the model as it is after all that it was told of, or a little later."""
        return self._put(Copy(into))

    async def close(self) -> None:
        """Learn all that it was told of, and no more. May be called again."""
        if not self._closed:
            self._closed = True
            self._followers.remove(self.follower)
            self.follower.put(None)
        await asyncio.to_thread(self.follower.ended.wait)
        self._results.close()
        self.follower.close()

    def _put(self, what: Any) -> asyncio.Future[Any]:
        if self._closed:
            raise ClosedError("the challenger is closed: it was deleted or promoted, or the service stops")
        self.check_whole()
        work = Work(what, 0, self._loop.create_future())
        self.follower.put(CommittedGroup([work]))
        return work.future


class FollowingSnapshots(SnapshotScheduler):
    """Takes the snapshots of a challenger: one after each of its champion's, so that they go together.

    What it is compared with is what its champion predicts. A start predicts that again, so it begins from a
    snapshot of the champion that is not after the challenger's.
    """

    champion_newest: Callable[[], SnapshotFile | None]
    following: ChallengerApplier

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what takes a snapshot, where one is due."""
        return None if self.following.failure is not None else super().look()

    def _due(self) -> bool:
        newest = self.champion_newest()
        beside = newest is not None and newest.position > self._newest
        if beside and newest is not None and self._learner.applier.position >= newest.position:
            return True
        return self.following.is_reading and super()._due()

    def _give_up(self, last: bool) -> None:  # noqa: ARG002 - a few files are soon removed
        self.stored.snapshots.prune()


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
        resources: AsyncExitStack,
    ) -> None:
        self.name = name
        self.path = brought.place.path
        self.config: ModelConfig = brought.place.config
        self.following: Following = brought.place.following
        self.champion = self.parts = champion
        self.learner = learner
        self.snapshots = snapshots
        self.keeper = NotKeeping()
        self._resources = resources

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
        if len(kept) < 2:
            return self.following.needed_from
        return min(map(needed_from, kept))

    @property
    def paired_from(self) -> int | None:
        """The last position up to which its champion's predictions are not needed; None: they are not."""
        pairing = self.learner.follower.pairing
        if pairing is None or self.failure is not None:
            return None
        newest = self.snapshots.newest
        return max(self.following.position if newest is None else newest.position, pairing.since.position)

    async def compared(self) -> Pairing | None:
        """Return what was compared, at rest until this coroutine goes on; None where it has not begun."""
        return await self.learner.run(lambda: self.learner.follower.pairing)

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


def _deliver(outcomes: list[Outcome]) -> None:
    for work, value, error in outcomes:
        work.give_back(value, error)
