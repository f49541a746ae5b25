"""How it stands with a source: for its metrics, and for who asks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Standing = Literal["reading", "paused", "waiting", "stopped"]
"""What a source is at.

reading
    Messages are read and learned from.
paused
    Learning is paused, and so is reading until somebody ends the pause.
waiting
    Something failed, and is tried again.
stopped
    Something failed that only a changed setting mends.
"""


class Trouble(NamedTuple):
    """What a source waits for to be over."""

    since: float
    """In seconds since 1970; what fails each time it is tried is one trouble."""
    reason: str


@dataclass
class SourceState:
    """How it stands with a source, and what it has done in this process."""

    standing: Standing = "waiting"
    reason: str | None = "it has not begun to read yet"
    """Why it does not read; None where it does."""
    since: float = field(default_factory=time.time)
    """When it came to stand so, in seconds since 1970."""
    failures: int = 0
    """How often it had to begin anew."""
    trouble: Trouble | None = None
    """What failed last, and may do so again; it is tried."""

    def stand(self, standing: Standing, reason: str | None = None) -> None:
        """Take note of what it is at."""
        if standing != self.standing:
            self.since = time.time()
        self.standing, self.reason = standing, reason

    def fail(self, reason: str, *, again: bool) -> None:
        """Take note that something failed, which is tried again.

        Parameters
        ----------
        reason
            What.
        again
            Whether nothing went well since it failed last.
        """
        since = self.trouble.since if again and self.trouble is not None else time.time()
        self.trouble = Trouble(since, reason)
        self.failures += 1
        self.standing, self.reason, self.since = "waiting", reason, since
