# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The products of rows that begin alike, compiled: the features that all share are looked through once.

They are those of :mod:`nonzero.kernels.products`, in the same order. A pair is taken after the other for all
rows, where that takes a row after the other: so nothing has to be kept but where one pair's features are.
Candidates mostly have the same fields in the same order. Then what was found in the row before stands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.products import EXPANDED, MAX_NONZEROS, PAIRS, POSITIONS, mixed_index, multiply
from nonzero.kernels.tuples import BATCH_ROWS
from nonzero.native import inlined, kernel, types


class Found(NamedTuple):
    """Room for where features are.

    Parameters
    ----------
    lefts, rights
        int64[longest row]: where a row's features of the first and of the second field stand within it.
    ends
        int64[n]: up to where each row's products are there.
    """

    lefts: NDArray[np.int64]
    rights: NDArray[np.int64]
    ends: NDArray[np.int64]


FOUND = types.NamedUniTuple(POSITIONS, 3, Found)
REPEATS = types.uint8[::1]


@inlined
def count(fields, lo, hi, field):
    """Return how many nonzeros of a field there are."""
    found = 0
    for j in range(lo, hi):
        found += fields[np.uintp(j)] == field
    return found


@inlined
def is_repeated(fields, before, lo, hi):
    """Whether a row has the fields of the one before it, which is as long and starts at `before`."""
    differences = np.uint16(0)
    for j in range(hi - lo):  # without a way out, so that it takes many at a time
        differences |= fields[np.uintp(before + j)] ^ fields[np.uintp(lo + j)]
    return differences == 0


@kernel(types.void(BATCH_ROWS, PAIRS, types.int64, POSITIONS, REPEATS))
def measure_shared(rows, pairs, shared, ends, repeats):
    """Write where each row ends with its products; all begin with `shared` nonzeros.

    Written are int64[n + 1], and uint8[n]: whether a row has the fields of the one before it, in its order.
    """
    indptr, fields = rows.indptr, rows.fields
    n = indptr.size - 1
    ends[:] = 0
    for r in range(n):
        lo, hi = indptr[r], indptr[r + 1]
        repeats[r] = r > 0 and hi - lo == lo - indptr[r - 1]
        if repeats[r]:
            repeats[r] = is_repeated(fields, indptr[r - 1] + shared, lo + shared, hi)
    for q in range(pairs.shape[0]):
        lefts_of_all = count(fields, indptr[0], indptr[0] + shared, pairs[q, 0])
        rights_of_all = count(fields, indptr[0], indptr[0] + shared, pairs[q, 1])
        products = 0
        for r in range(n):
            if not repeats[r]:
                lo, hi = indptr[r] + shared, indptr[r + 1]
                lefts = lefts_of_all + count(fields, lo, hi, pairs[q, 0])
                if pairs[q, 0] == pairs[q, 1]:
                    products = lefts * (lefts - 1) // 2
                else:
                    products = lefts * (rights_of_all + count(fields, lo, hi, pairs[q, 1]))
            ends[r + 1] += products
    for r in range(n):
        size = indptr[r + 1] - indptr[r]
        ends[r + 1] = ends[r] + size + min(ends[r + 1], max(MAX_NONZEROS - size, 0))


@inlined
def copy_columns(rows, lo, hi, made, i):
    """Copy a row's own nonzeros to position i, a column at a time; returns the position behind them."""
    n = hi - lo
    for j in range(n):
        made.indices[np.uintp(i + j)] = rows.indices[np.uintp(lo + j)]
    for j in range(n):
        made.fields[np.uintp(i + j)] = rows.fields[np.uintp(lo + j)]
    if rows.value_mask:
        for j in range(n):
            made.values[np.uintp(i + j)] = rows.values[np.uintp(lo + j)]
    else:
        made.values[0] = rows.values[0]
    return i + n


@inlined
def gather_within(fields, start, lo, hi, field, places, found):
    """Write down where a field's nonzeros stand in the row that starts at `start`; returns how many."""
    for j in range(lo, hi):
        if fields[np.uintp(j)] == field:
            places[np.uintp(found)] = j - start
            found += 1
    return found


@kernel(types.void(BATCH_ROWS, PAIRS, types.int64, EXPANDED, FOUND, REPEATS))
def expand_shared(rows, pairs, shared, made, found, repeats):
    """Write the rows with their products; all begin with the same `shared` nonzeros.

    `repeats` is that of :func:`measure_shared`; before the first row there is none.
    """
    indices, values, fields, mask = rows.indices, rows.values, rows.fields, rows.value_mask
    n = rows.indptr.size - 1
    begin = rows.indptr[0]
    for r in range(n):
        found.ends[r] = copy_columns(rows, rows.indptr[r], rows.indptr[r + 1], made, made.ends[r])
    for q in range(pairs.shape[0]):
        itself = pairs[q, 0] == pairs[q, 1]
        lefts_of_all = gather_within(fields, begin, begin, begin + shared, pairs[q, 0], found.lefts, 0)
        rights_of_all = gather_within(fields, begin, begin, begin + shared, pairs[q, 1], found.rights, 0)
        lefts, rights = lefts_of_all, rights_of_all
        for r in range(n):
            lo, hi, i, end = rows.indptr[r], rows.indptr[r + 1], found.ends[r], made.ends[r + 1]
            if r == 0 or not repeats[r]:
                own = lo + shared
                lefts = gather_within(fields, lo, own, hi, pairs[q, 0], found.lefts, lefts_of_all)
                rights = gather_within(fields, lo, own, hi, pairs[q, 1], found.rights, rights_of_all)
            first = 0
            for t in range(lefts):
                j = lo + found.lefts[np.uintp(t)]
                first += itself  # of one field: only those behind
                for k in range(first, min(rights, first + end - i)):
                    right = lo + found.rights[np.uintp(k)]
                    made.indices[np.uintp(i)] = mixed_index(indices[np.uintp(j)], indices[np.uintp(right)])
                    made.fields[np.uintp(i)] = pairs[q, 2]
                    made.values[np.uintp(i & mask)] = multiply(
                        values[np.uintp(j & mask)], values[np.uintp(right & mask)]
                    )
                    i += 1
            found.ends[r] = i
