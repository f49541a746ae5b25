"""Whether learning is paused. Then examples are held until somebody says what becomes of them."""

from __future__ import annotations

from typing import Any

import structlog

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.joined import References
from nonzero_service.journal.chain import JournalRow
from nonzero_service.writer.breaker import Breaker
from nonzero_service.writer.entries import Pause, held_in, reason_of, resumption_of


class PauseState:
    """Whether examples are learned from now or held. Written on the committer's thread only.

    Parameters
    ----------
    breaker
        What trips it; None where nothing does.
    pause
        The pause that nobody has ended; None where there is none.
    """

    def __init__(self, breaker: Breaker | None = None, pause: Pause | None = None) -> None:
        self.since: int | None = pause and pause.since
        """The position of the trip; None while examples are learned from."""
        self.since_ms: int | None = pause and pause.time_ms
        """When it tripped, by the journal's clock, in milliseconds since 1970."""
        self.examples = pause.examples if pause else 0
        """How many are held."""
        self.trips = 0
        """How often it has tripped, in this process."""
        self.reason: dict[str, Any] | None = pause and pause.reason
        """Why learning is paused."""
        self.unsaid: list[tuple[str, str, dict[str, Any]]] = []
        """What is to be logged, when all else is done: level, event, what it says."""
        self._breaker = breaker

    def admit(self, batch: Batch, references: References | None) -> tuple[int, dict[str, Any] | None]:
        """Return how many of a batch's examples are learned from, and why no more, where that is new."""
        if self.since is not None:
            return 0, None
        return (len(batch), None) if self._breaker is None else self._breaker.admit(batch, references)

    def tripped(self, position: int, reason: dict[str, Any], time_ms: int) -> None:
        """Take note that a trip is in the journal."""
        self.since, self.reason, self.since_ms = position, reason, time_ms
        self.trips += 1
        self.unsaid.append(("error", "learning is paused", {"position": position, **reason}))

    def resumed(self, position: int, *, discard: bool) -> None:
        """Take note that a resumption is in the journal.

        After a discard what was usual before is usual still. What is applied is what is usual from now on.
        """
        assert self.since is not None  # noqa: S101 - who resumes has looked
        if self._breaker is not None and discard:
            self._breaker.forget(str((self.reason or {}).get("figure")))
        elif self._breaker is not None:
            self._breaker.reset()
        self.since, self.examples, self.reason, self.since_ms = None, 0, None, None
        self.unsaid.append(("warning", "learning goes on", {"position": position}))

    def follow(self, row: JournalRow) -> None:
        """Take over what a row says that another process has written."""
        if row.kind == "trip":
            self.tripped(row.position, reason_of(row), row.time_ms)
        elif row.kind == "resume" and self.since is not None:
            self.resumed(row.position, discard=resumption_of(row).discard)
        elif self.since is not None and (held := held_in(row)) is not None:
            self.examples += len(held[0])
        self.say()

    def replace_model(self, model: LogisticRegression) -> None:
        """Watch what another model is to learn from."""
        if self._breaker is not None:
            self._breaker.replace_model(model)

    def say(self) -> None:
        """Log what there is to say."""
        log = structlog.get_logger("breaker")
        while self.unsaid:
            level, event, members = self.unsaid.pop(0)
            getattr(log, level)(event, **members)

    def failed(self, admitted: list[References]) -> None:
        """Take note that what was admitted, these impressions among it, is not in the journal."""
        if self._breaker is not None:
            self._breaker.take_back(admitted)
