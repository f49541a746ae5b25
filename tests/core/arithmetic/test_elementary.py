"""Our own exp, log and kin: accurate against float64, and the same bits for one number and for eight."""

from typing import Any

import numpy as np
import pytest

from kernels import FUNCTIONS, add_and_divide, eight_results, one_result
from nonzero.native.lanes import EightLanes
from nonzero.persistence.pages import allocate

RNG = np.random.default_rng(0)
ANY = np.concatenate(
    [RNG.uniform(-50, 50, 8000), RNG.normal(0, 1, 4000), RNG.normal(0, 1e-5, 3984), [0, 50, -50] + [1] * 13]
)
POSITIVE = np.concatenate([np.exp(RNG.uniform(-80, 80, 8000)), 1 + RNG.normal(0, 1e-4, 8000)])


@pytest.mark.parametrize(
    ("function", "exact", "inputs"),
    [
        ("exp", np.exp, ANY),
        ("expm1", np.expm1, ANY),
        ("log", np.log, POSITIVE),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), ANY),
        ("softplus", lambda x: np.logaddexp(0, x), ANY),
    ],
    ids=FUNCTIONS,
)
def test_accuracy_and_equal_bits(function: str, exact: Any, inputs: Any) -> None:
    number = FUNCTIONS.index(function)
    x = inputs.astype(np.float32)
    out = np.empty_like(x)
    one_result(number, x, out)
    want = exact(x.astype(np.float64))
    np.testing.assert_allclose(out, want, rtol=2e-7)
    rows, results = allocate(x.size // 16, 16), allocate(x.size // 16, 16)
    rows[:] = x.reshape(rows.shape)
    eight_results(number, EightLanes(rows), EightLanes(results))
    np.testing.assert_array_equal(results.ravel(), out)


def test_arithmetic_is_that_of_float32_lane_by_lane() -> None:
    x, out = allocate(1, 16), allocate(2, 16)
    x[0] = RNG.uniform(0.1, 10, 16)
    a, b = x[0, :8], x[0, 8:]
    summed = add_and_divide(EightLanes(x), EightLanes(out))
    np.testing.assert_array_equal(out[0, :8], (a + b) * b - a / b)
    np.testing.assert_array_equal(out[0, 8:], np.minimum(a, b) + np.maximum(a, b) * np.sqrt(b))
    np.testing.assert_array_equal(out[1, :8], (np.float32(2) - a) / np.float32(3) + np.float32(1) / b)
    pairs = a[::2] + a[1::2]
    assert summed == np.float32((pairs[0] + pairs[1]) + (pairs[2] + pairs[3]))
