# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Where each hyperparameter stands in the array that kernels get: a row, and the left or right half of it.

A lane fills in those of its own rule; the others are 0 there. A new rule's places come after these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import load
from nonzero.compiled import inlined

__all__ = [
    "ADAGRAD",
    "AVERAGED",
    "DAMPING",
    "DECAY",
    "L1",
    "L2",
    "PROXIMAL",
    "RATE",
    "UNDECAYED",
    "Place",
    "hyperparameter",
    "hyperparameters_array",
]

Place: TypeAlias = tuple[int, int]

RATE, DAMPING = (0, 0), (0, 1)
"""The learning rate or FTRL's alpha; epsilon or FTRL's beta."""
DECAY, UNDECAYED = (1, 0), (1, 1)
"""What is left of AdaGrad's accumulator at each touch; 1 for each lane where that is all of it, else 0."""
L1, L2 = (2, 0), (2, 1)
PROXIMAL, AVERAGED = (3, 0), (3, 1)
"""1 for FTRL, and 1 for dual averaging."""
ADAGRAD = (4, 0)
"""1 for AdaGrad."""
ROWS = 5


def hyperparameters_array(lanes: Sequence[Mapping[Place, float]]) -> NDArray[np.float32]:
    """Return float32[5, 2 * lanes]: of each place, and then each lane, the number that stands there."""
    array = np.zeros((ROWS, 2, len(lanes)), np.float32)
    # Where rules are mixed each is worked out for all lanes: with these, AdaGrad's numbers stay finite.
    array[DECAY] = array[UNDECAYED] = 1
    for k, given in enumerate(lanes):
        for (row, half), number in given.items():
            array[row, half, k] = number
    return array.reshape(ROWS, 2 * len(lanes))


@inlined
def hyperparameter(hyperparameters, place):
    """The numbers of every lane that stand at one of these places."""
    return load(hyperparameters, place[0], place[1])
