"""The end of windows, and labels that stop coming.

A task of its own looks at both. Windows are ended a thousand impressions at a time, in the order in which
they were predicted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from nonzero.errors import NonzeroError
from nonzero_service.incidental import incidentally
from nonzero_service.models.attribution import Attribution

LOOK_SECONDS: Final = 0.5
"""How often windows are looked at."""


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
        self._log = structlog.get_logger("impressions")
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop; what is in flight is for the learner to end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        attribution = self._attribution
        impressions = attribution.impressions
        with suppress(asyncio.CancelledError):  # one that is kept would keep what the task was of
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    impressions.not_after(attribution.now_ms)
                    while await attribution.end_windows():
                        pass
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
