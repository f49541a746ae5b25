"""The clock by which windows end: the journal's, or the event time that topics have reached.

Where impressions or labels are read from topics, what is late is late by the times of their records. A
backlog of two days is read in minutes: by the journal's clock all its windows would have ended before their
clicks are read. So the windows end by a watermark, which the rows of the journal tell: all that was recorded
until then has been read. It waits while nothing is read, and so while the service is down.

It is never ahead of the journal's clock. So whoever sets that back sets this back too.
"""

from __future__ import annotations

from collections.abc import Callable

from nonzero_service.impressions.store import ImpressionStore


class EventClock:
    """Says what time it is for the impressions of one model; from any thread.

    Parameters
    ----------
    journal_ms
        The journal's clock, in milliseconds since 1970.
    impressions
        They know the watermark; None where there are none.
    """

    def __init__(self, journal_ms: Callable[[], int], impressions: ImpressionStore | None) -> None:
        self.journal_ms = journal_ms
        """The journal's clock. What is predicted over HTTP is predicted now by it, and nothing later."""
        self._impressions = impressions

    def now_ms(self) -> int:
        """Return the time, in milliseconds since 1970: no window ends before it has come to its end."""
        watermark = None if self._impressions is None else self._impressions.watermark_ms
        now = self.journal_ms()
        return now if watermark is None else min(watermark, now)
