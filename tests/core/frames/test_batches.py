"""DataFrames become the same batch by Arrow as row by row."""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.frames.test_rows import same
from nonzero import Batch, BatchError, Schema
from nonzero.frames import batches
from nonzero.frames.batches import batch_of_frame
from nonzero.frames.rows import rows_of
from thoroughly import examples

MOMENT: Final = datetime.datetime(2026, 11, 30, 6, 5, 4, 123456)  # noqa: DTZ001 - as frames hold it
SCHEMAS: Final[list[Any]] = [
    ({}, "infer"),
    ({"a": "category"}, "infer"),
    ({"a": "number"}, "category"),
    ({"b": "ignore"}, "category"),
]

BY_ARROW: Final[dict[str, Any]] = {
    "text": pd.DataFrame({"a": ["x", None, "", "00501"]}),
    "objects of text": pd.DataFrame({"a": pd.Series(["x", None, np.nan, pd.NA], dtype=object)}),
    "objects of integers": pd.DataFrame({"a": pd.Series([7, None, -1, 2**19], dtype=object)}),
    "objects of floats": pd.DataFrame({"a": pd.Series([0.5, None, np.nan, np.float32(0.1)], dtype=object)}),
    "objects of integers and floats": pd.DataFrame({"a": pd.Series([7, 2.5, None], dtype=object)}),
    "objects of truths": pd.DataFrame({"a": pd.Series([True, None, False], dtype=object)}),
    "objects of numpy": pd.DataFrame({"a": pd.Series([np.int64(5), None, np.int64(6)], dtype=object)}),
    "nothing": pd.DataFrame({"a": [None, None]}),
    "integers": pd.DataFrame({"a": [7, -1, 0]}),
    "floats": pd.DataFrame({"a": [0.5, np.nan, -0.0, 1e-7, 1e5]}),
    "float32": pd.DataFrame({"a": np.array([0.1, np.nan], np.float32)}),
    "truths": pd.DataFrame({"a": [True, False]}),
    "nullable integers": pd.DataFrame({"a": pd.array([7, None], "Int64")}),
    "nullable bytes": pd.DataFrame({"a": pd.array([255, None], "UInt8")}),
    "nullable floats": pd.DataFrame({"a": pd.array([0.5, None], "Float64")}),
    "nullable truths": pd.DataFrame({"a": pd.array([True, None], "boolean")}),
    "nullable text": pd.DataFrame({"a": pd.array(["x", None], "string")}),
    "categories of text": pd.DataFrame({"a": pd.Categorical(["x", None, "y", "x"])}),
    "categories of integers": pd.DataFrame({"a": pd.Categorical([7, None, 8, 7])}),
    "categories of floats": pd.DataFrame({"a": pd.Categorical([0.5, None, 8.0])}),
    "by pyarrow": pa.table({"a": ["x", None]}).to_pandas(types_mapper=pd.ArrowDtype),
    "moments": pd.DataFrame({"a": pd.to_datetime(["2026-11-30T01:02:03.000000004", None])}),
    "zones": pd.DataFrame(
        {"a": pd.to_datetime(["2026-11-30T01:02:03", None], utc=True).tz_convert("Asia/Tokyo")}
    ),
    "an index": pd.DataFrame({"a": ["x", "y"]}, index=pd.Index(["i", "j"], name="position")),
    "two indices": pd.DataFrame({"a": ["x", "y"]}, index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)])),
    "a part": pd.DataFrame({"a": ["x", "y", "z"]}).iloc[[2, 0]],
    "polars, text": pl.DataFrame({"a": ["x", None, ""]}),
    "polars, categories": pl.DataFrame({"a": pl.Series(["x", None, "x"], dtype=pl.Categorical)}),
    "polars, an enumeration": pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Enum(["x", "y"]))}),
    "polars, lists": pl.DataFrame({"a": [["x", "y"], None, []]}),
    "polars, small numbers": pl.DataFrame({"a": pl.Series([0.1, None], dtype=pl.Float32)}),
    "polars, moments": pl.DataFrame({"a": [MOMENT, None]}),
    "polars, days": pl.DataFrame({"a": [MOMENT.date(), None]}),
    "polars, times of days": pl.DataFrame({"a": [MOMENT.time(), None]}),
    "polars, bytes": pl.DataFrame({"a": [b"x", None, "ž".encode()]}),
    "pyarrow": pa.table({"a": ["x", None], "b": [1, 2]}),
}

BY_ROWS: Final[dict[str, Any]] = {
    "values of several types": pd.DataFrame({"a": ["x", 7, 2.5, True, None]}),
    "large and small numbers": pd.DataFrame({"a": pd.Series([2**70, 1], dtype=object)}),
    "dates and times": pd.DataFrame({"a": pd.Series([MOMENT.date(), MOMENT], dtype=object)}),
    "decimals in objects": pd.DataFrame({"a": [Decimal("1.50"), None]}),
    "lists in objects": pd.DataFrame({"a": [["x", "y"], None]}),
    "bytes in objects": pd.DataFrame({"a": [b"x", None]}),
    "called like a label": pl.DataFrame({"a": ["x"], "target": [1]}),
    "a timedelta": pd.DataFrame({"a": pd.to_timedelta([1, 2], "h")}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([1.0, 0.0])}),
    "polars, objects": pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Object)}),
    "no columns": pd.DataFrame(),
}


def outcome(read: Any) -> Any:
    try:
        return read()
    except (BatchError, TypeError) as error:
        return f"{type(error).__name__} {error}"


def kinds(schema: Schema) -> dict[str, str]:
    """The fields of which values came, and in which kind."""
    return {name: kind for name, kind in schema.known.kinds_met().items() if kind}


def assert_alike(frame: Any, said: Any, *, in_order: bool = False) -> bool:
    """Assert that a frame is the same both ways; return whether it went by Arrow."""
    ours, theirs = Schema(*said), Schema(*said)
    found = outcome(lambda: batch_of_frame(frame, None, None, ours, in_order=in_order))
    expected = outcome(lambda: Batch.from_dicts(rows_of(frame, in_order=in_order), schema=theirs))
    if not isinstance(found, Batch) or not isinstance(expected, Batch):
        assert found == expected
    else:
        assert same(found, expected)
        assert ours.conflicts.counts() == theirs.conflicts.counts()
        assert kinds(ours) == kinds(theirs)
    return batches._by_arrow(frame, Schema(*said), in_order=in_order) is not None


@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", BY_ARROW)
def test_what_arrow_has_is_what_rows_have(name: str) -> None:
    found = [assert_alike(BY_ARROW[name], said) for said in SCHEMAS]
    assert found[:2] == [True, True]  # a column of texts may be no column of numbers


@pytest.mark.parametrize("name", BY_ROWS)
def test_what_arrow_would_make_something_else_of_is_read_by_rows(name: str) -> None:
    assert [assert_alike(BY_ROWS[name], said) for said in SCHEMAS] == [False] * len(SCHEMAS)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": [0.5, float("nan")]}),
        pl.DataFrame({"a": [1.0, 2e7]}),
        pl.DataFrame({"a": [["x", None]]}),
        pl.DataFrame({"a": [{"b": 1}]}),
        pl.DataFrame({"a": [b"\xff"]}),
        pl.DataFrame({"a": ["0.5", "cheap"]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_of_the_row(frame: Any) -> None:
    for said in SCHEMAS:
        assert_alike(frame, said)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.binary(max_size=2),
    st.sampled_from([pd.NA, pd.NaT, np.nan, np.int8(5), np.float32(0.1), np.bool_(True), np.str_("x")]),
)
COLUMN = st.lists(VALUES, min_size=4, max_size=4)
ALIKE = st.one_of(
    *(
        st.lists(st.none() | one, min_size=4, max_size=4)
        for one in (
            st.booleans(),
            st.integers(-(2**40), 2**40),
            st.floats(width=32),
            st.text(max_size=3),
            st.datetimes(),
        )
    )
)


@settings(max_examples=examples(40))
@given(st.lists(COLUMN | ALIKE, min_size=1, max_size=3), st.sampled_from(SCHEMAS), st.booleans())
def test_any_objects_are_the_same_both_ways(columns: list[Any], said: Any, in_order: bool) -> None:
    named = {name: pd.Series(values, dtype=object) for name, values in zip("bac", columns, strict=False)}
    assert_alike(pd.DataFrame(named), said, in_order=in_order)
    assert_alike(pd.DataFrame(named).infer_objects(), said, in_order=in_order)


def test_labels_and_weights_are_held_to() -> None:
    frame = pl.DataFrame({"a": ["x", "y"]})
    batch = batch_of_frame(frame, [True, False], [2.0, 0.5], Schema())
    assert (batch.labels.tolist(), batch.weights.tolist()) == ([1, 0], [2, 0.5])
    wrong: list[Any] = [([1], None), ([1, 7], None), (None, [1, -1]), (None, [1])]
    for labels, weights in wrong:
        said = outcome(partial(batch_of_frame, frame, labels, weights, Schema()))
        assert isinstance(said, str)
        assert said == outcome(partial(Batch.from_dicts, rows_of(frame), labels, weights))


def test_without_pyarrow_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"a": ["x", "y"]})
    expected = batch_of_frame(frame, None, None, Schema())
    for name in ("pyarrow", "pyarrow.compute"):
        monkeypatch.setitem(sys.modules, name, None)
    assert batches._by_arrow(frame, Schema(), in_order=False) is None
    assert same(batch_of_frame(frame, None, None, Schema()), expected)
