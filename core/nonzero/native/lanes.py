"""How kernels hold rows of a table: of one learner, or of eight side by side."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

STACK_ROWS: Final = 20
STACK_EXAMPLES: Final = 64
"""What a kernel takes from its stack holds so many rows, each of a number a lane of so many examples."""


class OneLane(NamedTuple):
    """Rows of one learner: float32[n, 2], a weight and its accumulator."""

    rows: NDArray[np.float32]


class EightLanes(NamedTuple):
    """Rows of eight learners: float32[n, 16] aligned to 64 bytes, the weights, then the accumulators."""

    rows: NDArray[np.float32]
