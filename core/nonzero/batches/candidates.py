"""Candidates over a context that they share: each as the whole example that both make."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.batches.columns import check_size
from nonzero.batches.joining import RowsOf, join_rows
from nonzero.errors import BatchError
from nonzero.fields.hashing import NO_FIELD

ONES: Final = np.ones(1, np.float32)
NO_FIELDS: Final = np.full(1, NO_FIELD, np.uint16)


def joined(shared: Batch, own: Batch) -> Batch:
    """Return each row with the nonzeros that all of them share.

    They are in the order that a JSON example has: names, then slots, of either those
    that are shared first.

    Parameters
    ----------
    shared
        One example, without label, weight and id. Its time is that of each row that has none.
    own
        The candidates. In each the slots that were given directly stand behind its names.

    Returns
    -------
    Batch
        As many examples as there are candidates.

    Raises
    ------
    BatchError
        Where `shared` is not one example, or has what belongs to each candidate.

    Examples
    --------
    >>> shared, own = Batch([0, 2], [1, 2]), Batch([0, 1, 1], [7])
    >>> whole = joined(shared, own)
    >>> whole.indptr.tolist(), whole.indices.tolist()
    ([0, 3, 5], [1, 2, 7, 1, 2])
    """
    check_shared(shared)
    valued = shared.values is not None or own.values is not None
    grouped = shared.fields is not None or own.fields is not None
    made = join_rows(_rows_of(shared), _rows_of(own), valued=valued, grouped=grouped)
    return Batch.trusted(
        made.indptr,
        made.indices,
        made.values if valued else None,
        own.labels,
        own.weights,
        made.fields if grouped else None,
        own.ids,
        _times(shared, own),
        max(shared.largest_slot, own.largest_slot) if len(own) else -1,
        shared.nnz if shared.largest_slot < 0 else 0,
    )


def check_shared(shared: Batch) -> None:
    """Refuse what candidates cannot share.

    Raises
    ------
    BatchError
        Where it is not one example, or has a label, a weight or an id.
    """
    check_size("shared", shared.labels, 1, "context")
    label, weight = float(shared.labels[0]), float(shared.weights[0])
    name = None if shared.ids is None else shared.ids[0]
    for what, value, given in (
        ("a label", label, label == label),
        ("a weight", weight, weight != 1),
        ("an id", name, name is not None),
    ):
        if given:
            raise BatchError(f"what is shared has {what}, {value!r}; give it to each candidate")


def _rows_of(batch: Batch) -> RowsOf:
    values, fields = batch.values, batch.fields
    return RowsOf(
        batch.indptr,
        batch.indices,
        ONES if values is None else values,
        -int(values is not None),
        NO_FIELDS if fields is None else fields,
        -int(fields is not None),
    )


def _times(shared: Batch, own: Batch) -> NDArray[np.int64] | None:
    if shared.times is None or shared.times[0] < 0:
        return own.times
    every = np.full(len(own), shared.times[0], np.int64)
    return every if own.times is None else np.where(own.times < 0, every, own.times)
