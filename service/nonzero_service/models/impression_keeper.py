"""Keeping predictions that have an id until their label comes, as safely as was asked for."""

from __future__ import annotations

import asyncio

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.rules import Keeping
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.incidental import incidentally
from nonzero_service.journal.clock import Clock


class ImpressionKeeper:
    """Keeps the impressions of one model.

    Parameters
    ----------
    name
        The model's, for the log.
    impressions
        The store.
    clock
        The journal's.
    keeping
        ``"durable"``: a prediction with an id is answered when its features would survive a power cut.
        ``"buffered"``: when they would survive ``kill -9``.
    """

    def __init__(self, name: str, impressions: ImpressionStore, clock: Clock, keeping: Keeping) -> None:
        self._impressions = impressions
        self._clock = clock
        self._name = name
        self._durable = keeping == "durable"
        self._unsynced = False
        self._syncing: asyncio.Future[None] | None = None
        self._log = structlog.get_logger("impressions")
        self._lost_said = False

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Keep what was predicted with an id; from any thread.

        A disk that refuses does not keep a prediction from being answered, unless it was promised: the loss
        is counted.

        Parameters
        ----------
        batch
            The examples; those without an id are not kept.
        probabilities
            float32[n]: what was predicted for them.

        Raises
        ------
        OSError
            If the disk refuses, and impressions are durable.
        """
        try:
            self._impressions.keep(batch, probabilities, self._clock.now_ms())
            self._unsynced = True
        except OSError:
            self._impressions.counts["lost"] += sum(name is not None for name in batch.ids or ())
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
                self._syncing = loop.run_in_executor(None, self._impressions.sync_rows)
            mine, late = self._syncing, self._unsynced
            try:
                await asyncio.shield(mine)
            finally:
                if self._syncing is mine:
                    self._syncing = None
            if not late:  # it was begun after what we wait for had been written
                return
