"""The models that a worker has mapped, and how what is predicted with an id gets to the writer."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.batches.codec import encode_batch
from nonzero.batches.ids import Ids
from nonzero_service.models.names import LOOK
from nonzero_service.workers.request_messages import KeepImpressions

Keep = Callable[[KeepImpressions], Awaitable[None]]
"""Sends impressions to the writer, and returns when they are kept."""


class MappedModel:
    """A model as one request predicts with it, and what the request has to keep."""

    keeps = True

    def __init__(self, name: str, model: LogisticRegression, keep: Keep) -> None:
        self.name = name
        self.model = model
        self._keep = keep
        self._kept: list[KeepImpressions] = []
        self._media, self._shown = "", b""

    @property
    def keeper(self) -> MappedModel:
        """What keeps predictions that have ids: this object itself."""
        return self

    @property
    def names(self) -> MappedModel:
        """What learns the names of fields: this object itself."""
        return self

    def look(self, media: str, data: bytes) -> None:
        """Note the beginning of the body, which goes with what is kept."""
        self._media, self._shown = media, data[:LOOK]

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Note what was predicted with ids; from any thread."""
        ids = Ids.of(batch.ids or ())
        self._kept.append(
            KeepImpressions(
                self.name,
                encode_batch(batch),
                ids.text,
                ids.ends.tobytes(),
                ids.known.tobytes(),
                probabilities.tobytes(),
                self._media,
                self._shown,
            )
        )
        self._shown = b""

    async def synced(self) -> None:
        """Return when the writer has kept what was noted."""
        while self._kept:
            await self._keep(self._kept.pop(0))


class MappedModels:
    """All models that a worker has mapped.

    Parameters
    ----------
    keep
        How what is predicted with an id gets to the writer.
    recalibrating
        Whether predictions are what the models' maps make of them.
    """

    def __init__(self, keep: Keep, recalibrating: bool = False) -> None:
        self._keep = keep
        self._recalibrating = recalibrating
        self._models: dict[str, LogisticRegression] = {}

    def map(self, name: str, descriptor: int) -> None:
        """Map a model, in the place of one of the same name; the descriptor is closed.

        Raises
        ------
        OSError
            Where there is no memory for it, or no room among the maps.
        """
        try:
            model = LogisticRegression.attach(descriptor)
        finally:
            os.close(descriptor)
        model.recalibrating = self._recalibrating
        self._models[name] = model

    def has(self, name: str) -> bool:
        """Whether a model of this name is mapped, and not withdrawn."""
        model = self._models.get(name)
        if model is None:
            return False
        if model.shared is not None and not model.shared.withdrawn:
            return True
        del self._models[name]
        return False

    def unmap_withdrawn(self) -> None:
        """Let go of the models that were withdrawn."""
        for name in list(self._models):
            self.has(name)

    def take_conflicts(self) -> dict[str, dict[str, int]]:
        """Return what contradicted the models' schemas since it was last taken, by model and field."""
        found = {name: model.schema.conflicts.take() for name, model in self._models.items()}
        return {name: conflicts for name, conflicts in found.items() if conflicts}

    def readable(self, name: str) -> MappedModel:
        """Return a model that :meth:`has` says is there."""
        return MappedModel(name, self._models[name], self._keep)
