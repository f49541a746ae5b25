"""Nonzero: click-through rates learned while they are served.

Sparse AdaGrad that touches only the coordinates an example names, mixed over eight learning rates so that
none need be chosen.
"""

from nonzero import formats
from nonzero.batches.batch import Batch
from nonzero.diagnostics.explanation import Explanation
from nonzero.errors import (
    BatchError,
    FormatError,
    InputError,
    LineError,
    NonzeroError,
    ReadOnlyError,
    SettingsError,
    SnapshotError,
)
from nonzero.fields.conflicts import Conflicts
from nonzero.fields.schema import Schema
from nonzero.kernels.rules.optimizers import FTRL, AdaGrad, DualAveraging
from nonzero.model.logistic_regression import LogisticRegression
from nonzero.sources.store_errors import StoreError

__all__ = [
    "FTRL",
    "AdaGrad",
    "Batch",
    "BatchError",
    "Conflicts",
    "DualAveraging",
    "Explanation",
    "FormatError",
    "InputError",
    "LineError",
    "LogisticRegression",
    "NonzeroError",
    "ReadOnlyError",
    "Schema",
    "SettingsError",
    "SnapshotError",
    "StoreError",
    "formats",
]

__version__ = "0.2.0"
"""The version of both packages; the build reads it here."""
