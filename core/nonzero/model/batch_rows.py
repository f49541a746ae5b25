"""A batch as kernels take it."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.batches.batch import Batch
from nonzero.kernels.tuples import BatchRows

__all__ = ["NO_FIELDS", "NO_VALUES", "rows_of"]

NO_VALUES: Final = np.ones(1, np.float32)
NO_FIELDS: Final = np.zeros(1, np.uint16)


def rows_of(batch: Batch) -> BatchRows:
    """Return the nonzeros of a batch as kernels take them."""
    values, value_mask = (NO_VALUES, 0) if batch.values is None else (batch.values, -1)
    fields, field_mask = (NO_FIELDS, 0) if batch.fields is None else (batch.fields, -1)
    return BatchRows(batch.indptr, batch.indices, values, value_mask, fields, field_mask)
