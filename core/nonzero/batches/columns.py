"""The columns of a batch, each checked where it is made; what is wrong is a :class:`~nonzero.BatchError`."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nonzero.batches.checking import read_labels, read_weights
from nonzero.batches.limits import MAX_INDEX, MAX_VALUE, MAX_WEIGHT
from nonzero.errors import BatchError


def checked_indptr(indptr: ArrayLike) -> NDArray[np.int64]:
    """Return int64[n + 1] that starts with 0 and does not fall."""
    array = np.ascontiguousarray(indptr, np.int64)
    if array.ndim != 1 or not array.size or array[0] != 0:
        raise BatchError("indptr must be one-dimensional and start with 0: it holds where each row starts")
    if array.size > 1 and (np.diff(array) < 0).any():
        row = int(np.flatnonzero(np.diff(array) < 0)[0])
        raise BatchError(
            f"row {row} ends at {array[row + 1]}, before its start at {array[row]}: indptr must not fall"
        )
    return array


def checked_indices(indices: ArrayLike, indptr: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return indices as uint32[nnz], whole numbers up to 2**31."""
    array = np.asarray(indices)
    if array.size and array.dtype.kind not in "iu":
        raise BatchError(f"indices must be whole numbers, not {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() <= MAX_INDEX):  # without a temporary array
        bad = np.flatnonzero((array < 0) | (array > MAX_INDEX))
        raise BatchError(
            f"row {_row_of(int(bad[0]), indptr)}: the index {array[bad[0]]} is not from 0 to 2**31"
        )
    return np.ascontiguousarray(array, np.uint32)


def checked_values(values: ArrayLike, indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return values as float32[nnz], finite and at most 1e6 in magnitude."""
    given = np.asarray(values)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(given, np.float32)
    if array.size and not (array.min() >= -MAX_VALUE and array.max() <= MAX_VALUE):  # NaN is neither
        bad = np.flatnonzero(~(np.abs(array) <= MAX_VALUE))
        raise BatchError(
            f"row {_row_of(int(bad[0]), indptr)}: the value {given.ravel()[bad[0]]} is not a finite number "
            f"of at most {MAX_VALUE:g} in magnitude; scale the feature down"
        )
    return array


def checked_labels(labels: ArrayLike | None, n: int) -> NDArray[np.float32]:
    """Return labels as float32[n] of 0, 1 and NaN (no label); -1 is read as 0, booleans as numbers."""
    if labels is None:
        return np.full(n, np.nan, np.float32)
    array = _floats(labels, "labels").ravel()
    check_size("labels", array, n, "row")
    row = read_labels(array)
    if row >= 0:
        raise BatchError(
            f"row {row}: the label {np.ravel(np.asarray(labels))[row]} is not 0 or 1 (or -1, True, False)"
        )
    return array


def checked_weights(weights: ArrayLike | None, n: int) -> NDArray[np.float32]:
    """Return importance weights as float32[n] from 0 to 1e6; ones where there are none."""
    if weights is None:
        return np.ones(n, np.float32)
    array = _floats(weights, "weights").ravel()
    check_size("weights", array, n, "row")
    row = read_weights(array)
    if row >= 0:
        raise BatchError(f"row {row}: the importance weight {array[row]} is not from 0 to {MAX_WEIGHT:g}")
    return array


def _floats(given: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return numbers as a new array of float32."""
    try:
        return np.array(given, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        way = "; give 0 and 1 (or -1, True, False), such as [label == 'yes' for label in labels]"
        raise BatchError(f"the {name} are no numbers: {error}{way if name == 'labels' else ''}") from error


def _row_of(j: int, indptr: NDArray[np.int64]) -> int:
    """Return the row in which position `j` stands."""
    return int(np.searchsorted(indptr, j, side="right")) - 1


def check_size(name: str, array: NDArray[Any], expected: int, what: str) -> None:
    """Refuse a column of another length."""
    if array.ndim != 1 or array.size != expected:
        raise BatchError(f"{name} has shape {array.shape}; expected ({expected},), one for each {what}")


A = TypeVar("A", bound="NDArray[Any] | None")


def sealed(array: A) -> A:
    """Return a view of a checked column that cannot be written to: what was checked should stay so."""
    if array is None:
        return array
    view: A = array.view()
    view.flags.writeable = False  # type: ignore[union-attr]
    return view
