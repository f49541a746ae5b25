"""When labels come: how long after their predictions, and how long none came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""

RIPE: Final = 3.0
"""So many mean delays after its prediction an impression has its click, if it ever has one: of exponential
delays 95 in 100 have come then."""

ENOUGH_DELAYS: Final = 30
"""Of so many labels a mean delay is taken; before, an impression is ripe when its window has ended."""

FEW_DELAYS: Final = 1000

GAPS: Final = 20
GAP_MS: Final = 1000
"""A shorter time between labels is no gap: they come in bulk, or all the time."""


class LabelArrivals:
    """When the labels of one model came, in this process. Used under the store's lock.

    Parameters
    ----------
    undo
        Takes what undoes a change, before it is made.
    """

    def __init__(self, undo: Callable[[Callable[[], object]], object]) -> None:
        self.delays: deque[int] = deque(maxlen=DELAYS)
        """Milliseconds from prediction to label, of the last labels that came to something."""
        self.delays_told = 0
        """How many delays there were."""
        self.mean_delay_ms = 0.0
        """Mean delay of about the last thousand labels."""
        self.last_ms = 0
        """When the last label came, or the process started."""
        self.number = 0
        """The number of the first impression since."""
        self.gaps: deque[int] = deque(maxlen=GAPS)
        """Milliseconds of the last gaps of a second and more between labels."""
        self._undo = undo
        self._late: list[int] = []  # delays that are not told yet

    @property
    def ripe_ms(self) -> float | None:
        """After how many milliseconds most clicks have come; None where too few delays are known."""
        return RIPE * self.mean_delay_ms if self.delays_told >= ENOUGH_DELAYS else None

    def begin(self, now_ms: int, number: int) -> None:
        """Take note that labels may come from now on, before the impression of a number."""
        self.last_ms, self.number = now_ms, number

    def came(self, now_ms: int, number: int) -> None:
        """Note that a label has come, before the impression of a number."""
        if now_ms - self.last_ms >= GAP_MS:
            self.gaps.append(now_ms - self.last_ms)
        self.last_ms, self.number = now_ms, number

    def late(self, delays: Sequence[int]) -> None:
        """Note how late labels were that came to something, in milliseconds."""
        before = len(self._late)
        self._undo(lambda: self._late.__delitem__(slice(before, None)))
        self._late += delays

    def keep(self) -> None:
        """Let what was noted stand."""
        late, self._late = self._late, []
        if late:
            self.delays_told += len(late)
            share = len(late) / max(min(self.delays_told, FEW_DELAYS), len(late))
            self.mean_delay_ms += (sum(late) / len(late) - self.mean_delay_ms) * share
        self.delays.extend(late)
