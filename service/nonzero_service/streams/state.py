"""How it stands with a source: for its metrics, and for who asks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

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

    def stand(self, standing: Standing, reason: str | None = None) -> None:
        """Take note of what it is at."""
        if standing != self.standing:
            self.since = time.time()
        self.standing, self.reason = standing, reason
