# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Where each hyperparameter stands in the array that kernels get: a row, and the left or right half of it.

The array is float32[4, 2 * lanes]. A lane fills in the places of its own rule; the others are 0 there, and
``DECAY`` is 1. A new rule's places come after these.
"""

from __future__ import annotations

from typing import Final, TypeAlias

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
    "ROWS",
    "Place",
    "hyperparameter",
]

Place: TypeAlias = tuple[int, int]

RATE, DAMPING = (0, 0), (0, 1)
"""The learning rate or FTRL's alpha; epsilon or FTRL's beta. The diagnosis reads AdaGrad's from here too."""
DECAY, ADAGRAD = (1, 0), (1, 1)
"""What is left of AdaGrad's accumulator at each touch; 1 for a lane of AdaGrad."""
L1, L2 = (2, 0), (2, 1)
PROXIMAL, AVERAGED = (3, 0), (3, 1)
"""1 for a lane of FTRL; 1 for one of dual averaging."""
ROWS: Final = 4


@inlined
def hyperparameter(hyperparameters, place):
    """The numbers of every lane that stand at one of these places."""
    return load(hyperparameters, place[0], place[1])
