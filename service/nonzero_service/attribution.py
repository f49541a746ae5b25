"""Attribution: impressions become examples, by their label or at the end of their window.

Labels are joined where their request is; windows end in a task of their own, a thousand impressions at a
time, in the order in which they were predicted. What comes of either goes through the learner as any update
does, so that it is in the journal, with its features, before it is learned from.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.errors import NonzeroError
from nonzero_service.errors import LabelInFlightError
from nonzero_service.impressions.claims import Claim
from nonzero_service.impressions.meeting import Met, merged
from nonzero_service.impressions.rules import Keeping, Rules
from nonzero_service.impressions.store import Impressions
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.learning.learner import Learner
from nonzero_service.learning.work import Applied, Pieces, until_ended
from nonzero_service.settings import Settings

__all__ = ["Attribution", "Labelled", "rules_of"]

T = TypeVar("T")

LOOK_SECONDS: Final = 0.5
"""How often windows are looked at."""

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


class Labelled(NamedTuple):
    """What became of labels."""

    verdicts: list[Verdict]
    """Of each, in order."""
    applied: Applied | None
    """What came of those that were learned from; None where there were none."""


class Attribution:
    """Keeps the impressions of one model, and makes examples of them. Used on the event loop.

    Parameters
    ----------
    name
        The model's, for the log.
    impressions
        The store.
    learner
        The model's.
    keeping
        ``"durable"``: a prediction with an id is answered when its features would survive a power cut.
        ``"buffered"``: when they would survive ``kill -9``.
    """

    def __init__(self, name: str, impressions: Impressions, learner: Learner, keeping: Keeping) -> None:
        self.impressions = impressions
        self._durable = keeping == "durable"
        self._unsynced = False
        self._learner = learner
        self._name = name
        self._syncing: asyncio.Future[None] | None = None
        self._log = structlog.get_logger("impressions")
        self._lost_said = False
        # Of its own, so that neither parsing nor a slow disk is in its way.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"impressions {name}")
        self.updates: Counter[Verdict] = Counter()
        """How many examples of updates were labels of impressions, by what they met, in this process."""
        learner.committer.settled = impressions.settle
        learner.committer.met = impressions.met
        learner.applier.discarded = impressions.discarded
        self._task = asyncio.create_task(self._watch())

    @property
    def now_ms(self) -> int:
        """The journal's clock."""
        return self._learner.journal.clock.now_ms()

    # -- predictions -----------------------------------------------------------------------------------

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Keep what was predicted with an id; from any thread.

        A disk that refuses does not keep a prediction from being answered, unless it was promised: the loss
        is counted.

        Raises
        ------
        OSError
            Where the disk refuses, and impressions are durable.
        """
        try:
            self.impressions.keep(batch, probabilities, self.now_ms)
            self._unsynced = True
        except OSError:
            self.impressions.counts["lost"] += sum(name is not None for name in batch.ids or ())
            if self._durable:
                raise
            if not self._lost_said:
                self._lost_said = True
                incidentally(self._log.exception, "impressions cannot be kept", model=self._name)

    async def synced(self) -> None:
        """Return when all that was kept before is as durable as was asked for; syncs are shared."""
        if not self._durable:
            return
        while self._unsynced or self._syncing is not None:
            if self._syncing is None:
                self._unsynced = False
                loop = asyncio.get_running_loop()
                self._syncing = loop.run_in_executor(None, self.impressions.sync_rows)
            mine, late = self._syncing, self._unsynced
            try:
                await asyncio.shield(mine)
            finally:
                if self._syncing is mine:
                    self._syncing = None
            if not late:  # it was begun after what we wait for had been written
                return

    # -- labels ----------------------------------------------------------------------------------------

    async def label(self, ids: Sequence[str], labels: Sequence[int], *, wait: bool = False) -> Labelled:
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
            return Labelled(claim.verdicts, None)
        return Labelled(claim.verdicts, await self._learn(claim, wait=wait))

    # -- updates ---------------------------------------------------------------------------------------

    async def meet(self, batch: Batch) -> Met:
        """Take those of an update's examples whose id is an impression's for its label.

        What is returned is for :meth:`submit`, or to be given back by :meth:`give_back`.

        Raises
        ------
        LabelInFlightError
            Where another label of one of the impressions is in flight for ten seconds.
        """
        names = batch.ids
        if names is None:
            return Met(batch)
        few = len(batch) <= AT_ONCE
        rows = self.impressions.met(names) if few else await self._aside(lambda: self.impressions.met(names))
        if not rows.size:
            return Met(batch)
        ids = [names[row] or "" for row in rows.tolist()]
        claim = await self._claimed(ids, batch.labels[rows].astype(np.int64).tolist())
        try:
            # One that turned out to be damaged is met no more: nothing will be learned from it.
            unusable = np.ones(rows.size, np.bool_)
            unusable[self.impressions.met(ids)] = False
            return merged(batch, rows, claim, unusable)
        except BaseException:
            self.impressions.give_back(claim)
            raise

    def submit(
        self,
        met: Met,
        *,
        record: Callable[[int, int], KeyRecord] | None = None,
        log_loss: bool = False,
        pieces: Pieces | None = None,
    ) -> asyncio.Future[Applied]:
        """Queue an update, as :meth:`Learner.submit` does; its impressions are given back where it fails."""
        if not len(met.batch) and record is None:
            self.updates.update(met.verdicts)
            nothing: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
            nothing.set_result(Applied(0, self._learner.model.examples, None))
            return nothing
        try:
            applied = self._learner.submit(
                met.batch, record=record, log_loss=log_loss, pieces=pieces, references=met.references
            )
        except BaseException:
            self.give_back(met)
            raise
        claim = met.claim
        if claim is not None:
            applied.add_done_callback(lambda future: self._ended(future, claim))
        self.updates.update(met.verdicts)
        return applied

    def give_back(self, met: Met) -> None:
        """Undo what :meth:`meet` claimed."""
        if met.claim is not None:
            self.impressions.give_back(met.claim)

    async def _claimed(self, ids: Sequence[str], labels: Sequence[int]) -> Claim:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                claim = await self._claim(lambda: self.impressions.claim(ids, labels, self.now_ms))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise StorageError(f"the impressions of {self._name} cannot be used: {error}") from error
            if claim is not None:
                return claim
            if time.monotonic() > deadline:
                raise LabelInFlightError("another label of the same impression is in flight; come again")
            await asyncio.sleep(BREATH)

    async def _claim(self, task: Callable[[], Claim | None]) -> Claim | None:
        """Claim impressions on the thread that does so."""
        claiming = asyncio.ensure_future(self._aside(task))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:  # nobody waits for it any more: it is to be claimed anew
            claiming.add_done_callback(self._unclaimed)
            raise

    async def _learn(self, claim: Claim, *, wait: bool) -> Applied:
        """Hand a claim to the learner; give it back where it does not come into the journal."""
        try:
            pieces = Pieces()
            if wait:
                await self._learner.room(claim.batch)
            applied = self._learner.submit(claim.batch, references=claim.references, pieces=pieces)
            applied.add_done_callback(lambda future: self._ended(future, claim))
        except BaseException:
            self.impressions.give_back(claim)
            raise
        return await until_ended(applied, pieces)

    def _unclaimed(self, claiming: asyncio.Future[Claim | None]) -> None:
        """Give back what was claimed for nobody."""
        claim = None if claiming.cancelled() or claiming.exception() else claiming.result()
        if claim is not None:
            self.impressions.give_back(claim)

    def _ended(self, future: asyncio.Future[Applied], claim: Claim) -> None:
        if future.cancelled() or future.exception() is not None:
            self.impressions.give_back(claim)
        else:
            self.impressions.learned(claim)

    async def _aside(self, task: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, task)

    # -- the end of windows ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        with suppress(asyncio.CancelledError):  # one that is kept would keep what the task was of
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    self.impressions.not_after(self.now_ms)
                    while await self._expire():
                        pass
                    await self._aside(lambda: self.impressions.forget(self.now_ms))
                except Exception as error:  # noqa: BLE001 - whatever it is, the next look is the next try
                    self._say_failed(error)

    async def _expire(self) -> bool:
        """Learn from the next impressions whose window has ended; return whether there were any."""
        claim = await self._claim(lambda: self.impressions.expire(AT_ONCE, self.now_ms))
        if claim is None:
            return False
        if len(claim.references):
            await self._learn(claim, wait=True)
        return True

    def _say_failed(self, error: Exception) -> None:
        # The disk is full, or the model is closing; anything else is a defect of ours.
        expected = isinstance(error, NonzeroError | OSError)
        say = self._log.warning if expected else self._log.error
        incidentally(say, "windows could not be ended", model=self._name, exc_info=error)

    async def close(self) -> None:
        """Stop; what is in flight is for the learner to end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def release(self) -> None:
        """Close the files, once the learner has ended."""
        self._thread.shutdown()
        self.impressions.close()
