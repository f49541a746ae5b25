"""Which rows of an array were touched, and that as blocks and bits."""

from __future__ import annotations

import numpy as np
import pytest

from nonzero.persistence.rows import BLOCKS_AT_ONCE, ArrayRows, Touched


def numbers(touched: Touched) -> list[int]:
    return [int(number) for some in touched.numbers() for number in some]


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000, 70_000])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
@pytest.mark.parametrize(("dtype", "width"), [("f4", 2), ("f4", 16), ("f8", 11)])
def test_rows_that_hold_another_bit_are_touched(n: int, share: float, dtype: str, width: int) -> None:
    rng = np.random.default_rng(n)
    expected = np.flatnonzero(rng.random(n) < share)
    rows = np.zeros((n, width), dtype)
    rows[expected, rng.integers(0, width, expected.size)] = np.where(expected % 2, -0.0, 1)
    touched = Touched.in_rows(rows)
    assert numbers(touched) == expected.tolist()
    assert touched.count == expected.size
    touched.check(n)
    same = Touched.of_numbers(expected.astype(np.uint32))
    np.testing.assert_array_equal(same.blocks, touched.blocks)
    np.testing.assert_array_equal(same.masks, touched.masks)
    if expected.size:
        with pytest.raises(ValueError, match="names row"):
            touched.check(int(expected[-1]))


def test_more_blocks_than_are_gone_through_at_once() -> None:
    expected = np.arange(0, 64 * 3 * BLOCKS_AT_ONCE, 61, dtype=np.uint32)
    assert numbers(Touched.of_numbers(expected)) == expected.tolist()


def test_an_array_that_is_filled_with_ones_is_touched_where_it_is_not() -> None:
    array = np.full(2**16, -1, np.int16)
    assert not Touched.in_rows(array.reshape(-1, 32), -1).count
    array[[0, 31, 32, 65535]] = 0
    assert numbers(ArrayRows(array, -1).touched()) == [0, 1, 2047]


@pytest.mark.parametrize("shape", [(2, 4096), (256, 14), (128, 11), (8192,), (100_000, 4)])
def test_arrays_of_every_shape_are_seen_as_short_rows(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape)
    array.reshape(-1)[[5, -1]] = 3
    rows, into = ArrayRows(array), ArrayRows(np.zeros(shape))
    assert rows.width * 8 <= 128
    assert rows.touched().count == 2
    for some in rows.touched().numbers():
        into.put(some, rows.at(some))
    np.testing.assert_array_equal(into.array, array)
