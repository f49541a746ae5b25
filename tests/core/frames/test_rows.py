"""DataFrames become the rows that mappings are."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from nonzero import Batch, BatchError, LogisticRegression, Schema, formats
from nonzero.frames.rows import ROWS, is_frame, rows_of

SAID = {"site": "category", "ad": "category", "bid": "number", "*_id": "ignore"}
COLUMNS: dict[str, list[Any]] = {
    "site": ["news", "00501", None, ""],
    "ad": [7, 8, 9, 7],
    "new": [True, False, True, True],
    "bid": [0.5, 2.0, None, -1.0],
    "request_id": ["a", "b", "c", "d"],
}
ROWS_GIVEN = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]
FRAMES = {"pandas": pd.DataFrame(COLUMNS), "polars": pl.DataFrame(COLUMNS)}


def same(one: Batch, other: Batch) -> bool:
    return (
        one.indptr.tolist() == other.indptr.tolist()
        and one.indices.tolist() == other.indices.tolist()
        and one.explicit_values().tolist() == other.explicit_values().tolist()
        and np.array_equal(one.fields, other.fields)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", FRAMES)
def test_rows_are_mappings_in_the_order_of_columns(kind: str) -> None:
    found = list(rows_of(FRAMES[kind]))
    assert found == ROWS_GIVEN
    assert [*found[0]] == [*COLUMNS]
    assert [*next(rows_of(FRAMES[kind], in_order=True))] == sorted(COLUMNS)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_is_the_same_batch_as_a_table_and_as_json(kind: str) -> None:
    schema = Schema(SAID | {"new": "category"})
    batch = Batch.from_dicts(rows_of(FRAMES[kind]), schema=schema)
    table = (
        b'site,ad,new,bid,request_id\nnews,7,true,0.5,a\n"00501",8,false,2.0,b\n,9,true,,c\n,7,true,-1.0,d\n'
    )
    assert same(batch, formats.parse(b"click," + table.replace(b"\n", b"\n1,")[:-2], "csv", schema=schema))
    assert same(batch, Batch.from_dicts(ROWS_GIVEN, schema=schema))


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, None], dtype="Int64"),
        pd.array([1.0, None], dtype="Float64"),
        pd.array(["x", None], dtype="string"),
        pd.array([True, None], dtype="boolean"),
        pd.Categorical(["x", None]),
        pd.to_datetime(["2026-11-30T01:02:03", None]),
        np.array([1.0, np.nan]),
        np.array(["x", None], object),
        pl.Series([1, None]),
        pl.Series(["x", None], dtype=pl.Categorical),
        pl.Series([["x", "y"], None]),
    ],
    ids=lambda column: f"{type(column).__name__} {column.dtype}",
)
def test_what_is_missing_is_none(column: Any) -> None:
    frame = pl.DataFrame({"a": column}) if isinstance(column, pl.Series) else pd.DataFrame({"a": column})
    present, missing = rows_of(frame)
    assert present["a"] is not None
    assert missing == {"a": None}


def test_nan_is_missing_in_pandas_and_refused_in_polars() -> None:
    values = {"a": [0.5, float("nan")]}
    assert Batch.from_dicts(rows_of(pd.DataFrame(values))).indptr.tolist() == [0, 1, 1]
    with pytest.raises(BatchError, match=r"row 1: the feature 'a' is nan"):
        Batch.from_dicts(rows_of(pl.DataFrame(values)))


def test_what_columns_hold_is_read_as_python_values_are() -> None:
    moment = datetime.datetime(2026, 11, 30, 1, 2, 3)  # noqa: DTZ001 - as frames hold it
    frames = [
        pd.DataFrame(
            {"at": [moment], "tags": [["a", "b"]], "c": pd.Categorical([7]), "f": np.array([0.1], np.float32)}
        ),
        pl.DataFrame(
            {"at": [moment], "tags": [["a", "b"]], "c": [7], "f": pl.Series([0.1], dtype=pl.Float32)}
        ),
    ]
    schema = Schema({"c": "category"})
    expected = Batch.from_dicts(
        [{"at": "2026-11-30T01:02:03", "tags": ["a", "b"], "c": "7", "f": np.float32(0.1)}], schema=schema
    )
    for frame in frames:
        assert same(Batch.from_dicts(rows_of(frame), schema=schema), expected)


def test_rows_come_in_pieces() -> None:
    n = 2 * ROWS + 1
    frame = pd.DataFrame({"a": np.arange(n)}, index=np.arange(n)[::-1])
    assert [row["a"] for row in rows_of(frame)] == list(range(n))
    assert [*rows_of(frame[:0])] == []


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(BatchError, match=r"two columns have one name.*'a' 2 times"):
        next(rows_of(pd.DataFrame([[1, 2]], columns=["a", "a"])))


def test_what_is_a_frame() -> None:
    assert all(map(is_frame, FRAMES.values()))
    for other in (pl.DataFrame({"a": [1]}).lazy(), np.zeros((1, 1)), [{"a": 1}], None, pd.Series([1])):
        assert not is_frame(other)


def test_a_value_that_is_no_feature_is_named() -> None:
    frame = pd.DataFrame({"bid": [0.5, "cheap"]})
    with pytest.raises(BatchError, match=r"row 1: .*'bid'.*'cheap'"):
        Batch.from_dicts(rows_of(frame), schema=LogisticRegression(schema=SAID).schema)
