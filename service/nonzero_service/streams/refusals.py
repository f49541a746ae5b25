"""What was refused lately: kept for who asks, and said in the log, but not a thousand times a second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from nonzero_service.incidental import incidentally
from nonzero_service.streams.message_readers import Refusal

KEPT: Final = 100
"""So many of the newest ones are shown."""

QUIET_SECONDS: Final = 10.0
"""After one line in the log there is none for so long; the next one says how many there were meanwhile."""


class RefusedLines:
    """The refused lines of one source. Used on the event loop.

    Parameters
    ----------
    model
        The name of the model that would have learned from them.
    """

    def __init__(self, model: str) -> None:
        self.newest: deque[Refusal] = deque(maxlen=KEPT)
        self._model = model
        self._unsaid = 0
        self._first: Refusal | None = None  # of those
        self._said_at = -QUIET_SECONDS
        self._later: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("source")

    def add(self, refusals: Sequence[Refusal]) -> None:
        """Take note of some more; there is at least one."""
        self.newest += refusals
        self._unsaid += len(refusals)
        self._first = self._first or refusals[0]
        wait = self._said_at + QUIET_SECONDS - time.monotonic()
        if wait <= 0:
            self.say()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(wait, self.say)

    def say(self) -> None:
        """Say what is not said yet; at the end, too: nothing comes behind that would say it."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._first is None:
            return
        count, first = self._unsaid, self._first
        self._unsaid, self._first, self._said_at = 0, None, time.monotonic()
        # Without the reason, which may repeat what stands in the message: GET .../source tells that.
        incidentally(
            self._log.warning,
            "lines of messages were refused",
            model=self._model,
            lines=count,
            topic=first.topic,
            partition=first.partition,
            offset=first.offset,
            line=first.line,
        )
