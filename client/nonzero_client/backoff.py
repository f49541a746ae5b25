"""How long to wait before something is tried again."""

from __future__ import annotations

import email.utils
import math
import random
import time
from typing import Final, Protocol

FIRST: Final = 0.1
"""The longest pause after the first failure, in seconds; it doubles with each further one."""

LONGEST: Final = 10.0
"""The longest pause, in seconds."""


LEAST: Final = 0.01
"""An attempt has so many seconds at least, and so has the last pause before the deadline."""


class Chance(Protocol):
    """Draws numbers."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between two others."""


CHANCE: Final[Chance] = random.SystemRandom()
"""By the system: processes that were forked from one would draw the same from a state of their own."""


def pause(failures: int, retry_after: float | None, left: float, chance: Chance = CHANCE) -> float | None:
    """Return how long to wait: exponential backoff with full jitter.

    Parameters
    ----------
    failures
        How often it has failed, from 1.
    retry_after
        Seconds for which the service asks for patience; the jitter comes after them.
    left
        Seconds until the deadline.
    chance
        What draws.

    Returns
    -------
    float or None
        Seconds. None where there is no time for it.

    Notes
    -----
    Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015: "full jitter".
    """
    least = retry_after or 0.0
    spare = left - least - LEAST
    if spare < LEAST:
        return None
    drawn = chance.uniform(0.0, min(LONGEST, FIRST * 2.0 ** min(failures - 1, 30)))
    if drawn > spare:  # no pause would be as long: use the later half of the time that is left
        drawn = chance.uniform(spare / 2, spare)
    return least + drawn


def seconds_of(retry_after: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3).

    Returns
    -------
    float or None
        Seconds from now, at least 0. None where it says nothing that can be read.
    """
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
