"""Nonzero: click-through rates learned while they are served.

Sparse AdaGrad that touches only the coordinates an example names, mixed over eight learning rates so that
none need be chosen.
"""

from nonzero import formats
from nonzero.batch import Batch
from nonzero.errors import (
    BatchError,
    FormatError,
    InputError,
    LineError,
    NonzeroError,
    SettingsError,
    SnapshotError,
)
from nonzero.model import Explanation, LogisticRegression
from nonzero.optimizers import AdaGrad

__all__ = [
    "AdaGrad",
    "Batch",
    "BatchError",
    "Explanation",
    "FormatError",
    "InputError",
    "LineError",
    "LogisticRegression",
    "NonzeroError",
    "SettingsError",
    "SnapshotError",
    "formats",
]
