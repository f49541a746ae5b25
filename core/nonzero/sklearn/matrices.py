"""Matrices to rows, whose columns are slots."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from scipy import sparse

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError


def batch_of_matrix(matrix: Any, labels: ArrayLike | None = None, weights: ArrayLike | None = None) -> Batch:
    """Make rows of a matrix: column ``j`` is the slot ``j``, and a zero is no nonzero.

    A matrix is one thing, however it is written down: what is given twice in a row is summed, as scipy does,
    columns are put in order, and explicit zeros are left out.

    Parameters
    ----------
    matrix
        A numpy array of numbers, shape (n, columns), or a scipy.sparse matrix or array in CSR form, which is
        not changed.
    labels, weights
        As for :class:`~nonzero.Batch`.

    Returns
    -------
    Batch
        Of n examples.

    Raises
    ------
    BatchError
        For values that are not finite or beyond 1e6, and for a column that the matrix does not have.

    Examples
    --------
    >>> import numpy as np
    >>> batch = batch_of_matrix(np.array([[0.0, 2.5], [0.0, 0.0]]))
    >>> batch.indptr.tolist(), batch.indices.tolist(), batch.values.tolist()
    ([0, 1, 1], [1], [2.5])
    """
    rows = _in_order(matrix) if sparse.issparse(matrix) else sparse.csr_array(matrix)
    batch = Batch.from_csr(rows, labels, weights)
    if batch.largest_slot >= matrix.shape[1]:
        raise BatchError(
            f"the matrix names column {batch.largest_slot}, and has the columns 0 to {matrix.shape[1] - 1}"
        )
    return batch


def _in_order(matrix: Any) -> Any:
    """Return a CSR matrix with its columns in order, each once in a row, without zeros."""
    if matrix.has_canonical_format and matrix.data.all():
        return matrix
    own = matrix.copy()
    own.sum_duplicates()
    own.eliminate_zeros()
    return own
