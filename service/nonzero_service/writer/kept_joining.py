"""What a snapshot of a challenger with a late-label policy of its own holds of impressions.

It is what cannot be read again. Where impressions stand, their ids and what was answered are in the rows.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero import SnapshotError
from nonzero_service.impressions.array_text import array_of
from nonzero_service.writer.challenger_origin import OwnPolicy

JOINING_NOTE: Final = "joining"
"""Where a snapshot of such a challenger has what has become of impressions, among its notes."""


class KeptJoining(msgspec.Struct):
    """What has become of impressions; bytes are compressed, in base64."""

    until: int
    """The last position of which this is."""
    position: int
    """The first row that it is of."""
    numbers: tuple[int, int, int]
    """Of the first impression, of the first whose window is open, and of the next."""
    last_ms: int
    """The time of the last row."""
    floor_ms: int
    """The time of the first of these rows."""
    ends_from_ms: int
    """Before this time no window ends."""
    in_grace: bool
    """Whether that is because of a silence."""
    rate: float
    """The share of negatives that is learned from."""
    states: str
    """What has become of each."""
    foreseen: str
    """What was predicted for those whose windows are open."""
    event_ms: int | None = None
    """The event time that the topics have reached which it all comes from; None where it comes from none."""
    told_ms: int = 0
    """When that was told last."""
    policy: OwnPolicy | None = None
    """By which it joins."""
    after: tuple[int, int] | None = None
    """The row by which its champion changed its policy, and the first position needed to begin after it."""

    @classmethod
    def of(cls, noted: object) -> KeptJoining:
        """Return what a snapshot notes.

        Raises
        ------
        SnapshotError
            Where it is something else.
        """
        try:
            return msgspec.convert(noted, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SnapshotError(f"it does not hold what has become of impressions: {error}") from error

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the states, and what was predicted.

        Raises
        ------
        SnapshotError
            Where they are not of as many as there are.
        """
        first, ended, stop = self.numbers
        try:
            states, foreseen = array_of(self.states, np.uint8), array_of(self.foreseen, np.float32)
        except ValueError as error:
            raise SnapshotError(f"what has become of impressions cannot be read: {error}") from error
        if (states.size, foreseen.size) != (stop - first, stop - ended):
            raise SnapshotError(
                f"it says of {states.size} impressions what has become of them, and of {foreseen.size} what "
                f"was predicted, not of {stop - first} and {stop - ended}"
            )
        return states, foreseen
