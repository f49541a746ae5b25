"""A batch as kernels take it."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch

NO_VALUES: Final = np.ones(1, np.float32)
NO_FIELDS: Final = np.zeros(1, np.uint16)

RowsTuple: TypeAlias = tuple[
    NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], int, NDArray[np.uint16], int
]
"""The members of a :class:`~nonzero.kernels.tuples.BatchRows`, in their order.

A kernel takes any tuple of them. A plain one is made in 0.1 microseconds, a named one in 0.3: that would be a
tenth more for predicting one row.
"""


def rows_of(batch: Batch) -> RowsTuple:
    """Return the nonzeros of a batch as kernels take them."""
    values, fields = batch.values, batch.fields
    return (
        batch.indptr,
        batch.indices,
        NO_VALUES if values is None else values,
        0 if values is None else -1,
        NO_FIELDS if fields is None else fields,
        0 if fields is None else -1,
    )
