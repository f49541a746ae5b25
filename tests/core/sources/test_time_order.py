"""Rows in the order of time, whatever order they come in and however little memory there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from nonzero.sources.scratch import Scratch
from nonzero.sources.time_order import NUMBER, TIME, TimeOrder


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path) as scratch:
        yield scratch
        assert list(tmp_path.iterdir()) == []  # no name is left, not even meanwhile


def ordered(scratch: Scratch, times: Any, buffer: int, parts: int = 60) -> tuple[TimeOrder, Any]:
    order = TimeOrder(scratch, buffer)
    for part in np.array_split(times, parts):
        order.add(pyarrow.table({"text": [f"row {moment}" for moment in part.tolist()]}), part)
    return order, pyarrow.concat_tables(order.rows())


@pytest.mark.parametrize("buffer", [1, 2000, 1 << 20])
@pytest.mark.parametrize("spread", [0, 300, 10**9])
def test_rows_come_in_order_and_equals_as_they_came(scratch: Scratch, buffer: int, spread: int) -> None:
    times = np.arange(3000) // 2 + np.random.default_rng(1).integers(0, spread + 1, 3000)
    order, table = ordered(scratch, times, buffer)
    wanted = np.argsort(times, kind="stable")
    assert order.count == 3000
    assert (table[NUMBER].to_numpy() == wanted).all()
    assert (table[TIME].to_numpy() == times[wanted]).all()
    assert table["text"].to_pylist() == [f"row {moment}" for moment in times[wanted].tolist()]


def test_the_reverse_order_is_merged_by_levels(scratch: Scratch) -> None:
    times = np.arange(300)[::-1].copy()
    _, table = ordered(scratch, times, 1, parts=300)  # 300 runs of one row: more than are merged at once
    assert (table[NUMBER].to_numpy() == np.arange(300)[::-1]).all()


def test_of_no_rows_there_are_none(scratch: Scratch) -> None:
    order = TimeOrder(scratch)
    order.add(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), np.empty(0, np.int64))
    assert list(order.rows()) == []
