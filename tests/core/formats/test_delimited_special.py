"""Columns of weights, ids and times in delimited text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import Batch, formats
from nonzero.errors import FormatError, SettingsError
from thoroughly import examples

OPTIONS: dict[str, Any] = {"weight": "w", "id": "impression", "time": "at", "boolean": ()}
HEADER = "impression,click,w,site,at\n"
CELLS = [
    "",
    "0",
    "1",
    "2.5",
    "-1",
    "1e7",
    "nan",
    "a",
    "é",
    '"x,y"',
    '"a""b"',
    "x" * 255,
    "x" * 256,
    "é" * 200,
]


def test_their_columns_are_no_features() -> None:
    text = HEADER + "007,1,2.5,news,1413896709123\n,0,,sport,\n"
    batch = formats.parse(text.encode(), "csv", **OPTIONS)
    assert batch.indices.tolist() == Batch.from_dicts([{"site": "news"}, {"site": "sport"}]).indices.tolist()
    assert list(batch.ids or ()) == ["007", None]
    np.testing.assert_array_equal(batch.weights, [2.5, 1])
    np.testing.assert_array_equal(batch.times, [1413896709123, -1])


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(st.sampled_from(CELLS), st.sampled_from(CELLS), st.sampled_from(CELLS))))
@example([("é", "2", "1413896709123"), ('"q"', '"2"', '"1413896709123"'), ("a", "", "")])
def test_compiled_code_reads_them_as_python_does(rows: list[tuple[str, str, str]]) -> None:
    text = (HEADER + "".join(f"{one},1,{weight},news,{at}\n" for one, weight, at in rows)).encode()
    assert_same(whole(formats.reader("csv", **OPTIONS), text), whole(plain_reader("csv", **OPTIONS), text))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,1,-1,x,\n", "the importance weight '-1' is not from 0 to 1e+06"),
        ("a,1,heavy,x,\n", "the importance weight 'heavy' is not a decimal number"),
        ("a,1,,x,1413896709\n", "the time '1413896709' may be seconds since 1970"),
        (f"{'x' * 256},1,,x,\n", "is longer than 255 characters"),
    ],
)
def test_a_row_whose_weight_id_or_time_cannot_be_read_is_refused(row: str, reason: str) -> None:
    found = whole(formats.reader("csv", **OPTIONS), (HEADER + row + "b,0,,y,\n").encode())
    assert [error.line for error in found.errors] == [2]
    assert reason in found.errors[0].reason
    assert list(found.batch.ids or ()) == ["b"]


def test_they_are_named_once_and_are_there() -> None:
    with pytest.raises(SettingsError, match="'w' is named twice among label, weight, id, numeric and ignore"):
        formats.reader("csv", weight="w", id="w")
    with pytest.raises(FormatError, match="there is no column 'w'; the header has click, site"):
        formats.parse(b"click,site\n1,a\n", "csv", weight="w")
    with pytest.raises(SettingsError, match="'w' is the weight, which is no feature, and the schema says"):
        formats.reader("csv", weight="w", schema={"w": "number"})
    with pytest.raises(SettingsError, match="time_format is given, and no column of times"):
        formats.reader("csv", time_format="s")
    assert formats.parse(b"click,w\n1,2\n", "csv", weight="w", schema={"w": "ignore"}).weights.tolist() == [2]
