"""Clocks: says when the machine's clock and that of a model's journal are apart, and sets the latter right.

:mod:`nonzero_service.journal.clock` says what goes on meanwhile. Which of the two is wrong only a person can
tell, so nothing is set without one.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import structlog

from nonzero_service.errors import ClockRightError
from nonzero_service.journal.clock import SLACK_MS, wall_ms
from nonzero_service.journal.journal import Journal
from nonzero_service.models.attribution import Attribution
from nonzero_service.writer.entries import clock_entry
from nonzero_service.writer.learner import ModelLearner

SAY_SECONDS: Final = 3600.0
"""How often it is said that they are apart."""

LONG_MS: Final = 30 * 24 * 60 * 60 * 1000
"""A last row so long ago may be one of a clock that was right, and the machine's now wrong."""

WAY_OUT: Final = "set the machine's clock right, then POST /v1/models/{}/clock sets the journal's by it"


class ClockChange(NamedTuple):
    """What the journal's clock was set to."""

    before_ms: int
    after_ms: int


class ClockWatch:
    """Watches over the clock of one model's journal. Used on the event loop.

    Parameters
    ----------
    name
        The model's.
    journal
        Its journal.
    learner
        By which the clock is set.
    attribution
        Whose impressions were stamped by it.
    """

    def __init__(self, name: str, journal: Journal, learner: ModelLearner, attribution: Attribution) -> None:
        self._name = name
        self._journal = journal
        self._learner = learner
        self._attribution = attribution
        self._said: float | None = None
        self._log = structlog.get_logger("clock")
        since = wall_ms() - journal.time_ms
        if since > LONG_MS:
            self._log.warning(
                "the last row is long ago",
                model=name,
                days=round(since / 86_400_000, 1),
                way_out="if the machine's clock is wrong, stop and set it right",
            )

    async def set(self) -> ClockChange:
        """Set the journal's clock by the machine's, from a row of the journal on.

        Raises
        ------
        ClockRightError
            Where they are not apart.
        """
        clock = self._journal.clock
        ahead = clock.ahead_ms()
        if abs(ahead) <= SLACK_MS:
            raise ClockRightError(
                f"the journal's clock and the machine's are {abs(ahead) / 1000:g} s apart: there is nothing "
                "to set"
            )
        after = wall_ms()
        done = ClockChange(after + ahead, after)
        await self._learner.change(clock_entry(*done), lambda: None)
        self._attribution.impressions.not_after(clock.now_ms(), max(ahead, 0))
        self._said = None
        self._log.warning("the clock was set", model=self._name, **done._asdict())
        return done

    def look(self) -> None:
        """Say it where the clocks are apart, once an hour."""
        ahead, now = self._journal.clock.ahead_ms(), time.monotonic()
        if abs(ahead) <= SLACK_MS or (self._said is not None and now - self._said < SAY_SECONDS):
            return
        self._said = now
        self._log.error(
            "the journal's clock and the machine's are apart",
            model=self._name,
            ahead_seconds=round(ahead / 1000),
            way_out=WAY_OUT.format(self._name),
        )
