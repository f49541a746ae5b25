"""Our own exp, log and kin: accurate against float64, and the same bits for one number and for eight."""

from typing import Any

import numpy as np
import pytest

from nonzero.arithmetic import elementary
from nonzero.arithmetic.intrinsics import load, maximum, minimum, root, store, total
from nonzero.compiled import kernel, types
from nonzero.compiled.lanes import EightLanes
from nonzero.persistence.pages import allocate

ONE = types.float32[::1]
EIGHT = types.NamedUniTuple(types.float32[:, ::1], 1, EightLanes)
RNG = np.random.default_rng(0)
ANY = np.concatenate(
    [RNG.uniform(-50, 50, 8000), RNG.normal(0, 1, 4000), RNG.normal(0, 1e-5, 3984), [0, 50, -50] + [1] * 13]
)
POSITIVE = np.concatenate([np.exp(RNG.uniform(-80, 80, 8000)), 1 + RNG.normal(0, 1e-4, 8000)])


def compiled_for_both(function: Any) -> Any:
    @kernel(types.void(ONE, ONE))
    def one(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    @kernel(types.void(EIGHT, EIGHT))
    def eight(x: Any, out: Any) -> None:
        for i in range(x.rows.shape[0]):
            for half in range(2):
                store(out, i, half, function(load(x, i, half)))

    return one, eight


@pytest.mark.parametrize(
    ("function", "exact", "inputs"),
    [
        (elementary.exp, np.exp, ANY),
        (elementary.expm1, np.expm1, ANY),
        (elementary.log, np.log, POSITIVE),
        (elementary.sigmoid, lambda x: 1 / (1 + np.exp(-x)), ANY),
        (elementary.softplus, lambda x: np.logaddexp(0, x), ANY),
    ],
    ids=["exp", "expm1", "log", "sigmoid", "softplus"],
)
def test_accuracy_and_equal_bits(function: Any, exact: Any, inputs: Any) -> None:
    one, eight = compiled_for_both(function)
    x = inputs.astype(np.float32)
    out = np.empty_like(x)
    one(x, out)
    want = exact(x.astype(np.float64))
    np.testing.assert_allclose(out, want, rtol=2e-7)
    rows, results = allocate(x.size // 16, 16), allocate(x.size // 16, 16)
    rows[:] = x.reshape(rows.shape)
    eight(EightLanes(rows), EightLanes(results))
    np.testing.assert_array_equal(results.ravel(), out)


def test_arithmetic_is_that_of_float32_lane_by_lane() -> None:
    @kernel(types.float32(EIGHT, EIGHT))
    def run(x: Any, out: Any) -> Any:
        a, b = load(x, 0, 0), load(x, 0, 1)
        store(out, 0, 0, (a + b) * b - a / b)
        store(out, 0, 1, minimum(a, b) + maximum(a, b) * root(b))
        store(out, 1, 0, (np.float32(2) - a) / np.float32(3) + np.float32(1) / b)
        return total(a)

    x, out = allocate(1, 16), allocate(2, 16)
    x[0] = RNG.uniform(0.1, 10, 16)
    a, b = x[0, :8], x[0, 8:]
    summed = run(EightLanes(x), EightLanes(out))
    np.testing.assert_array_equal(out[0, :8], (a + b) * b - a / b)
    np.testing.assert_array_equal(out[0, 8:], np.minimum(a, b) + np.maximum(a, b) * np.sqrt(b))
    np.testing.assert_array_equal(out[1, :8], (np.float32(2) - a) / np.float32(3) + np.float32(1) / b)
    pairs = a[::2] + a[1::2]
    assert summed == np.float32((pairs[0] + pairs[1]) + (pairs[2] + pairs[3]))
