"""What has become of an impression."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class ImpressionState(IntEnum):
    """What has become of an impression: one byte, any two of them four bits apart."""

    PENDING = 0x00
    """Its window is open, and nothing was learned of it."""
    NEGATIVE = 0x0F
    """Its label was 0."""
    CLICKED = 0x33
    """Its label was 1."""
    EXPIRED = 0x3C
    """Its window ended, and it was learned from as a negative."""
    THINNED = 0x55
    """Its window ended, and it was not learned from: it was not kept, or was held and then discarded."""
    CORRECTED = 0x5A
    """Its window had ended, and then its click came."""
    DAMAGED = 0x66
    """Its record is not what was written: it is not used."""
    LEARNED = 0x69
    """Its window is open, and it was learned from as a negative when it was predicted."""
    UNTAUGHT = 0xA5
    """Its window is open, and its negative was thinned away, or discarded."""
    ONE_WAITS = 0x96
    """Its label was 1, which is learned from in its turn."""
    ZERO_WAITS = 0x99
    """Its label was 0, which is learned from in its turn."""
    PASSED = 0xAA
    """Its window ended before the model began that took another's place: nothing more is learned of it."""


UNLABELLED: Final = (ImpressionState.PENDING, ImpressionState.LEARNED, ImpressionState.UNTAUGHT)
"""Those that wait for their label."""

WAITING: Final = (ImpressionState.PENDING, ImpressionState.ONE_WAITS, ImpressionState.ZERO_WAITS)
"""Those of which something is yet to be learned, whatever their label."""

OPEN: Final = (*UNLABELLED, ImpressionState.ONE_WAITS, ImpressionState.ZERO_WAITS)
"""Those for which something is to be done when their window ends."""

CLICKS: Final = (ImpressionState.CLICKED, ImpressionState.CORRECTED, ImpressionState.ONE_WAITS)
"""Those that were clicked."""

TURNED: Final = (ImpressionState.LEARNED, ImpressionState.UNTAUGHT)
"""Those whose window is open, and that have had their turn."""

TAUGHT: Final = (ImpressionState.LEARNED, ImpressionState.EXPIRED)
"""Those of which a negative was learned, that a click has to take back."""


BLOCK: Final = 1 << 14
"""So many states are looked at together."""


def is_one_of(states: NDArray[np.uint8], wanted: tuple[ImpressionState, ...]) -> NDArray[np.bool_]:
    """Return bool[n]: which states are one of those."""
    chosen = np.zeros(256, np.bool_)
    chosen[list(wanted)] = True
    found: NDArray[np.bool_] = chosen[states]
    return found


def first_of(
    states: NDArray[np.uint8], start: int, stop: int, wanted: tuple[ImpressionState, ...], limit: int
) -> NDArray[np.intp]:
    """Return intp[n]: the first places between two whose state is one of those, so many at most.

    It looks no farther than it has to: there may be a million.
    """
    found = [np.empty(0, np.intp)]
    while start < stop and limit > 0:
        end = min(start + BLOCK, stop)
        places = np.flatnonzero(is_one_of(states[start:end], wanted))[:limit] + start
        found.append(places)
        start, limit = end, limit - places.size
    return np.concatenate(found)
