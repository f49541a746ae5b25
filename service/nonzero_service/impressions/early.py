"""Labels that came without an impression, remembered to notice that their impression came after them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

REMEMBERED: Final = 1 << 16
"""So many of them; then the oldest is forgotten."""


class EarlyLabels:
    """The hashes of the ids of such labels."""

    def __init__(self) -> None:
        self._hashes: dict[int, None] = {}

    def remember(self, hashes: NDArray[np.uint64]) -> None:
        """Add some."""
        self._hashes.update(dict.fromkeys(hashes.tolist()))
        while len(self._hashes) > REMEMBERED:
            del self._hashes[next(iter(self._hashes))]

    def take(self, hashes: NDArray[np.uint64]) -> int:
        """Forget those whose impression has come; return how many."""
        if not self._hashes:
            return 0
        came = self._hashes.keys() & set(hashes.tolist())  # an id may stand twice in a request
        for h in came:
            del self._hashes[h]
        return len(came)
