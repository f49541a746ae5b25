"""A model as it is read by a process that does not learn: what is predicted with an id is the writer's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.batches.codec import encode_batch
from nonzero.batches.ids import Ids
from nonzero_service.models.names import LOOK, Looker
from nonzero_service.workers.request_messages import KeepImpressions

Keep = Callable[[KeepImpressions], Awaitable[None]]
"""Sends impressions to the writer, and returns when they are kept, or will be."""


class ReadModel:
    """A model as one request predicts with it, and what the request has to keep.

    Parameters
    ----------
    name
        The model's name.
    model
        The model, to be read.
    keep
        How what is predicted with an id gets to the writer.
    looks
        What learns the names of fields here too; None: nothing does.
    """

    keeps = True

    def __init__(self, name: str, model: LogisticRegression, keep: Keep, looks: Looker | None = None) -> None:
        self.name = name
        self.model = model
        self._keep = keep
        self._looks = looks
        self._kept: list[KeepImpressions] = []
        self._media, self._shown = "", b""

    @property
    def keeper(self) -> ReadModel:
        """What keeps predictions that have ids: this object itself."""
        return self

    @property
    def names(self) -> ReadModel:
        """What learns the names of fields: this object itself."""
        return self

    def look(self, media: str, data: bytes) -> None:
        """Note the beginning of the body, which goes with what is kept."""
        self._media, self._shown = media, data[:LOOK]
        if self._looks is not None:
            self._looks.look(media, data)

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
