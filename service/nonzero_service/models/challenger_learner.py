"""What a challenger learns by: what its champion learns, in order, and right after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from nonzero import LogisticRegression
from nonzero_service.errors import ChallengerError, ClosedError
from nonzero_service.history.history import History
from nonzero_service.history.keeping import changed_by
from nonzero_service.incidental import incidentally
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.logs import described
from nonzero_service.models.challenger_files import StoredChallenger, begin_comparison
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.names import FieldNames
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.challenger_applier import ChallengerApplier
from nonzero_service.writer.learner import ModelLearner
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
    learns_impressions: Callable[[], bool]
    """Whether what came last were impressions."""


class ChallengerLearner:
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
        self.journal = champion.journal
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
        self._tell(brought.history, champion.learns_impressions)
        threads.start()
        if brought.failure is not None:
            results.end(brought.failure)
        self.follower.wake()

    def _tell(self, history: History, impressions: Callable[[], bool]) -> None:
        """Have a history told of all that is learned."""
        model, follower = self.model, self.follower

        def learning(time_ms: int) -> None:
            history.learning(model, follower.position, time_ms, impressions)

        follower.learning = learning
        follower.changed = changed_by(history, self)
        follower.caught_up = lambda position: incidentally(history.replayed, model, position)

    @property
    def applier(self) -> Applier:
        """What learns."""
        return self.follower

    @property
    def has_failed(self) -> bool:
        """Whether it learns no more."""
        return self.follower.failure is not None

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


def _deliver(outcomes: list[Outcome]) -> None:
    for work, value, error in outcomes:
        work.give_back(value, error)
