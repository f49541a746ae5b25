"""Parquet without pyarrow: the rows that pyarrow's columns make, from any writer; damage is named."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from nonzero.errors import FormatError
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.parquet_foot import read_foot
from nonzero.formats.parquet_kernels import PADDING, unsnap
from nonzero.formats.parsed import Parsed
from nonzero.formats.thrift import DamagedError, read_struct
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.files import Source

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
    "statistics of everything": {"write_statistics": True, "write_page_index": True},
}


def by_pyarrow(path: Path, **options: Any) -> list[Parsed]:
    with pq.ParquetFile(path) as file:
        rows = ArrowRows(file.schema_arrow, judged=True, **options)
        return [part for batch in file.iter_batches(1000, columns=rows.columns) for part in rows.read(batch)]


def by_us(path: Path, **options: Any) -> list[Parsed]:
    file = ColumnarFile(Source(path), "parquet")
    assert file.foot is not None
    return list(ColumnarReader(file, **options).examples())


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


@pytest.mark.parametrize("said", OPTIONS)
@pytest.mark.parametrize("kind", WRITTEN)
def test_rows_are_those_of_pyarrow(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "t.parquet"
    table = TABLE.cast(REQUIRED) if kind in ("groups", "second kind, plain") else TABLE
    pq.write_table(table, path, **WRITTEN[kind])
    options = {"schema": OPTIONS[said], "label": "click", "boolean": ["said"]}
    found = told(by_us(path, **options))
    assert found == told(by_pyarrow(path, **options))
    assert found["read"] == N
    assert (said == "some") or len(found["errors"]) > 100


def test_many_rows_cross_pages_groups_and_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nonzero.formats import parquet_rows

    monkeypatch.setattr(parquet_rows, "CELLS_LOOKED_UP", 15 * 600)
    pq.write_table(
        TABLE, tmp_path / "t.parquet", row_group_size=1100, data_page_size=700, write_batch_size=33
    )
    options = {"schema": {"*": "category"}, "label": "click"}
    assert told(by_us(tmp_path / "t.parquet", **options)) == told(
        by_pyarrow(tmp_path / "t.parquet", **options)
    )


@pytest.mark.parametrize("positive", ["maybe", "1"])
def test_a_label_that_is_a_click(tmp_path: Path, positive: str) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    options = {"schema": {"*": "ignore", "site": "category"}, "label": "click", "positive": positive}
    found = told(by_us(tmp_path / "t.parquet", **options))
    assert found == told(by_pyarrow(tmp_path / "t.parquet", **options))
    assert set(found["labels"]) == {0, 1}


@pytest.mark.parametrize("kind", ["count", "rate", "new", "said"])
def test_labels_of_any_type(tmp_path: Path, kind: str) -> None:
    given = {"count": integers(0, 2), "rate": integers(0, 2) * 1.0, "new": integers(0, 2) == 1}
    table = pa.table({"a": TABLE["site"], "y": given.get(kind, TABLE["said"])})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=kind != "count")
    found = told(by_us(tmp_path / "t.parquet"))
    assert found == told(by_pyarrow(tmp_path / "t.parquet"))
    assert set(found["labels"]) == {0, 1}
    asked = {"labels": False, "label": "y"}
    assert told(by_us(tmp_path / "t.parquet", **asked)) == told(by_pyarrow(tmp_path / "t.parquet", **asked))


UNUSUAL: dict[str, Any] = {
    "moments": pa.array([1, None], pa.timestamp("ms")),
    "dates": pa.array([1, None], pa.date32()),
    "durations": pa.array([1, None], pa.duration("s")),
    "decimals": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(5, 1)),
    "lists": pa.array([["a"], []], pa.list_(pa.string())),
    "structs": pa.array([{"a": 1}, None]),
    "bytes": pa.array([b"a", None], pa.binary()),
    "halves": pa.array([np.float16(1), None], pa.float16()),
    "truths of one byte": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_other_types_are_left_to_pyarrow(tmp_path: Path, kind: str) -> None:
    pq.write_table(pa.table({"a": UNUSUAL[kind], "click": [1, 0]}), tmp_path / "t.parquet")
    assert read_foot(tmp_path / "t.parquet") is None


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "brotli"},
        {"compression": "lz4"},
        {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
        {"use_dictionary": False, "column_encoding": "DELTA_LENGTH_BYTE_ARRAY"},
    ],
)
def test_other_ways_to_write_are_left_to_pyarrow(tmp_path: Path, options: dict[str, Any]) -> None:
    pq.write_table(TABLE.select(["site", "once"]), tmp_path / "t.parquet", **options)
    assert read_foot(tmp_path / "t.parquet") is None
    assert sum(part.lines_read for part in by_any(tmp_path / "t.parquet")) == N


def by_any(path: Path, **options: Any) -> list[Parsed]:
    return list(ColumnarReader(ColumnarFile(Source(path), "parquet"), **options).examples())


def test_ids_weights_and_times_are_left_to_pyarrow(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    parts = by_any(tmp_path / "t.parquet", schema=OPTIONS["some"], id="site", weight="byte")
    assert parts[0].batch.ids is not None
    assert parts[0].batch.ids[0] == TABLE["site"][int(parts[0].lines[0]) - 1].as_py()


def test_what_is_left_out_is_not_looked_at(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    options = {"schema": {"*": "ignore", "site": "category"}, "label": "click"}
    expected = told(by_us(tmp_path / "t.parquet", **options))
    foot = read_foot(tmp_path / "t.parquet")
    assert foot is not None
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    for name, chunk in zip(foot.names, foot.groups[0].chunks, strict=True):
        if name not in ("site", "click"):
            data[chunk.begin : chunk.begin + chunk.size] = bytes(chunk.size)
    (tmp_path / "t.parquet").write_bytes(data)
    assert told(by_us(tmp_path / "t.parquet", **options)) == expected
    with pytest.raises(FormatError, match=r"t\.parquet cannot be read"):
        by_us(tmp_path / "t.parquet", label="click")


@pytest.mark.parametrize("kind", ["usual", "second kind, small", "plain", "unpacked", "gzip"])
def test_damage_is_named_or_changes_rows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE.slice(0, 300), path, **WRITTEN[kind])
    whole = path.read_bytes()
    refused = changed = left = 0
    for _ in range(120):
        data = bytearray(whole)
        for at in RNG.integers(4, len(whole) - 8, RNG.integers(1, 6)).tolist():
            data[at] = int(RNG.integers(0, 256))
        path.write_bytes(data)
        if read_foot(path) is None:
            left += 1
            continue
        try:
            parts = by_us(path, schema={"*": "category"}, label="click")
        except FormatError as error:
            refused += "t.parquet" in str(error)
        else:
            assert sum(part.lines_read for part in parts) == sum(len(p.lines) + len(p.errors) for p in parts)
            changed += 1
    assert refused + changed + left == 120
    assert refused > 10


def test_a_page_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE.select(["site"]), path, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    text = bytes(TABLE["site"][0].as_py(), "ascii")
    at = whole.index(len(text).to_bytes(4, "little") + text)
    path.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
    assert length < len(whole)
    with pytest.raises(FormatError, match="a text is longer than its page"):
        by_us(path)


@pytest.mark.parametrize("kind", ["noise", "runs", "words", "one byte", "nothing"])
def test_snappy_is_unpacked(kind: str) -> None:
    plain = {
        "noise": RNG.bytes(70_000),
        "runs": bytes(100_000) + b"abc" * 5000,
        "words": b" ".join(b"word%d" % k for k in RNG.zipf(1.3, 9000) % 1000),
        "one byte": b"x",
        "nothing": b"",
    }[kind]
    packed = pa.Codec("snappy").compress(plain, asbytes=True)
    data = np.frombuffer(packed + bytes(PADDING), np.uint8)
    out = np.zeros(len(plain) + PADDING, np.uint8)
    assert unsnap(data, 0, len(packed), len(plain), out)
    assert out[: len(plain)].tobytes() == plain
    for size in (len(plain) - 1, len(plain) + 1):
        assert not unsnap(data, 0, len(packed), size, np.zeros(size + PADDING + 9, np.uint8))
    for cut in {1, len(packed) // 2, len(packed) - 1} - {0, len(packed)}:
        assert not unsnap(data, 0, cut, len(plain), out)


def test_structs_of_thrift_are_bounded() -> None:
    assert read_struct(b"\x15\x02\x29\x28\x01a\x01b\x11\x12\x1c\x15\x01\x00\x00")[0] == {
        1: 1,
        3: [b"a", b"b"],
        4: True,
        5: False,
        6: {1: -1},
    }
    for damaged in (
        b"\x1c" * 50,
        b"\x19" * 50,
        b"\x18\x7fa",
        b"\x19\xf5\xff\xff\xff\xff\x0f",
        b"\x1b",
        b"\x15",
    ):
        with pytest.raises(DamagedError):
            read_struct(damaged)
