"""Arrow: a row of a table is what the same row is as a dict, however the table holds it."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonzero import Batch, BatchError, FormatError, Schema, SettingsError, formats
from nonzero.fields.hashing import index_of
from nonzero.formats import arrow_kernels, arrow_rows
from nonzero.formats.arrow_import import MissingArrowError
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.arrow_values import validity
from thoroughly import examples

CATEGORIES = {"*": "category"}
SCHEMAS = [None, CATEGORIES, {"truth": "category", "whole": "category", "part": "category"}]


def assert_alike(found: Batch, expected: Batch) -> None:
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.explicit_values().tolist() == expected.explicit_values().tolist()
    assert (found.fields is None) == (expected.fields is None)
    if found.fields is not None and expected.fields is not None:
        assert found.fields.tolist() == expected.fields.tolist()
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.weights.tolist() == expected.weights.tolist()


def named(batch: Batch, *names: str) -> bool:
    return bool(batch.indices.tolist() == [index_of(name) for name in names])


# -- held against dicts ------------------------------------------------------------------------------------

TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["", "news", "9", "9.0", "é" * 9, "x" * 300]))
COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXTS),
    "truth": (pa.bool_(), st.booleans()),
    "whole": (pa.int64(), st.one_of(st.integers(-(10**6), 10**6), st.sampled_from([0, 9, -1]))),
    "small": (pa.int8(), st.integers(-128, 127)),
    "part": (pa.float64(), st.one_of(st.floats(-1e6, 1e6), st.sampled_from([9.0, -0.0, 1e-7, 0.1]))),
    "single": (pa.float32(), st.floats(-1e6, 1e6, width=32)),
    "day": (pa.date32(), st.dates()),
    "tags": (pa.list_(pa.string()), st.lists(TEXTS, max_size=3)),
    "nothing": (pa.null(), st.none()),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()}), max_size=12
)


def views(array: Any) -> Any:
    return array.cast(pa.string_view()) if pa.types.is_string(array.type) else array


def wide(array: Any) -> Any:
    return array.cast(pa.large_string()) if pa.types.is_string(array.type) else array


def coded(array: Any) -> Any:
    return (
        array if pa.types.is_null(array.type) or pa.types.is_list(array.type) else array.dictionary_encode()
    )


def shared(array: Any) -> Any:
    """A dictionary with entries that no row has, and one of them null."""
    if not pa.types.is_string(array.type):
        return array
    entries = pa.concat_arrays([pa.array(["never", None] + [f"v{k}" for k in range(99)]), array])
    codes = [None if one is None else k for k, one in enumerate(array.to_pylist(), 101)]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.uint32()), entries)


def null_entries(array: Any) -> Any:
    """A dictionary with null among its values: the codes are all valid."""
    if not pa.types.is_string(array.type):
        return array
    return pa.DictionaryArray.from_arrays(pa.array(range(len(array)), pa.int16()), array)


def runs(array: Any) -> Any:
    return array if pa.types.is_null(array.type) or pa.types.is_list(array.type) else pc.run_end_encode(array)


def list_views(array: Any) -> Any:
    return pa.array(array.to_pylist(), pa.list_view(pa.string())) if pa.types.is_list(array.type) else array


def large_lists(array: Any) -> Any:
    kind = pa.large_list(pa.dictionary(pa.int8(), pa.string()))
    return pa.array(array.to_pylist(), kind) if pa.types.is_list(array.type) else array


HELD: list[Callable[[Any], Any]] = [
    *(lambda array: array, views, wide, coded, shared, null_entries, runs, list_views, large_lists)
]


@settings(max_examples=examples(60))
@given(ROWS, st.sampled_from(HELD), st.integers(0, 3), st.integers(1, 5), st.sampled_from(SCHEMAS))
def test_a_row_is_what_it_is_as_a_dict(
    rows: list[dict[str, Any]], held: Callable[[Any], Any], before: int, chunk: int, said: Any
) -> None:
    rows = [{name: row[name] for name in COLUMNS} for row in rows]
    filler: list[dict[str, Any]] = [dict.fromkeys(COLUMNS)] * before
    arrays = {
        name: held(pa.array([row[name] for row in (*filler, *rows, *filler)], kind))
        for name, (kind, _) in COLUMNS.items()
    }
    table = pa.RecordBatch.from_pydict(arrays).slice(before, len(rows))
    parts = [table.slice(start, chunk) for start in range(0, len(rows), chunk)]
    stream = pa.RecordBatchReader.from_batches(table.schema, parts)
    assert_alike(Batch.from_arrow(stream, schema=said), Batch.from_dicts(rows, schema=said))


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 1000])
def test_blocks_of_any_size_are_the_same_rows(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    rows = [{"a": f"v{k % 5}" if k % 3 else None, "t": ["x"] * (k % 3), "b": k / 2} for k in range(50)]
    monkeypatch.setattr(arrow_rows, "_FEWEST_ROWS", rows_at_once)
    monkeypatch.setattr(arrow_rows, "CELLS_AT_ONCE", 1)
    assert_alike(Batch.from_arrow(pa.Table.from_pylist(rows)), Batch.from_dicts(rows))


def test_a_dictionary_is_hashed_once_a_chunk_and_a_cut_one_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    kernel = arrow_kernels.hash_texts

    def counting(data: Any, offsets: Any, *others: Any) -> None:
        hashed.append(offsets.size - 1)
        kernel(data, offsets, *others)

    monkeypatch.setattr(arrow_kernels, "hash_texts", counting)
    monkeypatch.setattr(arrow_rows, "_FEWEST_ROWS", 10)
    monkeypatch.setattr(arrow_rows, "CELLS_AT_ONCE", 1)
    entries = [f"value {k}" for k in range(40)]
    column = pa.DictionaryArray.from_arrays(pa.array([k % 40 for k in range(1000)]), pa.array(entries))
    expected = Batch.from_dicts([{"a": f"value {k % 40}"} for k in range(1000)])
    assert_alike(Batch.from_arrow(pa.table({"a": column})), expected)
    assert sum(hashed) == 40
    hashed.clear()
    table = pa.table({"a": column}).slice(7, 3)
    assert_alike(Batch.from_arrow(table), expected.rows(7, 10))
    assert sum(hashed) == 3
    hashed.clear()
    again = pa.table({"a": column}).to_batches(max_chunksize=5)  # the second time it is worth it
    assert_alike(Batch.from_arrow(pa.RecordBatchReader.from_batches(again[0].schema, again)), expected)
    assert sum(hashed) == 40 + 5


def test_a_code_that_is_no_entry_is_refused() -> None:
    codes = pa.array([0, 7], pa.int8())
    bad = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]), safe=False)
    with pytest.raises(FormatError, match="column 'x' has a code that is none of the 2 entries"):
        Batch.from_arrow(pa.table({"x": bad}))
    with pytest.raises(FormatError, match="column 'x' has a code that is none of the 2 entries"):
        Batch.from_arrow(
            pa.table({"x": pa.DictionaryArray.from_arrays(codes.slice(1), bad.dictionary, safe=False)})
        )


# -- who hands tables over ---------------------------------------------------------------------------------

FRAME: dict[str, list[Any]] = {"site": ["news", None, "sport"], "bid": [0.5, 2.0, None], "click": [1, 0, 1]}
EXPECTED: list[dict[str, Any]] = [
    {"site": "news", "bid": 0.5},
    {"site": None, "bid": 2.0},
    {"site": "sport", "bid": None},
]


def from_duckdb() -> Any:
    rows = pa.table(FRAME)  # noqa: F841 - DuckDB finds it by its name
    return duckdb.sql("select * from rows")


def from_nanoarrow() -> Any:
    return nanoarrow.ArrayStream(pa.table(FRAME))


@pytest.mark.parametrize(
    "made",
    [
        lambda: pa.table(FRAME),
        lambda: pa.RecordBatch.from_pydict(FRAME),
        lambda: pa.table(FRAME).to_reader(),
        lambda: pd.DataFrame(FRAME),
        lambda: pd.DataFrame(FRAME).astype({"site": "category"}),
        lambda: pd.DataFrame(FRAME).convert_dtypes(dtype_backend="pyarrow"),
        lambda: pl.DataFrame(FRAME),
        lambda: pl.DataFrame(FRAME, schema_overrides={"site": pl.Categorical}),
        lambda: pl.DataFrame(FRAME, schema_overrides={"site": pl.Enum(["sport", "news"])}),
        from_duckdb,
        from_nanoarrow,
        lambda: nanoarrow.Array(pa.RecordBatch.from_pydict(FRAME)),
    ],
)
def test_frames_of_any_library_are_the_same_rows(made: Callable[[], Any]) -> None:
    assert_alike(Batch.from_arrow(made()), Batch.from_dicts(EXPECTED, FRAME["click"]))


def test_pandas_index_without_a_name_is_left_out_and_nan_is_null() -> None:
    frame = pd.DataFrame(FRAME)[::-1]
    expected = Batch.from_dicts(EXPECTED[::-1], FRAME["click"][::-1])
    assert_alike(Batch.from_pandas(frame), expected)
    assert_alike(Batch.from_pandas(frame.set_index("site")[["bid", "click"]].reset_index()), expected)
    said = Batch.from_pandas(pd.DataFrame({"bid": [0.5]}, index=pd.Index(["news"], name="site")))
    assert sorted(said.indices.tolist()) == sorted([index_of("site=news"), index_of("bid")])


def test_polars_nan_is_refused_by_name() -> None:
    frame = pl.DataFrame({"bid": [0.5, math.nan]})
    with pytest.raises(
        BatchError, match=r"row 1: the column 'bid' is nan, not a finite number; make it null"
    ):
        Batch.from_polars(frame)
    assert_alike(Batch.from_polars(frame.fill_nan(None)), Batch.from_dicts([{"bid": 0.5}, {}]))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([{"a": 1}], "a list, which is no stream of Arrow.*dicts go to Batch.from_dicts"),
        (pl.LazyFrame({"a": [1]}), r"collect\(\) first"),
        (pl.Series("a", [1]), "Series cannot be read as a table"),
        (pa.array([1]), "cannot be read as a table"),
        (nanoarrow.Array([1, 2], nanoarrow.int32()), "cannot be read as a table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_way_out(given: Any, reason: str) -> None:
    with pytest.raises(BatchError, match=reason):
        Batch.from_arrow(given)


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.compute", None)
    with pytest.raises(MissingArrowError, match=r"pip install 'nonzero-ctr\[arrow\]'"):
        Batch.from_arrow(pl.DataFrame({"a": [1]}))


# -- values ------------------------------------------------------------------------------------------------


def of(array: Any, said: str | None = None) -> Batch:
    return Batch.from_arrow(pa.table({"x": array}), schema=None if said is None else {"x": said})


def test_nine_is_what_the_schema_says() -> None:
    whole = [
        pa.array([9], kind)
        for kind in (pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.decimal128(5, 2))
    ]
    for array in (*whole, pa.array(["9"])):
        assert named(of(array, "category"), "x=9")
        batch = of(array, "number")
        assert named(batch, "x")
        assert batch.explicit_values().tolist() == [9]
    assert named(of(pa.array(["9.0"]), "category"), "x=9.0")  # text is never rewritten
    assert of(pa.array(["9.0"]), "number").explicit_values().tolist() == [9]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([-(2**63)], pa.int64()), "-9223372036854775808"),
        (pa.array([0.1], pa.float32()), "0.10000000149011612"),
        (pa.array([1e16]), "1e+16"),
        (pa.array([-0.0]), "-0"),
        (pa.array([1e-7]), "0.0000001"),
        (pa.array([True]), "true"),
        (pa.array([decimal.Decimal("1.50")]), "1.5"),
        (pa.array([decimal.Decimal(10) ** 30], pa.decimal256(40, 0)), "1" + 30 * "0"),
        (pa.array([decimal.Decimal("1.25")], pa.decimal32(5, 2)), "1.25"),
        (pa.array([b"news"]), "news"),
        (pa.array([b"news"], pa.binary_view()), "news"),
        (pa.array([b"news"], pa.binary(4)), "news"),
        (pa.array([uuid.UUID(int=7).bytes], pa.uuid()), str(uuid.UUID(int=7))),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([2], pa.int8())), "true"),
        (pa.array([datetime.date(2024, 2, 29)]), "2024-02-29"),
        (pa.array([datetime.date(2024, 2, 29)], pa.date64()), "2024-02-29"),
        (pa.array([0], pa.timestamp("s")), "1970-01-01T00:00:00"),
        (pa.array([1_000_000_001], pa.timestamp("ns")), "1970-01-01T00:00:01.000000001"),
        (pa.array([1_500_000_000], pa.timestamp("ns")), "1970-01-01T00:00:01.500000"),
        (pa.array([-1], pa.timestamp("ns", "UTC")), "1969-12-31T23:59:59.999999999+00:00"),
        (pa.array([0], pa.timestamp("ms", "Europe/Paris")), "1970-01-01T01:00:00+01:00"),
        (pa.array([datetime.time(1, 2)]), "01:02:00"),
    ],
    ids=str,
)
def test_a_category_is_the_text_of_the_value(array: Any, text: str) -> None:
    assert named(of(array, "category"), f"x={text}")
    nulls = (
        pa.concat_arrays([array, array.slice(0, 0), pa.nulls(1, array.type)])
        if not isinstance(array, pa.ExtensionArray)
        else array
    )
    assert named(of(nulls, "category"), f"x={text}")
    if not pa.types.is_float16(array.type) and not isinstance(array, pa.ExtensionArray):
        assert named(of(array.slice(0), "category"), f"x={text}")


def test_moments_are_written_as_pandas_and_python_write_them() -> None:
    moments = [
        pd.Timestamp("2024-03-01T10:20:30.000000123", tz="Asia/Kolkata"),
        pd.Timestamp("2024-03-01T10:20:30", tz="Asia/Kolkata"),
        pd.Timestamp("2024-03-01T10:20:30.5", tz="Asia/Kolkata"),
    ]
    frame = pd.DataFrame({"at": pd.Series(moments).astype("datetime64[ns, Asia/Kolkata]")})
    assert_alike(Batch.from_pandas(frame), Batch.from_dicts([{"at": one} for one in moments]))
    plain = [datetime.datetime(2024, 3, 1, 10, tzinfo=ZoneInfo("Europe/Paris")), None]
    assert_alike(of(pa.array(plain)), Batch.from_dicts([{"x": one} for one in plain]))


def test_numbers_are_what_they_hold() -> None:
    assert of(pa.array([0, 1, None, -5])).explicit_values().tolist() == [1, -5]
    assert of(pa.array([True, False, None])).explicit_values().tolist() == [1]
    assert of(pa.array(["0.5", "1e-3", "0", None]), "number").explicit_values().tolist() == [
        0.5,
        np.float32(1e-3),
    ]
    assert of(pa.array([decimal.Decimal("0.1"), None])).explicit_values().tolist() == [np.float32(0.1)]


def test_lists_are_features_of_one_field_each() -> None:
    tags = [["a", "b"], None, [], ["a", "a"]]
    same = Batch.from_dicts([{"x": one} for one in tags])
    for kind in (pa.list_(pa.string()), pa.large_list(pa.string_view()), pa.list_view(pa.large_string())):
        assert_alike(of(pa.array(tags, kind)), same)
    fixed = pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2))
    assert named(of(fixed), "x=a", "x=b", "x=c", "x=d")
    assert named(of(fixed.slice(1)), "x=c", "x=d")
    numbers = pa.array([[1, 2], [3]])
    assert named(of(numbers, "category"), "x=1", "x=2", "x=3")
    assert named(of(pa.array([[1.5, True]], pa.list_(pa.float64())), "category"), "x=1.5", "x=1")


def test_a_null_list_may_have_elements_that_nobody_sees() -> None:
    offsets, hidden = pa.array([0, 2, 4]), pa.array(["a", "b", "hid", "den"])
    lists = pa.ListArray.from_arrays(offsets, hidden, mask=pa.array([False, True]))
    assert named(of(lists), "x=a", "x=b")


@pytest.mark.parametrize(
    ("array", "said", "reason"),
    [
        (
            pa.array([{"a": 1}]),
            None,
            "column 'x' is of the type struct<.*make columns of its members.*ignore it",
        ),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), None, "map<.*column of each key"),
        (pa.array([[["a"]]]), None, "column 'x' is of the type list<.*flatten the lists in it"),
        (pa.array([1], pa.duration("s")), None, "duration.*cast it to an integer"),
        (pa.array([[1, 2]]), None, "list<.*a list holds texts. Declare the field as a category"),
        (pa.array([["a"]]), "number", "list<.*and a number, says the schema"),
        (
            pa.array([datetime.date(2024, 1, 1)]),
            "number",
            "date32.*and a number, says the schema.*hour of the day",
        ),
        (pa.array([b"\xff\xfe"]), None, "binary, and not all of its bytes are UTF-8"),
        (pa.array([uuid.UUID(int=7).bytes], pa.binary(16)).cast(pa.binary(16)), None, None),
        (
            pa.array([2**62], pa.timestamp("s")),
            None,
            "timestamp.*cannot|timestamp.*not all of it can be written",
        ),
        (
            pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(["{}"])),
            None,
            "extension .arrow.json.*give what it is stored as, string",
        ),
        (
            pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
            None,
            "union.*one column of each of its types",
        ),
    ],
    ids=lambda one: str(one)[:30] if isinstance(one, str) else None,
)
def test_a_type_that_is_no_feature_is_refused_by_name(
    array: Any, said: str | None, reason: str | None
) -> None:
    if reason is None:
        assert len(of(array, said)) == 1  # sixteen bytes that happen to be text
        return
    with pytest.raises(FormatError, match=reason):
        of(array, said)
    assert of(array, "ignore").nnz == 0


@pytest.mark.parametrize(
    ("array", "said", "reason"),
    [
        (pa.array([0.5, 1e7]), None, "row 1: the column 'x': the value '10000000.0' is beyond 1e.06"),
        (
            pa.array([5, 123456789]),
            None,
            "row 1: the column 'x': the value '123456789'.*if it is an id.*category",
        ),
        (pa.array([1, -math.inf]), None, "row 1: the column 'x' is -inf, not a finite number"),
        (pa.array([1, math.nan]), "category", "row 1: the column 'x' is nan, not a finite number"),
        (
            pa.array(["1", "cheap"]),
            "number",
            "row 1: the value of the column 'x' 'cheap' is not a decimal number",
        ),
        (pa.array(["1", ""]), "number", "row 1: the value of the column 'x' '' is not a decimal number"),
        (pa.array([["a"], ["b", None]]), None, "row 1: the column 'x' has a list with null in it"),
        (pa.array([decimal.Decimal(1), decimal.Decimal(10) ** 9]), None, "row 1: .*beyond 1e.06"),
    ],
)
def test_a_value_that_is_no_feature_is_refused_by_row_column_and_value(
    array: Any, said: str | None, reason: str
) -> None:
    for held in (array, coded(array)):
        with pytest.raises(BatchError, match=f"1 rows cannot be read: {reason}"):
            of(held, said)


def test_rows_that_cannot_be_read_are_told_and_the_others_read() -> None:
    table = pa.table({"bid": [0.5, math.nan, 2.0, 1e9], "site": ["a", "b", "c", "d"], "click": [1, 0, 7, 1]})
    rows = ArrowRows(table.schema)
    (parsed,) = rows.read(table.to_batches()[0])
    assert [error.line for error in parsed.errors] == [2, 3, 4]
    assert "7" in parsed.errors[1].reason
    assert parsed.lines.tolist() == [1]
    assert_alike(parsed.batch, Batch.from_dicts([{"bid": 0.5, "site": "a"}], [1]))
    (again,) = rows.read(table.to_batches()[0])
    assert again.lines.tolist() == [5]


def test_zero_bytes_of_validity_are_no_nulls() -> None:
    table = pa.table({"x": [0, 1, 2]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:  # which writes no bytes where there is no null
        stream.write_table(table)
    assert_alike(Batch.from_arrow(pa.ipc.open_stream(sink.getvalue())), Batch.from_arrow(table))
    empty = SimpleNamespace(type=pa.int64(), offset=0, buffers=lambda: [pa.py_buffer(b""), None])
    assert not validity(empty).size


def test_a_text_at_the_very_end_of_its_memory_is_read_within_it() -> None:
    """Texts are hashed eight bytes at a time; behind the last page of a mapping there is nothing."""
    import mmap

    for size in (*range(1, 20), 4095, 4096):
        memory = mmap.mmap(-1, 4096)
        text = b"abcdefgh"[: size % 8 + 1] * 4096
        memory[4096 - size :] = text[:size]
        data = pa.py_buffer(memory).slice(4096 - size)
        half = size // 2
        offsets = pa.py_buffer(np.array([0, half, size], np.int32).tobytes())
        array = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
        expected = [{"x": text[:half].decode()}, {"x": text[half:size].decode()}]
        assert_alike(of(array, "category"), Batch.from_dicts(expected, schema=CATEGORIES))


# -- labels, weights, ids, times ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([1, 0, None, -1]),
        pa.array([1.0, 0.0, math.nan, -1]),
        pa.array([True, False, None, False]),
        pa.array(["1", "0", None, "-1"]),
        pa.array(["true", "False", "", "false"]),
        pa.array(["1", "0", None, "-1"]).dictionary_encode(),
        pa.array([1, 0, None, 0], pa.decimal128(3, 1)),
        pc.run_end_encode(pa.array([1, 0, None, 0])),
    ],
    ids=lambda array: str(array.type),
)
def test_labels_of_any_type(labels: Any) -> None:
    batch = Batch.from_arrow(pa.table({"a": ["x"] * 4, "Clicked": labels}))
    np.testing.assert_array_equal(batch.labels, [1, 0, np.nan, 0])
    assert batch.nnz == 4
    assert_alike(Batch.from_arrow(pa.table({"a": ["x"] * 4, "b": labels}), label="b"), batch)


def test_weights_ids_and_times() -> None:
    table = pa.table(
        {
            "site": ["a", "b", "c"],
            "w": pa.array([2, None, 0.5]),
            "imp": ["imp-1", None, "é"],
            "at": pa.array([1_500, None, 0], pa.timestamp("us")),
        }
    )
    batch = Batch.from_arrow(table, weight="w", id="imp", time="at")
    assert batch.weights.tolist() == [2, 1, 0.5]
    assert list(batch.ids or ()) == ["imp-1", None, "é"]
    assert batch.times is not None
    assert batch.times.tolist() == [1, -1, 0]
    assert batch.nnz == 3


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([5, None]), [5, -1]),
        (pa.array([5, None], pa.timestamp("s", "UTC")), [5000, -1]),
        (pa.array([5, None], pa.date32()), [5 * 86_400_000, -1]),
        (pa.array([5 * 86_400_000, None], pa.date64()), [5 * 86_400_000, -1]),
        (pa.array([5_999_999, None], pa.timestamp("ns")), [5, -1]),
        (pa.array([5, None], pa.timestamp("ms")).dictionary_encode(), [5, -1]),
    ],
    ids=lambda one: str(one.type) if hasattr(one, "type") else None,
)
def test_times_are_milliseconds(times: Any, expected: list[int]) -> None:
    found = Batch.from_arrow(pa.table({"at": times}), time="at").times
    assert found is not None
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["7", None]),
        pa.array([7, None]),
        pa.array(["7", None], pa.string_view()),
        pa.array(["7", None]).dictionary_encode(),
        pa.array([b"7", None]),
        pa.array(["x", "7", None]).slice(1),
    ],
    ids=lambda array: str(array.type),
)
def test_ids_are_text_or_the_digits_of_integers(ids: Any) -> None:
    assert list(Batch.from_arrow(pa.table({"a": ids}), id="a").ids or ()) == ["7", None]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"label": "clik"}, "there is no column 'clik'; there are site, bid, when, id"),
        ({"weight": "site"}, "row 0: the importance weight 'a' is not a decimal number"),
        ({"weight": "when"}, "column 'when' is of the type timestamp.*no weight; give numbers"),
        ({"id": "bid"}, "column 'bid' is of the type double, which is no id"),
        ({"time": "site"}, "column 'site' is of the type string, which is no time; give a timestamp"),
        ({"label": "bid"}, "row 0: the label '-5' is not 1, 0 or -1, nor true or false"),
        ({"weight": "bid"}, "row 0: the importance weight -5.0 is not from 0 to 1e.06"),
        ({"time": "when"}, "row 0: the time -1000 is not a whole number of milliseconds since 1970"),
        ({"id": "id"}, "row 0: the id 'iii.*is longer than 255 characters"),
        ({"label": "bid", "weight": "bid"}, "'bid' is named twice among label, weight, id and time"),
    ],
)
def test_columns_that_are_none_of_what_they_should_be(options: dict[str, str], reason: str) -> None:
    table = pa.table(
        {"site": ["a"], "bid": [-5.0], "when": pa.array([-1], pa.timestamp("s")), "id": ["i" * 256]}
    )
    with pytest.raises((BatchError, FormatError, SettingsError), match=reason):
        Batch.from_arrow(table, **options)  # type: ignore[arg-type]


def test_two_columns_like_labels_and_two_of_one_name_are_refused() -> None:
    with pytest.raises(FormatError, match="'click' and 'target' are called like a label"):
        Batch.from_arrow(pa.table({"click": [1], "target": [1]}))
    with pytest.raises(FormatError, match="two columns 'a'"):
        Batch.from_arrow(pa.Table.from_arrays([pa.array([1]), pa.array([1])], names=["a", "a"]))


def test_tables_without_rows_or_columns() -> None:
    assert len(Batch.from_arrow(pa.table({"a": pa.array([], pa.string())}))) == 0
    assert len(Batch.from_arrow(pa.schema([("a", pa.string())]).empty_table().to_reader())) == 0
    batch = Batch.from_arrow(pa.table({"click": [1, 0]}))
    assert batch.labels.tolist() == [1, 0]
    assert batch.nnz == 0


# -- the schema --------------------------------------------------------------------------------------------


def test_kinds_are_counted_where_they_differ_from_what_came_first() -> None:
    schema = Schema()
    Batch.from_dicts([{"x": "text"}], schema=schema)
    Batch.from_arrow(pa.table({"x": [1, None, 0]}), schema=schema)
    assert schema.conflicts.counts() == {"x": 2}
    said = Schema({"x": "number"})
    with pytest.raises(BatchError):
        Batch.from_arrow(pa.table({"x": ["a", "1", "b"]}), schema=said)
    assert said.conflicts.counts() == {"x": 2}


def test_a_field_that_the_schema_refuses_is_named_and_so_is_the_nearest() -> None:
    said = {"fields": {"site": "category"}, "default": "refuse"}
    with pytest.raises(FormatError, match=r"'sites' is not in the model's schema.*did you mean 'site'"):
        Batch.from_arrow(pa.table({"sites": ["a"]}), schema=said)


@pytest.mark.parametrize("kind", ["category", "number"])
def test_the_rows_of_a_table_are_those_of_delimited_text(kind: str) -> None:
    rows: Sequence[Mapping[str, Any]] = [{"a": 5, "b": "x,y"}, {"a": None, "b": "é"}, {"a": -3, "b": None}]
    text = b'click,a,b\n1,5,"x,y"\n0,,\xc3\xa9\n1,-3,\n'
    said = {"a": kind, "b": "category"}
    table = pa.Table.from_pylist(
        [{"click": label, **row} for row, label in zip(rows, (1, 0, 1), strict=True)]
    )
    assert_alike(Batch.from_arrow(table, schema=said), formats.parse(text, "csv", schema=said, boolean=()))
