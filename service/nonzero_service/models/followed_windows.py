"""The windows of a model that follows: those that end by the clock alone are ended here too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.tailing import TailedImpressions
from nonzero_service.journal.journal import Journal


class FollowedWindows:
    """Ends the windows of one model's impressions, as far as no row is to say so. Used on the event loop.

    Parameters
    ----------
    impressions
        Those of the model.
    journal
        The model's.
    """

    def __init__(self, impressions: TailedImpressions, journal: Journal) -> None:
        self._impressions = impressions
        self._journal = journal
        self._clock = EventClock(lambda: journal.clock.now_ms(), impressions.store)
        self._done: object = None  # what was reached when there was nothing to do

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what ends windows, where there may be some to end."""
        store = self._impressions.store
        if not store.segments:
            return None
        now_ms = self._clock.now_ms()
        reached = self._journal.position, store.reached(now_ms, self._clock.journal_ms())
        if reached == self._done:
            return None
        self._done = reached
        return asyncio.to_thread(self._impressions.end, now_ms)
