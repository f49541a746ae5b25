"""Lag: how far a partition is behind, by what the brokers have told last of where it ends.

What they told a while ago is not what is so now. While they are away nobody knows how much there is to read,
so no count is told then; but how long the model may have learned nothing is known, and grows.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

SILENT_SECONDS: Final = 10.0
"""Brokers are not up that have said nothing for so long."""

KNOWN_SECONDS: Final = 15.0
"""So long it is known where a partition ends: longer than a source rests between two tries."""


class Lag(NamedTuple):
    """How far a partition is behind."""

    position: int
    """The offset that is read next."""
    begun: int
    """The offset that was read from at first: where nothing of it was handed out, that is the position."""
    high_watermark: int | None
    """Where the partition ended when the brokers told; None where they never have."""
    last_stable: int | None
    """Where it ended for who reads no open transactions."""
    told_at: float
    """When they told it, by the monotonic clock; where they never have, since when they are asked."""
    newest_ms: int = -1
    """The time of the newest record that was read, in milliseconds since 1970; -1 where none was."""

    @property
    def is_known(self) -> bool:
        """Whether the brokers have told lately where it ends.

        Examples
        --------
        >>> Lag(5, 0, 9, 9, time.monotonic()).is_known
        True
        >>> Lag(5, 0, 9, 9, time.monotonic() - KNOWN_SECONDS).is_known
        False
        """
        return self.last_stable is not None and time.monotonic() < self.told_at + KNOWN_SECONDS

    @property
    def end(self) -> int | None:
        """The offset behind the last record that can be read; None where it is not known now."""
        return self.last_stable if self.is_known else None

    @property
    def behind_records(self) -> int | None:
        """The offsets up to there, of which aborted and compacted ones count too; None where not known now.

        Examples
        --------
        >>> Lag(5, 0, 9, 9, time.monotonic()).behind_records
        4
        """
        return None if self.end is None else max(self.end - self.position, 0)

    @property
    def behind_seconds(self) -> float | None:
        """The age of the newest record that was read, where others wait; None where none was read yet.

        Where it is not known whether others wait, the time since that was known: it grows until it is.

        Examples
        --------
        >>> Lag(9, 0, 9, 9, time.monotonic()).behind_seconds
        0.0
        >>> round(Lag(9, 0, 9, 9, time.monotonic() - 60).behind_seconds or 0)
        60
        """
        waits = self.last_stable is not None and self.last_stable > self.position
        # Whose clock is ahead has sent nothing that will be read before it was sent.
        age = max(time.time() - self.newest_ms / 1000, 0.0) if self.newest_ms >= 0 else None
        if self.is_known:
            return age if waits else 0.0
        silence = time.monotonic() - self.told_at
        return max(silence, age) if waits and age is not None else silence

    @property
    def unstable_records(self) -> int | None:
        """The offsets that an open transaction holds back; None where not known now."""
        if self.end is None or self.high_watermark is None:
            return None
        return max(self.high_watermark - self.end, 0)

    def is_read_to(self, position: int) -> bool:
        """Whether nothing is behind a position: where that is not known, something may be.

        Parameters
        ----------
        position
            The offset that is read next.
        """
        return self.is_known and self.high_watermark is not None and position >= self.high_watermark
