"""Keeping: a history is written now and then, as one task looks after all models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from nonzero import LogisticRegression
from nonzero.errors import NonzeroError
from nonzero_service.history.history import History
from nonzero_service.history.recent_seconds import SECONDS
from nonzero_service.incidental import incidentally
from nonzero_service.journal.journal import Journal
from nonzero_service.writer.applier import Applier

T = TypeVar("T")

SAVE_SECONDS: Final = 60.0
"""So long after something has come that is not on disk it is written."""


class Learns(Protocol):
    """Who learns what a journal holds: a model, or its challenger."""

    model: LogisticRegression

    @property
    def journal(self) -> Journal:
        """What it learns."""

    @property
    def applier(self) -> Applier:
        """What learns."""

    @property
    def has_failed(self) -> bool:
        """Whether it learns no more."""

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task after all that is queued: it sees the model at rest."""


class HistoryKeeper:
    """Writes the history of one model, where something has come. Used on the event loop.

    Parameters
    ----------
    history
        The history.
    learner
        The model's.
    """

    def __init__(self, history: History, learner: Learns) -> None:
        self.history = history
        self._learner = learner
        self._saved_examples = learner.model.examples
        self._since: float | None = None  # when something came that is not on disk
        self._rest_at: float | None = None
        self._is_left = False

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what writes the history, where it is due."""
        now = time.monotonic()
        if self._is_left:
            return None
        if self._since is None:
            if self._learner.model.examples != self._saved_examples or self.history.is_unsaved:
                self._since = now
            elif self._rest_at is not None and now >= self._rest_at:
                self._rest_at = None
                self.history.rest(self._now_ms())
            return None
        return self._save() if now - self._since >= SAVE_SECONDS else None

    async def capture(self) -> None:
        """Take note of all that was queued before.

        Raises
        ------
        ClosedError
            Where the model is closed.
        StorageError
            Where nothing more can be applied.
        """
        await self._learner.run(self._captured)

    async def save(self) -> None:
        """Take note of all that was queued before, and write it; a disk that refuses does not matter.

        Raises
        ------
        ClosedError, StorageError
            As for :meth:`capture`.
        """
        await self.capture()
        self._saved_examples = self._learner.model.examples
        await asyncio.to_thread(incidentally, self.history.save)

    async def close(self) -> None:
        """Write what the closed learner has applied; where that has failed, nobody knows what it is."""
        if self._learner.has_failed or self._is_left:
            return
        if self._learner.model.examples != self._saved_examples or self.history.is_unsaved:
            self._captured()
            await asyncio.to_thread(incidentally, self.history.save)

    def leave(self) -> None:
        """Write nothing more: what learned goes on under another name, which has a history."""
        self._is_left = True

    async def _save(self) -> None:
        self._since, self._rest_at = None, time.monotonic() + SECONDS + 1
        with suppress(NonzeroError):  # the model is closed, or has failed, which others have said
            await self.save()

    def _captured(self) -> None:
        learner = self._learner
        incidentally(self.history.capture, learner.model, learner.applier.position, self._now_ms())

    def _now_ms(self) -> int:
        return self._learner.journal.clock.now_ms()


def changed_by(history: History, learner: Learns) -> Callable[[int], None]:
    """Return what tells a history of a row that has been applied, by its position."""

    def tell(position: int) -> None:
        row = next(iter(learner.journal.read(position)), None)
        if row is not None:
            history.changed(learner.model, row)

    return lambda position: incidentally(tell, position)
