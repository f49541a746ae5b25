"""Attribution: impressions become examples by their labels, or by the ends of their windows.

What comes of it goes through the learner as any update does, so that it is in the journal before it is
learned from. The committer joins labels with impressions: so a label finds the prediction that was queued
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nonzero.kernels.progress import RECENT
from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.served import Silence, served_figures, silence_of
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.writer.breaker import FEW_IMPRESSIONS
from nonzero_service.writer.learner import LABEL_BYTES, ModelLearner
from nonzero_service.writer.work import Applied, StreamState, until_ended


class Attribution:
    """Labels the impressions of one model, and ends their windows. Used on the event loop.

    Parameters
    ----------
    impressions
        The store.
    learner
        The model's.
    """

    def __init__(self, impressions: ImpressionStore, learner: ModelLearner) -> None:
        self.impressions = impressions
        self._learner = learner
        self._clock = EventClock(lambda: learner.journal.clock.now_ms(), impressions)

    @property
    def now_ms(self) -> int:
        """The clock that windows end by."""
        return self._clock.now_ms()

    @property
    def behind_seconds(self) -> float | None:
        """How far the event time of topics is behind the journal's clock; None where none are read."""
        if not self.impressions.watermark_ms:
            return None
        return (self._clock.journal_ms() - self._clock.now_ms()) / 1000

    @property
    def is_usual(self) -> bool:
        """Whether what the model has learned last were impressions, one in a hundred at least."""
        recent = min(self._learner.model.examples, RECENT)
        return self.impressions.segments.next_number > FEW_IMPRESSIONS * recent

    def served(self) -> dict[str, Any]:
        """Return how good the predictions were that were answered: see :func:`served_figures`."""
        return served_figures(self.impressions, self.now_ms)

    def silence(self) -> Silence:
        """Return how long no label has come."""
        return silence_of(self.impressions, self.now_ms)

    async def label(self, ids: Sequence[str], labels: Sequence[int], *, wait: bool = False) -> Applied:
        """Join labels with their impressions, and learn from them.

        Parameters
        ----------
        ids, labels
            Of each label its impression's id, and 0 or 1.
        wait
            Whether to wait for room in the learner's queue, as a stream that has begun does.

        Returns
        -------
        Applied
            With a verdict for each label.

        Raises
        ------
        QueueFullError
            Where there is no room; nothing was learned then.
        StorageError
            Where an impression cannot be read; nothing was learned then.
        """
        stream = StreamState()
        if wait:
            await self._learner.room(LABEL_BYTES * len(ids))
        return await until_ended(self._learner.label(ids, labels, stream), stream)

    @property
    def is_busy(self) -> bool:
        """Whether something waits to be learned, which may be impressions."""
        return self._learner.queued_bytes > 0

    def reached(self) -> object:
        """Return how far all has come that ends windows: while it is the same, none is due that was not."""
        clock = self._clock
        reached = self.impressions.reached(clock.now_ms(), clock.journal_ms())
        return self._learner.journal.position, reached

    async def end_windows(self) -> bool:
        """Learn from the next impressions whose window has ended; return whether there were any."""
        return await self._learner.end_windows() is not None
