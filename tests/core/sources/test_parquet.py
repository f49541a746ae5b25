"""Parquet: columns looked up as a whole are the rows that record batches make, however they are written."""

from __future__ import annotations

import decimal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.errors import FormatError
from nonzero.formats import arrow_cells, arrow_rows
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.parsed import Parsed
from nonzero.sources import parquet
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.files import Source
from nonzero.sources.parquet import Parquet
from nonzero.sources.pipeline import at_once

N = 2500
RNG = np.random.default_rng(5)


def some_null(values: Any, kind: pa.DataType, share: float = 0.3) -> pa.Array:
    """Return an array some of whose values are null, for a while in a row."""
    away = np.repeat(RNG.random(N // 5) < share, 5) & (RNG.random(N) < 0.9)
    return pa.array(values, kind, mask=away)


def integers(low: int, high: int) -> NDArray[Any]:
    return RNG.integers(low, high, N)


TABLE = pa.table(
    {
        "site": [f"site {k}" for k in RNG.zipf(1.3, N) % 400],
        "ad": some_null([f"é{k}" * (k % 7) for k in integers(0, 90)], pa.string()),
        "once": [f"{k:x}" * 3 for k in range(N)],
        "new": some_null(RNG.random(N) < 0.5, pa.bool_()),
        "said": [("True", "False", "true")[k] for k in integers(0, 3)],
        "small": some_null(integers(-100, 100), pa.int8()),
        "byte": pa.array(integers(0, 255), pa.uint8()),
        "wide": pa.array(integers(0, 2**32 - 1), pa.uint32()),
        "huge": pa.array([2**64 - 1 - int(k) for k in integers(0, 5)], pa.uint64()),
        "count": some_null(integers(-(10**5), 10**5), pa.int64()),
        "rate": pa.array(np.round(RNG.random(N), 2).astype(np.float32)),
        "price": some_null(RNG.choice([0.0, -0.0, 0.5, 1e9, np.nan, np.inf, 1e-7], N), pa.float64()),
        "text": some_null([("0.5", "12", "x", "")[k] for k in integers(0, 4)], pa.string()),
        "nothing": some_null([""] * N, pa.string(), 1.0),
        "click": some_null([("1", "0", "-1", "maybe", "")[k] for k in integers(0, 5)], pa.string(), 0.1),
    }
)
REQUIRED = pa.schema([field.with_nullable(TABLE[field.name].null_count > 0) for field in TABLE.schema])
NUMBERS = {"small", "byte", "wide", "count", "rate", "price", "text", "new"}
OPTIONS: dict[str, dict[str, Any]] = {
    "schema": {"*": "category"},
    "numbers": {"*": "category"} | dict.fromkeys(NUMBERS, "number"),
    "some": {"*": "ignore", "ad": "category", "price": "category"},
}

WRITTEN: dict[str, dict[str, Any]] = {
    "usual": {},
    "groups": {"row_group_size": 700},
    "small pages": {"data_page_size": 500, "write_batch_size": 64},
    "second kind": {"data_page_version": "2.0", "compression": "zstd"},
    "second kind, small": {"data_page_version": "2.0", "data_page_size": 900, "write_batch_size": 50},
    "second kind, plain": {"data_page_version": "2.0", "compression": "none", "use_dictionary": False},
    "unpacked": {"compression": "none"},
    "gzip": {"compression": "gzip"},
    "plain": {"use_dictionary": False},
    "dictionaries that are too large": {"dictionary_pagesize_limit": 300, "write_batch_size": 100},
    "oldest": {"version": "1.0", "store_schema": False},
    "brotli": {"compression": "brotli"},
    "statistics of everything": {"write_statistics": True, "write_page_index": True},
}


def in_batches(path: Path, **options: Any) -> list[Parsed]:
    with pq.ParquetFile(path) as file:
        rows = ArrowRows(file.schema_arrow, judged=True, **options)
        return [part for batch in file.iter_batches(1000, columns=rows.columns) for part in rows.read(batch)]


def read(path: Path, **options: Any) -> list[Parsed]:
    return list(ColumnarReader(ColumnarFile(Source(path), "parquet"), **options).examples())


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that are read in parts from now on."""
    groups: list[int] = []
    batches = Parquet.batches

    def noted(self: Parquet, group: int, columns: Any) -> Any:
        groups.append(group)
        return batches(self, group, columns)

    monkeypatch.setattr(Parquet, "batches", noted)
    return groups


def told(parts: list[Parsed]) -> dict[str, Any]:
    """Return all that was read, as lists that can be compared."""
    batches = [part.batch for part in parts]
    return {
        "rows": np.concatenate([np.diff(batch.indptr) for batch in batches]).tolist(),
        "indices": np.concatenate([batch.indices for batch in batches]).tolist(),
        "values": np.concatenate([batch.explicit_values() for batch in batches]).tolist(),
        "fields": []
        if all(b.fields is None for b in batches)
        else np.concatenate([batch.fields for batch in batches if batch.fields is not None]).tolist(),
        "labels": np.nan_to_num(np.concatenate([batch.labels for batch in batches]), nan=-1).tolist(),
        "lines": np.concatenate([part.lines for part in parts]).tolist(),
        "errors": [error for part in parts for error in part.errors],
        "read": sum(part.lines_read for part in parts),
    }


@pytest.mark.sampled(13)
@pytest.mark.parametrize("said", OPTIONS)
@pytest.mark.parametrize("kind", WRITTEN)
def test_rows_are_those_of_record_batches(tmp_path: Path, in_parts: list[int], kind: str, said: str) -> None:
    path = tmp_path / "t.parquet"
    table = TABLE.cast(REQUIRED) if kind in ("groups", "second kind, plain") else TABLE
    pq.write_table(table, path, **WRITTEN[kind])
    options = {"schema": OPTIONS[said], "label": "click", "boolean": ["said"]}
    found = told(read(path, **options))
    assert found == told(in_batches(path, **options))
    assert found["read"] == N
    assert (said == "some") or len(found["errors"]) > 100
    assert in_parts == []


def test_columns_are_looked_up_and_made_rows_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=1100)
    options = {"schema": {"*": "category"}, "label": "click"}
    expected = told(in_batches(tmp_path / "t.parquet", **options))
    monkeypatch.setattr(arrow_rows, "_FEWEST_ROWS", 70)
    monkeypatch.setattr(arrow_rows, "CELLS_AT_ONCE", 1)
    monkeypatch.setattr(arrow_cells, "_ROWS_LOOKED_UP", 90)
    parts = read(tmp_path / "t.parquet", **options)
    assert len(parts) == 2 * 16 + 5
    assert told(parts) == expected


@pytest.mark.parametrize("limit", ["MOST_CELLS", "MOST_BYTES"])
def test_a_large_row_group_is_read_in_parts(
    tmp_path: Path, in_parts: list[int], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=1500)
    options = {"schema": {"*": "category"}, "label": "click"}
    found = told(read(tmp_path / "t.parquet", **options))
    assert in_parts == []
    size = Parquet(Source(tmp_path / "t.parquet")).sizes[0]
    monkeypatch.setattr(parquet, limit, size - 1 if limit == "MOST_BYTES" else 1500 * 15 - 1)
    assert told(read(tmp_path / "t.parquet", **options)) == found
    assert in_parts == [0]


def test_where_much_is_wrong_a_row_group_is_read_in_parts(
    tmp_path: Path, in_parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    options = {"schema": {"*": "ignore", "text": "number", "site": "category"}, "label": "click"}
    found = told(read(tmp_path / "t.parquet", **options))
    assert in_parts == []
    assert len(found["errors"]) > 500
    monkeypatch.setattr(arrow_rows, "_MOST_WRONG", 500)
    assert told(read(tmp_path / "t.parquet", **options)) == found
    assert in_parts == [0]


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_texts_written_by_what_differs_are_read_in_parts(
    tmp_path: Path, in_parts: list[int], encoding: str
) -> None:
    table = TABLE.select(["site", "once", "click"])
    encodings = {"site": encoding, "once": encoding}
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=["click"], column_encoding=encodings)
    options = {"schema": {"*": "category"}, "label": "click"}
    assert told(read(tmp_path / "t.parquet", **options)) == told(
        in_batches(tmp_path / "t.parquet", **options)
    )
    assert in_parts == [0]


def test_lists_are_read_in_parts(tmp_path: Path, in_parts: list[int]) -> None:
    tags = pa.array([[f"tag {k}" for k in range(row % 4)] for row in range(N)])
    table = TABLE.select(["site", "click"]).append_column("tags", tags)
    pq.write_table(table, tmp_path / "t.parquet")
    options = {"schema": {"*": "category"}, "label": "click"}
    assert told(read(tmp_path / "t.parquet", **options)) == told(
        in_batches(tmp_path / "t.parquet", **options)
    )
    assert in_parts == [0]


@pytest.mark.parametrize("positive", ["maybe", "1"])
def test_a_label_that_is_a_click(tmp_path: Path, positive: str) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    options = {"schema": {"*": "ignore", "site": "category"}, "label": "click", "positive": positive}
    found = told(read(tmp_path / "t.parquet", **options))
    assert found == told(in_batches(tmp_path / "t.parquet", **options))
    assert set(found["labels"]) == {0, 1}


@pytest.mark.parametrize("kind", ["count", "rate", "new", "said"])
def test_labels_of_any_type(tmp_path: Path, kind: str) -> None:
    given = {"count": integers(0, 2), "rate": integers(0, 2) * 1.0, "new": integers(0, 2) == 1}
    table = pa.table({"a": TABLE["site"], "y": given.get(kind, TABLE["said"])})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=kind != "count")
    found = told(read(tmp_path / "t.parquet"))
    assert found == told(in_batches(tmp_path / "t.parquet"))
    assert set(found["labels"]) == {0, 1}
    asked = {"labels": False, "label": "y"}
    unlabelled = told(read(tmp_path / "t.parquet", **asked))
    assert unlabelled == told(in_batches(tmp_path / "t.parquet", **asked))
    assert set(unlabelled["labels"]) == {-1}


TYPES: dict[str, Any] = {
    "moments": pa.array([1, None], pa.timestamp("ms")),
    "dates": pa.array([1, None], pa.date32()),
    "decimals": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(5, 1)),
    "bytes": pa.array([b"a", None], pa.binary()),
    "halves": pa.array([np.float16(1), None], pa.float16()),
    "truths of one byte": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
    "nothing": pa.nulls(2),
    "codes": pa.array(["a", None]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TYPES)
def test_types(tmp_path: Path, in_parts: list[int], kind: str) -> None:
    pq.write_table(pa.table({"a": TYPES[kind], "click": [1, 0]}), tmp_path / "t.parquet")
    found = told(read(tmp_path / "t.parquet", schema={"*": "category"}))
    assert found == told(in_batches(tmp_path / "t.parquet", schema={"*": "category"}))
    assert found["rows"] == [int(kind != "nothing"), 0]
    assert in_parts == []


def test_ids_weights_and_times(tmp_path: Path) -> None:
    table = TABLE.append_column("at", pa.array(range(N), pa.timestamp("ms")))
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=900)
    options = {"schema": OPTIONS["some"], "id": "once", "weight": "byte", "time": "at"}
    for part, expected in zip(
        read(tmp_path / "t.parquet", **options), in_batches(tmp_path / "t.parquet", **options), strict=False
    ):
        first = int(part.lines[0]) - 1
        assert part.batch.ids is not None
        assert part.batch.times is not None
        assert part.batch.ids[0] == TABLE["once"][first].as_py()
        assert part.batch.times[0] == first
        assert part.batch.weights[0] == TABLE["byte"][first].as_py()
        assert expected.batch.ids is not None


def test_a_column_whose_name_begins_with_another(tmp_path: Path) -> None:
    table = pa.table({"a.b": ["x", "y"], "a": ["v", "w"], "click": [1, 0]})
    pq.write_table(table, tmp_path / "t.parquet")
    options: dict[str, Any] = {"schema": {"*": "category"}}
    assert told(read(tmp_path / "t.parquet", **options))["indices"] == list(
        Batch.from_dicts([{"a.b": "x", "a": "v"}, {"a.b": "y", "a": "w"}], schema={"*": "category"}).indices
    )


def test_what_is_left_out_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path)
    options = {"schema": {"*": "ignore", "site": "category"}, "label": "click"}
    expected = told(read(path, **options))
    data, group = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(0)
    for column in map(group.column, range(group.num_columns)):
        if column.path_in_schema not in ("site", "click"):
            begin = column.dictionary_page_offset or column.data_page_offset
            data[begin : begin + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)
    assert told(read(path, **options)) == expected
    with pytest.raises(FormatError, match=r"t\.parquet cannot be read"):
        read(path, label="click")


def test_a_sample_reads_no_more_than_is_looked_at(tmp_path: Path) -> None:
    table = pa.table({"few": [f"{k % 3}" for k in range(30_000)], "row": [f"{k}" for k in range(30_000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=10_000)
    samples = Parquet(Source(tmp_path / "t.parquet")).samples(["few", "row"], 5000)
    for place, sample in enumerate(samples):
        (few, _), (row, parts) = sample
        assert (few, row) == ("few", "row")
        first = 10_000 * place
        assert next(parts) == [b"%d" % k for k in range(first, first + 200)]
        assert sum(map(len, parts)) == 4800
    assert place == 2


def test_text_comes_as_a_dictionary(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    file = Parquet(Source(tmp_path / "t.parquet"))
    (first, *_) = file.batches(0, ["site", "count"])
    assert pa.types.is_dictionary(first.schema.field("site").type)
    with file.decoders(0, ["site", "count"]) as decoders:
        assert pa.types.is_dictionary(decoders[0]("site").type)


def test_memory_is_bounded_by_what_is_decoded_at_once(tmp_path: Path) -> None:
    table = pa.table({f"c{k}": pa.array(RNG.integers(0, 9, 300_000)) for k in range(20)})
    pq.write_table(table, tmp_path / "t.parquet")
    sizes = [
        batch.num_rows for batch in Parquet(Source(tmp_path / "t.parquet")).batches(0, table.column_names)
    ]
    assert sum(sizes) == 300_000
    assert max(sizes) * 20 <= parquet.CELLS_READ_AT_ONCE


@pytest.mark.parametrize("short", ["site", "click"])
def test_a_column_that_is_shorter_than_it_should_be_is_refused(short: str) -> None:
    form = ArrowRows(TABLE.schema, judged=True, label="click")

    def decode(name: str) -> Any:
        return TABLE[name].slice(int(name == short))

    with pytest.raises(FormatError, match=rf"the column '{short}' has 2499 rows, where there should be 2500"):
        form.look_up(N, [decode, decode], at_once)


def test_pandas_and_what_computes_are_not_imported(tmp_path: Path) -> None:
    table = pa.table({"site": TABLE["site"], "click": [row % 2 for row in range(N)]})
    pq.write_table(table, tmp_path / "t.parquet")
    program = (
        "import sys; from nonzero.sources.columnar import ColumnarFile, ColumnarReader;"
        "from nonzero.sources.files import Source; from nonzero.sources.tables import judge_tables;"
        "from nonzero import Schema; file = ColumnarFile(Source(sys.argv[1]), 'parquet');"
        "reader = ColumnarReader(file, schema=judge_tables([file], Schema()).schema);"
        "assert sum(len(part.batch) for part in reader.examples()) == 2500; print(*sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "t.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pyarrow.parquet" in done.stdout.split()
    assert {"pandas", "pyarrow.compute"}.isdisjoint(done.stdout.split())
