# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The kernels that tests have of their own; `make kernels` builds them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nonzero.arithmetic import elementary
from nonzero.arithmetic.intrinsics import load, maximum, minimum, root, store, total
from nonzero.fields.lookup import FIELDS, find_field, kind_at
from nonzero.native import inlined, kernel, types
from nonzero.native.lanes import EightLanes

__all__ = [
    "FUNCTIONS",
    "Columns",
    "add_and_divide",
    "at",
    "clear",
    "eight_results",
    "half",
    "halved",
    "kind_of",
    "one_result",
    "shape",
    "times",
]

ONE = types.float32[::1]
EIGHT = types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes)
FUNCTIONS = ("exp", "expm1", "log", "sigmoid", "softplus")
"""Functions of :mod:`nonzero.arithmetic.elementary`, in the order in which they are numbered here."""


class Columns(NamedTuple):
    """Two arrays."""

    numbers: Any
    grid: Any


COLUMNS = types.NamedTuple((types.int16[::1], types.float32[:, ::1]), Columns)


@kernel(types.float64(types.float64[::1], types.int64))
def at(values, i):
    return values[i]


@kernel(types.void(types.uint32[::1]))
def clear(numbers):
    """Set every number to 0."""
    for i in range(numbers.size):
        numbers[i] = 0


@kernel(types.uint32(types.Array(types.uint32, 1, readonly=True), types.uint8))
def times(numbers, factor):
    """Return the sum, so many times."""
    total = np.uint32(0)
    for i in range(numbers.size):
        total += numbers[i]
    return total * np.uint32(factor)


@inlined
def halved(number):
    return number / np.float32(2)


@kernel(types.UniTuple(types.int64, 2)(COLUMNS))
def shape(columns):
    return columns.grid.shape[0] * columns.numbers[0], columns.grid.shape[1]


@kernel(types.float32(types.NamedUniTuple(types.float32[::1], 2, Columns)))
def half(columns):
    return halved(columns.numbers[0] + columns.grid[0])


@inlined
def result(function, x):
    if function == 0:
        return elementary.exp(x)
    if function == 1:
        return elementary.expm1(x)
    if function == 2:
        return elementary.log(x)
    if function == 3:
        return elementary.sigmoid(x)
    return elementary.softplus(x)


@kernel(types.void(types.int64, ONE, ONE))
def one_result(function, x, out):
    for i in range(x.size):
        out[i] = result(function, x[i])


@kernel(types.void(types.int64, EIGHT, EIGHT))
def eight_results(function, x, out):
    for i in range(x.rows.shape[0]):
        for half in range(2):
            store(out, i, half, result(function, load(x, i, half)))


@kernel(types.float32(EIGHT, EIGHT))
def add_and_divide(x, out):
    a, b = load(x, 0, 0), load(x, 0, 1)
    store(out, 0, 0, (a + b) * b - a / b)
    store(out, 0, 1, minimum(a, b) + maximum(a, b) * root(b))
    store(out, 1, 0, (np.float32(2) - a) / np.float32(3) + np.float32(1) / b)
    return total(a)


@kernel(types.int64(FIELDS, types.uint8.readonly))
def kind_of(table, padded):
    length = padded.size - 8
    where = find_field(table, padded, 0, length)
    return np.int64(kind_at(table, where, padded, 0, length)) + 256 * (where != 0)
