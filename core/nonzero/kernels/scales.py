# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""The scale of real values, learned: what the model takes for a value is the value in units of its field.

AdaGrad's first steps are as large for a bid of 0.003 as for an income of 40,000, and so far too small for the
one and far too large for the other. A model that is to need no tuning divides each value by the root mean
square of its field's values so far:

.. math:: x' = x / \sqrt{S_f / n_f}, \qquad S_f \leftarrow S_f + x^2, \quad n_f \leftarrow n_f + 1

after Ross, Mineiro and Langford ("Normalized Online Learning", UAI 2013), who divide by the largest value so
far (their NG) or, per coordinate, keep its square's sum as well (sNAG). The largest value was tried and is
worse where values have a long tail (``bench/lanes.md``).

A value of exactly 1 mostly says that something is there. Ones are counted on every 64th row only, for 64
each, so that rows of ones cost nothing; a field that has only ones has the scale 1. An example's values are
scaled by what was known before it, so that predicting and learning agree; the first values of a field count
as plus or minus 1. To keep mad values from blinding their field, values are at most 30 times the scale, and
count for at most 4 times the scale where it is learned from.

That bound needs a scale to begin with: a mad value among the first ten is believed. So a field's beginning is
held against what came after it whenever its values have doubled in number: where the mean square of the first
half is more than 256 times that of the second, the first half is forgotten, and the scale is that of the
second. Models of version 1 do without; there such a field stays blind.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import untouched
from nonzero.arithmetic.intrinsics import choose
from nonzero.kernels.tuples import BATCH_ROWS, FLOATS
from nonzero.native import inlined, kernel, outlined, types

FIELDS = 2**16
LARGEST = 30.0  # what a scaled value is at most
BELIEVED = 4.0  # how many times the scale a value counts for at most, where it is learned from
SURE = 10.0  # values after which a scale is trusted to say what a mad value is
NEAR = 0.99 * BELIEVED * BELIEVED  # below this many mean squares a value surely counts for its square
CONTRADICTED = 256.0  # how many mean squares of what came after a field's beginning makes that one forgotten
EARLIEST = 8  # values that a beginning has at least, when it is held against what came after
ONE_IN: Final = 64
AT_ONCE: Final = 64
"""Values of a row that are scaled at once, at most."""
VALUES, ROWS = 0, 1
ONE = np.float32(1.0)
ZERO = np.float32(0.0)
LOW_BITS = np.uint32(FIELDS - 1)


class Scales(NamedTuple):
    """What is known of the scale of each field.

    Parameters
    ----------
    squares
        float64[65536]: the summed squares of a field's values. Values at indices that were given directly
        have the low 16 bits of the index for their field.
    counts
        float64[65536]: how many values these were.
    learned
        int64[2]: how many values other than 1 were learned from, over all fields; how many rows.
    marks
        float64[65536]: the summed squares when the number of a field's values was last a power of two, or
        had just passed one. float64[0] where beginnings are never forgotten.
    """

    squares: NDArray[np.float64]
    counts: NDArray[np.float64]
    learned: NDArray[np.int64]
    marks: NDArray[np.float64]


def new_scales(*, recovering: bool) -> Scales:
    """Return the scales of a model that has seen nothing.

    Parameters
    ----------
    recovering
        Whether a field's beginning is forgotten where later values contradict it.
    """
    squares, counts, marks = untouched.several([(FIELDS,), (FIELDS,), (FIELDS if recovering else 0,)])
    return Scales(squares, counts, np.zeros(2, np.int64), marks)


@inlined
def field(rows, j):
    """The field of position j."""
    named = rows.fields[np.uintp(j & rows.field_mask)]
    return np.uintp(named) if named else np.uintp(rows.indices[np.uintp(j)] & LOW_BITS)


@inlined
def scaled(x, squares, count):
    """A value in units of its field's root mean square, within +-30; plus or minus 1 where that is unknown.

    Without a branch, so that LLVM makes vectors of a loop of it.
    """
    quotient = np.float64(x) / np.sqrt(squares / count)
    quotient = choose(quotient > LARGEST, LARGEST, choose(quotient < -LARGEST, -LARGEST, quotient))
    sign = choose(x > ZERO, ONE, choose(x < ZERO, -ONE, x))
    return choose(count > 0.0, np.float32(quotient), sign)


@inlined
def learn_value(scales, f, x):
    """Count one value towards the scale of its field."""
    square = np.float64(x) * np.float64(x)
    count, squares = scales.counts[f], scales.squares[f]
    # What it counts for at most is divided out only for the few values that come near it.
    if count >= SURE and square * count > NEAR * squares:
        square = min(square, BELIEVED * BELIEVED * squares / count)
    add(scales, f, square, 1.0)


@inlined
def add(scales, f, squares, n):
    """Add the squares of so many values; look back where their number passes a power of two."""
    before = np.int64(scales.counts[f])
    scales.squares[f] += squares
    scales.counts[f] += n
    after = np.int64(scales.counts[f])
    if (before ^ after) > before and scales.marks.size:  # the highest bit is a new one
        look_back(scales, f, before, after)


@outlined
def look_back(scales, f, before, after):
    """Forget a field's values up to the last mark, where those since then contradict them."""
    first = np.int64(1)
    while 2 * first <= before:
        first *= 2
    since = scales.squares[f] - scales.marks[f]
    if first >= EARLIEST and scales.marks[f] * (after - first) > CONTRADICTED * since * first:
        scales.squares[f] = since
        scales.counts[f] = np.float64(after - first)
    scales.marks[f] = scales.squares[f]


@inlined
def learn_row(rows, r, scales):
    """Learn the scale of a row's values; of its ones on every 64th row, for 64 each."""
    scales.learned[ROWS] += 1
    counting = scales.learned[ROWS] % ONE_IN == 0
    if not (counting or rows.value_mask):
        return
    found = 0
    for j in range(rows.indptr[r], rows.indptr[r + 1]):
        x = rows.values[np.uintp(j & rows.value_mask)]
        if x == ONE:
            if counting:
                add(scales, field(rows, j), np.float64(ONE_IN), np.float64(ONE_IN))
        elif x != ZERO:
            learn_value(scales, field(rows, j), x)
            found += 1
    scales.learned[VALUES] += found


@inlined
def scale_row(rows, r, scales, known, out):
    """Scale a row's values, some at a time: first what is known of their fields, then the arithmetic."""
    hi = rows.indptr[r + 1]
    for start in range(rows.indptr[r], hi, AT_ONCE):
        n = min(hi - start, AT_ONCE)
        for k in range(n):
            f = field(rows, start + k)
            known[0, np.uintp(k)] = scales.squares[f]
            known[1, np.uintp(k)] = scales.counts[f]
        if rows.value_mask:
            for k in range(n):
                x = rows.values[np.uintp(start + k)]
                out[np.uintp(start + k)] = scaled(x, known[0, np.uintp(k)], known[1, np.uintp(k)])
        else:
            for k in range(n):
                out[np.uintp(start + k)] = scaled(ONE, known[0, np.uintp(k)], known[1, np.uintp(k)])


SCALES = types.like(new_scales(recovering=True))
WEIGHTS = types.float32.readonly


@kernel(types.void(BATCH_ROWS, WEIGHTS, types.intp, SCALES, types.float64[:, ::1], FLOATS))
def scale(rows, weights, learning, scales, known, out):
    """Scale every value of a batch into float32[nnz]; with `learning`, learn from each row's after it.

    `known` is scratch memory, float64[2, 64]. The importance weights say which rows are learned from.
    """
    for r in range(rows.indptr.size - 1):
        scale_row(rows, r, scales, known, out)
        if learning and weights[r] > ZERO:
            learn_row(rows, r, scales)


@kernel(types.void(BATCH_ROWS, WEIGHTS, SCALES))
def count_ones(rows, weights, scales):
    """Learn from a batch of ones, while every scale is still 1."""
    for r in range(rows.indptr.size - 1):
        if weights[r] > ZERO:
            learn_row(rows, r, scales)
