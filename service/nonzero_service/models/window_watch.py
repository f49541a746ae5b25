"""The end of windows, and labels that stop coming.

Windows are ended a thousand impressions at a time, in the order in which they were predicted. Where nothing
has come and no window has ended since the last look, there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import structlog

from nonzero.errors import NonzeroError
from nonzero_service.incidental import incidentally
from nonzero_service.models.attribution import Attribution


class WindowWatch:
    """Ends the windows of one model's impressions. Used on the event loop.

    Parameters
    ----------
    name
        The model's, for the log.
    attribution
        By which they are ended.
    """

    def __init__(self, name: str, attribution: Attribution) -> None:
        self._name = name
        self._attribution = attribution
        self._missing = False
        self._done: object = None  # what was reached when there was nothing to do
        self._log = structlog.get_logger("impressions")

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what ends windows, where there may be some to end."""
        attribution = self._attribution
        if not attribution.is_busy:
            if not attribution.impressions.segments:
                return None
            if attribution.reached() == self._done:
                self._look_for_labels()
                return None
        return self._end()

    async def _end(self) -> None:
        """End the windows that are due; what is in flight is for the learner to end."""
        try:
            reached = self._attribution.reached()
            while await self._attribution.end_windows():
                pass
            self._done = reached
            self._look_for_labels()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look is the next try
            # The disk is full, or the model is closing; anything else is a defect of ours.
            expected = isinstance(error, NonzeroError | OSError)
            say = self._log.warning if expected else self._log.error
            incidentally(say, "windows could not be ended", model=self._name, exc_info=error)

    def _look_for_labels(self) -> None:
        """Say it where labels have stopped coming, and where they come again."""
        silence = self._attribution.silence()
        if silence.is_outage == self._missing:
            return
        self._missing = silence.is_outage
        if self._missing:
            self._log.error(
                "labels have stopped coming",
                model=self._name,
                seconds=round(silence.seconds),
                predicted_clicks=round(silence.predicted_clicks),
                way_out="see to what sends them; labels that come later are learned from within their time",
            )
        else:
            self._log.warning("labels come again", model=self._name)
