"""Attribution: impressions become examples by their labels.

What comes of it goes through the learner as any update does, so that it is in the journal, with its features,
before it is learned from. Impressions whose window ends go the same way
(:mod:`nonzero_service.models.window_watch`).
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, NamedTuple, TypeVar

import numpy as np

from nonzero import Batch
from nonzero_service.errors import LabelInFlightError
from nonzero_service.impressions.claims import Claim, Claims
from nonzero_service.impressions.matching import MatchedUpdate, merge_labels
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.settings import Settings
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.work import Applied, StreamState, until_ended

T = TypeVar("T")

AT_ONCE: Final = 1024
"""So many impressions expire, or are labelled, at once."""

PATIENCE: Final = 10.0
"""Seconds for which a label waits for another of the same impression."""

BREATH: Final = 0.002


def rules_of(settings: Settings) -> Rules:
    """Return the rules that the settings state."""
    return Rules(
        round(1000 * settings.attribution_seconds),
        round(1000 * settings.correction_seconds),
        settings.negative_rate,
    )


class LabelResult(NamedTuple):
    """What became of labels."""

    verdicts: list[Verdict]
    """Of each, in order."""
    applied: Applied | None
    """What came of those that were learned from; None where there were none."""


class Attribution:
    """Makes examples of the impressions of one model. Used on the event loop.

    Parameters
    ----------
    name
        The model's, for the log.
    impressions
        The store.
    learner
        The model's.
    thread
        Touches the impressions' files: one thread, so that claims come one after another.
    """

    def __init__(
        self, name: str, impressions: ImpressionStore, learner: ModelLearner, thread: Executor
    ) -> None:
        self.impressions = impressions
        self.claims = Claims(impressions)
        self._learner = learner
        self._name = name
        self._thread = thread
        self.updates: Counter[Verdict] = Counter()
        """How many examples of updates were labels of impressions, by what they met, in this process."""
        learner.committer.settled = self.claims.settle
        learner.committer.met = impressions.met
        learner.applier.discarded = self.claims.discarded

    @property
    def now_ms(self) -> int:
        """The journal's clock."""
        return self._learner.journal.clock.now_ms()

    async def label(self, ids: Sequence[str], labels: Sequence[int], *, wait: bool = False) -> LabelResult:
        """Join labels with their impressions, and learn from them.

        Parameters
        ----------
        ids, labels
            Of each label its impression's id, and 0 or 1.
        wait
            Whether to wait for room in the learner's queue, as a stream that has begun does.

        Raises
        ------
        QueueFullError
            Where there is no room; nothing was learned then.
        LabelInFlightError
            Where another label of one of the impressions is in flight for ten seconds.
        """
        claim = await self._claimed(ids, labels)
        if not len(claim.references):
            return LabelResult(claim.verdicts, None)
        return LabelResult(claim.verdicts, await self.learn(claim, wait=wait))

    async def meet(self, batch: Batch) -> MatchedUpdate:
        """Take those of an update's examples whose id is an impression's for its label.

        What is returned is for :meth:`submit`, or to be given back by :meth:`give_back`.

        Raises
        ------
        LabelInFlightError
            Where another label of one of the impressions is in flight for ten seconds.
        """
        names = batch.ids
        if names is None:
            return MatchedUpdate(batch)
        few = len(batch) <= AT_ONCE
        rows = self.impressions.met(names) if few else await self.aside(lambda: self.impressions.met(names))
        if not rows.size:
            return MatchedUpdate(batch)
        ids = [names[row] or "" for row in rows.tolist()]
        claim = await self._claimed(ids, batch.labels[rows].astype(np.int64).tolist())
        try:
            # One that turned out to be damaged is met no more: nothing will be learned from it.
            unusable = np.ones(rows.size, np.bool_)
            unusable[self.impressions.met(ids)] = False
            return merge_labels(batch, rows, claim, unusable)
        except BaseException:
            self.claims.give_back(claim)
            raise

    def submit(
        self,
        met: MatchedUpdate,
        *,
        record: Callable[[int, int], KeyRecord] | None = None,
        log_loss: bool = False,
        stream: StreamState | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue an update, as :meth:`ModelLearner.submit` does; give its impressions back where it fails."""
        if not len(met.batch) and record is None:
            self.updates.update(met.verdicts)
            nothing: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
            nothing.set_result(Applied(0, self._learner.model.examples, None))
            return nothing
        try:
            applied = self._learner.submit(
                met.batch, record=record, log_loss=log_loss, stream=stream, references=met.references
            )
        except BaseException:
            self.give_back(met)
            raise
        claim = met.claim
        if claim is not None:
            applied.add_done_callback(lambda future: self._ended(future, claim))
        self.updates.update(met.verdicts)
        return applied

    def give_back(self, met: MatchedUpdate) -> None:
        """Undo what :meth:`meet` claimed."""
        if met.claim is not None:
            self.claims.give_back(met.claim)

    async def _claimed(self, ids: Sequence[str], labels: Sequence[int]) -> Claim:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                claim = await self.claim(lambda: self.claims.claim(ids, labels, self.now_ms))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise StorageError(f"the impressions of {self._name} cannot be used: {error}") from error
            if claim is not None:
                return claim
            if time.monotonic() > deadline:
                raise LabelInFlightError("another label of the same impression is in flight; come again")
            await asyncio.sleep(BREATH)

    async def claim(self, task: Callable[[], Claim | None]) -> Claim | None:
        """Claim impressions on the thread that does so."""
        claiming = asyncio.ensure_future(self.aside(task))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:  # nobody waits for it any more: it is to be claimed anew
            claiming.add_done_callback(self._unclaimed)
            raise

    async def learn(self, claim: Claim, *, wait: bool) -> Applied:
        """Hand a claim to the learner; give it back where it does not come into the journal."""
        try:
            stream = StreamState()
            if wait:
                await self._learner.room(claim.batch)
            applied = self._learner.submit(claim.batch, references=claim.references, stream=stream)
            applied.add_done_callback(lambda future: self._ended(future, claim))
        except BaseException:
            self.claims.give_back(claim)
            raise
        return await until_ended(applied, stream)

    def _unclaimed(self, claiming: asyncio.Future[Claim | None]) -> None:
        """Give back what was claimed for nobody."""
        claim = None if claiming.cancelled() or claiming.exception() else claiming.result()
        if claim is not None:
            self.claims.give_back(claim)

    def _ended(self, future: asyncio.Future[Applied], claim: Claim) -> None:
        if future.cancelled() or future.exception() is not None:
            self.claims.give_back(claim)
        else:
            self.claims.learned(claim)

    async def aside(self, task: Callable[[], T]) -> T:
        """Do something on the thread that touches the impressions' files."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, task)
