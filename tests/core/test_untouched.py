"""Memory that is taken when it is touched, and no earlier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from machine import open_files, resident
from nonzero import untouched

SIZE = 1 << 23


Make = Callable[..., Any]
MAKES = pytest.mark.parametrize(
    ("make", "value"), [(untouched.zeros, 0), (untouched.minus_ones, -1)], ids=["zeros", "minus ones"]
)


@MAKES
def test_it_is_filled_and_each_is_its_own(make: Make, value: int) -> None:
    one, other = make((3, 70_000), np.int16), make((3, 70_000), np.int16)
    assert (one.shape, one.dtype, one.flags.c_contiguous) == ((3, 70_000), np.int16, True)
    assert (one == value).all()
    one[:] = 7
    assert (other == value).all()
    assert (one == 7).all()
    assert make(0, np.int16).size == 0


@pytest.mark.parametrize("make", [untouched.zeros, untouched.minus_ones])
def test_it_takes_memory_where_it_is_written_to_and_no_descriptor(make: Make) -> None:
    make(SIZE, np.int16)  # what all of one kind have in common
    files, before = open_files(), resident()
    many = [make(SIZE, np.int16) for _ in range(32)]
    for one in many:
        one[:4096] = 1
    assert resident() - before < 2 * SIZE
    assert open_files() <= files
    many[0][:] = 2
    assert resident() - before > 0.9 * 2 * SIZE
    del many, one
    assert resident() - before < SIZE


def test_several_are_each_its_own_in_one_mapping() -> None:
    one, none, other = untouched.several([(3, 5), (0,), (70_000,)])
    assert [array.shape for array in (one, none, other)] == [(3, 5), (0,), (70_000,)]
    assert one.flags.c_contiguous
    other[:] = 7
    assert not one.any()
    one[:] = 1
    assert (other == 7).all()
    before = resident()
    many = [untouched.several([(1 << 20,), (1 << 20,)]) for _ in range(32)]
    for first, second in many:
        first[0] = second[-1] = 1
    assert resident() - before < 1 << 23
