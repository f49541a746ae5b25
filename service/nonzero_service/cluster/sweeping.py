"""Sweeping: the node that writes gives up what is left of removed models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

import structlog

from nonzero_service.cluster.writing_term import WritingTerm
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.postgres.catalogue import Catalogue

SWEEP_SECONDS: Final = 60.0
"""So often what is left of removed models is given up."""


class Sweeping:
    """Has the catalogue swept now and then. Used on the event loop.

    Rounds look after it (:class:`~nonzero_service.models.rounds.Rounds`).

    Parameters
    ----------
    catalogue
        The cluster's.
    term
        That of this node.
    in_use
        Returns the numbers of the models that are open here.
    """

    def __init__(
        self, catalogue: Catalogue, term: WritingTerm, in_use: Callable[[], Collection[int]]
    ) -> None:
        self._catalogue = catalogue
        self._term = term
        self._in_use = in_use
        self._due_at = 0.0
        self._log = structlog.get_logger("cluster")

    def ask(self) -> None:
        """Have it swept at the next round: a model was removed."""
        self._due_at = 0.0

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what sweeps, where that is due."""
        now, term = time.monotonic(), self._term.writing
        if term is None or now < self._due_at:
            return None
        self._due_at = now + SWEEP_SECONDS
        return self._sweep(term)

    async def _sweep(self, term: int) -> None:
        try:
            await asyncio.to_thread(self._catalogue.sweep, term, self._in_use())
        except StorageError as error:
            self._log.warning("what is of no use could not be removed", reason=str(error))
