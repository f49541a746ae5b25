"""Keeping predictions that have an id until their label comes, as safely as was asked for."""

from __future__ import annotations

import asyncio
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.errors import NotWritingError, QueueFullError
from nonzero_service.impressions.hashes import hashes_of, named_rows
from nonzero_service.impressions.packing import PredictedRows, size_of_records
from nonzero_service.impressions.rules import Keeping
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.incidental import incidentally
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.work import Applied, retrieved

PATIENCE: Final = 1.0
"""Seconds for which an answer waits for room in the learner's queue, so that what it predicted is kept."""


class ImpressionKeeper:
    """Keeps the impressions of one model.

    Parameters
    ----------
    name
        The model's, for the log.
    impressions
        The store.
    learner
        By which they become rows of the journal.
    keeping
        ``"durable"``: a prediction with an id is answered when its features are durable. ``"buffered"``: it
        is answered at once, and its features follow within some milliseconds.
    """

    def __init__(
        self, name: str, impressions: ImpressionStore, learner: ModelLearner, keeping: Keeping
    ) -> None:
        self.learner = learner
        self.durable = keeping == "durable"
        self._impressions = impressions
        self._name = name
        self._log = structlog.get_logger("impressions")
        self._lost_said = False

    def request(self, *, handed_on: bool = False) -> PredictedRequest:
        """Return what takes the predictions of one request.

        Parameters
        ----------
        handed_on
            Whether another node hands them on: they are to be durable, whatever the settings say, and that
            node counts those that are lost.
        """
        return PredictedRequest(self, durable=handed_on or self.durable, counted=not handed_on)

    def lost(self, count: int, error: BaseException) -> None:
        """Count predictions that cannot be kept, and say so the first time."""
        with self._impressions.lock:
            self._impressions.counts["lost"] += count
        if not self._lost_said:
            self._lost_said = True
            incidentally(self._log.error, "impressions cannot be kept", model=self._name, exc_info=error)


class PredictedRequest:
    """The predictions of one request.

    Parameters
    ----------
    keeper
        The model's.
    durable
        Whether they are to be durable before they are answered.
    counted
        Whether those that are lost are counted here.
    """

    def __init__(self, keeper: ImpressionKeeper, *, durable: bool, counted: bool) -> None:
        self._keeper = keeper
        self._is_durable = durable
        self._is_counted = counted
        self._predictions: list[PredictedRows] = []

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Note what was predicted with an id; from any thread.

        Parameters
        ----------
        batch
            The examples; those without an id are not kept.
        probabilities
            float32[n]: what was predicted for them.
        """
        ids = Ids.of(batch.ids or ())
        rows = named_rows(ids)
        if not rows.size:
            return
        now_ms = self._keeper.learner.journal.clock.now_ms()
        fresh = np.ones(rows.size, np.uint8)
        self._predictions.append(
            PredictedRows(batch, ids, probabilities, rows, hashes_of(ids, rows), fresh, now_ms)
        )

    async def synced(self) -> None:
        """Hand over what was noted, and return when it is as durable as was asked for.

        What cannot be kept does not keep a prediction from being answered, unless it was promised: the loss
        is counted.

        Raises
        ------
        QueueFullError, StorageError
            Where it cannot be kept, and impressions are durable.
        """
        predictions, self._predictions = self._predictions, []
        for one in predictions:
            if self._is_durable:
                await self._durable(one)
            else:
                await self._buffered(one)

    async def _durable(self, predictions: PredictedRows) -> None:
        try:
            kept = self._keeper.learner.impress(predictions, waits=True)
        except QueueFullError as error:
            self._lost(predictions, error)
            raise
        await asyncio.shield(self._counted(kept, predictions))

    async def _buffered(self, predictions: PredictedRows) -> None:
        learner = self._keeper.learner
        try:
            async with asyncio.timeout(PATIENCE):
                await learner.room(size_of_records(predictions))
        except TimeoutError:
            pass
        try:
            kept = learner.impress(predictions, waits=False)
        except (QueueFullError, NotWritingError) as error:
            self._lost(predictions, error)
        else:
            self._counted(kept, predictions)

    def _counted(self, kept: asyncio.Future[Applied], predictions: PredictedRows) -> asyncio.Future[Applied]:
        """Count what is lost where it fails, whoever waits for it or has gone."""

        def ended(future: asyncio.Future[Applied]) -> None:
            error = retrieved(future)
            if error is not None:
                self._lost(predictions, error)

        kept.add_done_callback(ended)
        return kept

    def _lost(self, predictions: PredictedRows, error: BaseException) -> None:
        if self._is_counted:
            self._keeper.lost(predictions.rows.size, error)
