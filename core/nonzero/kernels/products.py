# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The products of two fields' features, compiled: see :mod:`nonzero.model.interactions`."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.limits import MAX_VALUE
from nonzero.fields.hashing import finish, mix_word, to_index
from nonzero.kernels.tuples import BATCH_ROWS, FLOATS
from nonzero.native import inlined, kernel, types

MAX_NONZEROS: Final = 65_536
"""How many nonzeros an example has at most, products included."""

LARGEST = np.float32(MAX_VALUE)


class ExpandedRows(NamedTuple):
    """Room for the rows of a batch with their products.

    Parameters
    ----------
    ends
        int64[n + 1]: where each row ends; read.
    indices, values, fields
        uint32[nnz], float32[nnz] or a single number where every value is 1, uint16[nnz]: written.
    """

    ends: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    fields: NDArray[np.uint16]


PAIRS = types.uint16[:, ::1]
POSITIONS = types.int64[::1]
EXPANDED = types.NamedTuple((POSITIONS, types.uint32[::1], FLOATS, types.uint16[::1]), ExpandedRows)


@inlined
def mixed_index(left, right):
    """The index of the product of two features."""
    h = mix_word(mix_word(np.uint32(0), np.uint32(left)), np.uint32(right))
    return to_index(finish(h, np.uint32(0), 8))


@kernel(types.uint32(types.uint32, types.uint32))
def product_index(left, right):
    """Return the index of the product of two features, from their indices."""
    return mixed_index(left, right)


@kernel(types.void(BATCH_ROWS, PAIRS, POSITIONS))
def measure(rows, pairs, ends):
    """Write int64[n + 1]: where each row ends with its products."""
    indptr, fields = rows.indptr, rows.fields
    ends[0] = 0
    for r in range(indptr.size - 1):
        lo, hi = indptr[r], indptr[r + 1]
        products = 0
        for q in range(pairs.shape[0]):
            lefts, rights = 0, 0
            for j in range(lo, hi):
                lefts += fields[np.uintp(j)] == pairs[q, 0]
                rights += fields[np.uintp(j)] == pairs[q, 1]
            products += lefts * (lefts - 1) // 2 if pairs[q, 0] == pairs[q, 1] else lefts * rights
        ends[r + 1] = ends[r] + (hi - lo) + min(products, max(MAX_NONZEROS - (hi - lo), 0))


@inlined
def multiply(a, b):
    """The product of two values, within +-1e6."""
    return min(max(a * b, -LARGEST), LARGEST)


@inlined
def copy_row(rows, lo, hi, made, i):
    """Copy a row's own nonzeros to position i; returns the position behind them."""
    for j in range(lo, hi):
        made.indices[np.uintp(i)] = rows.indices[np.uintp(j)]
        made.fields[np.uintp(i)] = rows.fields[np.uintp(j)]
        made.values[np.uintp(i & rows.value_mask)] = rows.values[np.uintp(j & rows.value_mask)]
        i += 1
    return i


@inlined
def gather(rows, lo, hi, field, positions):
    """Write down where a field's nonzeros stand in a row; returns how many they are."""
    found = 0
    for j in range(lo, hi):
        if rows.fields[np.uintp(j)] == field:
            positions[np.uintp(found)] = j
            found += 1
    return found


@kernel(types.void(BATCH_ROWS, PAIRS, EXPANDED, POSITIONS))
def expand(rows, pairs, made, positions):
    """Write the rows with their products; `positions` has room for a row's. Every nonzero has a field."""
    indices, values, fields, mask = rows.indices, rows.values, rows.fields, rows.value_mask
    for r in range(rows.indptr.size - 1):
        lo, hi, end = rows.indptr[r], rows.indptr[r + 1], made.ends[r + 1]
        i = copy_row(rows, lo, hi, made, made.ends[r])
        for q in range(pairs.shape[0]):
            found = gather(rows, lo, hi, pairs[q, 1], positions) if i < end else 0
            first = 0
            for j in range(lo, hi if found else lo):
                if fields[np.uintp(j)] == pairs[q, 0]:
                    first += pairs[q, 0] == pairs[q, 1]  # of one field: only those behind
                    for k in range(first, min(found, first + end - i)):
                        right = positions[np.uintp(k)]
                        made.indices[np.uintp(i)] = mixed_index(
                            indices[np.uintp(j)], indices[np.uintp(right)]
                        )
                        made.fields[np.uintp(i)] = pairs[q, 2]
                        made.values[np.uintp(i & mask)] = multiply(
                            values[np.uintp(j & mask)], values[np.uintp(right & mask)]
                        )
                        i += 1
