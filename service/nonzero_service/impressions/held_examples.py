"""Examples that are held while learning is paused: which impressions they were."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero_service.impressions.joined import References
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import ImpressionState

NEVER_LEARNED: Final = (
    (ImpressionState.EXPIRED, ImpressionState.THINNED),
    (ImpressionState.LEARNED, ImpressionState.UNTAUGHT),
)
"""What impressions are that were held, and what they become when that is discarded."""


class HeldExamples:
    """The held examples of one model. Used under the store's lock.

    Parameters
    ----------
    segments
        The impressions.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._held: list[References] = []

    def hold(self, references: References) -> None:
        """Note that examples are held which these impressions were."""
        self._held.append(references.known)

    def resume(self, *, discard: bool) -> None:
        """Note that nothing is held any more; what is discarded was never learned from."""
        held, self._held = self._held, []
        for references in held if discard else ():
            numbers = references.numbers
            states = self._segments.states(numbers)
            mine = self._segments.hashes_of(numbers) == references.hashes
            for was, becomes in NEVER_LEARNED:
                undone = numbers[mine & (states == was)]
                self._segments.set(undone, np.full(undone.size, becomes, np.uint8))
