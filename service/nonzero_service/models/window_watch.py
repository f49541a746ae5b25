"""The end of windows: impressions that got no label in time are learned from as negatives.

A task of its own looks at them, a thousand impressions at a time, in the order in which they were predicted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from nonzero.errors import NonzeroError
from nonzero_service.incidental import incidentally
from nonzero_service.models.attribution import AT_ONCE, Attribution

LOOK_SECONDS: Final = 0.5
"""How often windows are looked at."""


class WindowWatch:
    """Ends the windows of one model's impressions. Used on the event loop.

    Parameters
    ----------
    name
        The model's, for the log.
    attribution
        Claims impressions, and hands them to the learner.
    """

    def __init__(self, name: str, attribution: Attribution) -> None:
        self._name = name
        self._attribution = attribution
        self._log = structlog.get_logger("impressions")
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop; what is in flight is for the learner to end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def expire(self) -> bool:
        """Learn from the next impressions whose window has ended; return whether there were any."""
        attribution = self._attribution
        claim = await attribution.claim(lambda: attribution.claims.expire(AT_ONCE, attribution.now_ms))
        if claim is None:
            return False
        if len(claim.references):
            await attribution.learn(claim, wait=True)
        return True

    async def _watch(self) -> None:
        attribution = self._attribution
        impressions = attribution.impressions
        with suppress(asyncio.CancelledError):  # one that is kept would keep what the task was of
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    impressions.not_after(attribution.now_ms)
                    while await self.expire():
                        pass
                    await attribution.aside(lambda: impressions.forget(attribution.now_ms))
                except Exception as error:  # noqa: BLE001 - whatever it is, the next look is the next try
                    # The disk is full, or the model is closing; anything else is a defect of ours.
                    expected = isinstance(error, NonzeroError | OSError)
                    say = self._log.warning if expected else self._log.error
                    incidentally(say, "windows could not be ended", model=self._name, exc_info=error)
