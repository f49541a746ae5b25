"""Columnar files: the examples of the same table as text, in bounded memory; damage is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from nonzero import Batch, FormatError, Schema, formats
from nonzero.formats import Parsed
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.examples import read_examples
from nonzero.sources.files import Source, format_of
from nonzero.sources.tables import judge_tables

N = 3000
RNG = np.random.default_rng(1)
TABLE = pa.table(
    {
        "click": (RNG.random(N) < 0.2).astype(np.int8),
        "site": [f"site {k}" for k in RNG.zipf(1.5, N) % 50],
        "ad": pa.array([None if k % 7 == 0 else k % 90 for k in range(N)], pa.int64()),
        "new": RNG.random(N) < 0.5,
        "row": range(N),
        "price": np.round(RNG.random(N), 1),
    }
)


def csv_of(table: Any) -> bytes:
    def cell(value: Any) -> str:
        return "" if value is None else str(value).removesuffix(".0")

    lines = [",".join(map(cell, row.values())) for row in table.to_pylist()]
    return "\n".join([",".join(table.column_names), *lines, ""]).encode()


def write_file(path: Path, table: Any, **options: Any) -> None:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table, max_chunksize=700)


def write_stream(path: Path, table: Any, **options: Any) -> None:
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table, max_chunksize=700)


def write_packed(path: Path, table: Any) -> None:
    write_stream(path, table)
    path.write_bytes(gzip.compress(path.read_bytes()))


def write_packed_file(path: Path, table: Any) -> None:
    write_file(path, table)
    path.write_bytes(gzip.compress(path.read_bytes()))


WRITERS: dict[str, tuple[str, Callable[[Path, Any], None]]] = {
    "Parquet": ("t.parquet", lambda path, table: pq.write_table(table, path, row_group_size=1100)),
    "Parquet, one group": ("t.parquet", lambda path, table: pq.write_table(table, path, compression="zstd")),
    "Parquet, plain": ("t.parquet", lambda path, table: pq.write_table(table, path, use_dictionary=False)),
    "Parquet of polars": ("t.parquet", lambda path, table: pl.DataFrame(table).write_parquet(path)),
    "Parquet of pandas": ("t.parquet", lambda path, table: table.to_pandas().sort_index().to_parquet(path)),
    "Feather": ("t.feather", lambda path, table: pyarrow.feather.write_feather(table, path)),
    "Feather of polars": ("t.feather", lambda path, table: pl.DataFrame(table).write_ipc(path)),
    "Arrow file": ("t.arrow", write_file),
    "Arrow file, zstd": ("t.arrow", lambda path, table: write_file(path, table, compression="zstd")),
    "Arrow stream": ("t.arrows", write_stream),
    "Arrow stream of polars": ("t.arrow", lambda path, table: pl.DataFrame(table).write_ipc_stream(path)),
    "Arrow stream, gzip": ("t.arrow.gz", write_packed),
    "Arrow file, gzip": ("t.arrow.gz", write_packed_file),
}


def file_of(path: Path) -> ColumnarFile:
    return ColumnarFile(Source(path), format_of(path))


def read(path: Path, **options: Any) -> list[Parsed]:
    source = Source(path)
    reader = ColumnarReader(ColumnarFile(source, format_of(path)), **options)
    return list(read_examples(source, reader))


def joined(parts: list[Parsed]) -> Batch:
    return Batch.concatenate([part.batch for part in parts])


SAID = {"*": "category", "price": "number", "row": "ignore"}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_examples_are_those_of_the_text(tmp_path: Path, kind: str) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, TABLE)
    parts = read(tmp_path / name, schema=SAID)
    found = joined(parts)
    expected = formats.parse(csv_of(TABLE), "csv", schema=SAID)
    for one in ("indptr", "indices", "labels", "fields"):
        assert getattr(found, one).tolist() == getattr(expected, one).tolist(), one
    assert found.explicit_values().tolist() == expected.explicit_values().tolist()
    assert np.concatenate([part.lines for part in parts]).tolist() == list(range(1, N + 1))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("kind", WRITERS)
def test_columns_are_judged_as_those_of_text(tmp_path: Path, kind: str) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, TABLE)
    (tmp_path / "t.csv").write_bytes(csv_of(TABLE))
    of_text = judge_tables([Source(tmp_path / "t.csv")], Schema())
    file = file_of(tmp_path / name)
    found = judge_tables([file], Schema())
    assert found._replace(notes=[]) == of_text._replace(notes=[])
    assert found.schema.fields["row"] == "ignore"
    assert any("'price'" in note and "as in delimited text" in note for note in found.notes)
    again = ColumnarReader(file, schema=found.schema, boolean=found.boolean)
    assert sum(len(part.batch) for part in again.examples()) == N  # a stream's beginning is read again
    both = judge_tables([Source(tmp_path / "t.csv"), file_of(tmp_path / name)], Schema())
    assert both._replace(notes=[]) == of_text._replace(notes=[])


def test_only_the_columns_that_are_read_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, write = WRITERS["Arrow file"]
    write(tmp_path / name, TABLE)
    file = file_of(tmp_path / name)
    seen: list[list[str]] = []
    batches = file.batches

    def looked(columns: Any) -> Any:
        for batch in batches(columns):
            seen.append(batch.schema.names)
            yield batch

    monkeypatch.setattr(file, "batches", looked)
    reader = ColumnarReader(file, label="click", schema={"*": "ignore", "site": "category"})
    assert sum(len(part.batch) for part in reader.examples()) == N
    assert seen
    assert all(names == ["click", "site"] for names in seen)


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    for name, write in WRITERS.values():
        write(tmp_path / name, TABLE)
        source = Source(tmp_path / name)
        reader = ColumnarReader(ColumnarFile(source, format_of(name)), schema={"*": "category"})
        assert sum(len(part.batch) for part in read_examples(source, reader)) == N
        assert source.position == source.size


def test_rows_that_cannot_be_read_are_told_by_their_number(tmp_path: Path) -> None:
    table = pa.table({"click": [1, 5, 0], "bid": [0.5, 1.0, 1e9]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    errors = [error for part in read(tmp_path / "t.parquet", numeric=["bid"]) for error in part.errors]
    assert [error.line for error in errors] == [2, 3]
    assert errors[0].reason.startswith("the label ")
    assert "the column 'bid'" in errors[1].reason


@pytest.mark.parametrize(
    "kind", ["Parquet", "Arrow file", "Arrow file, zstd", "Arrow stream", "Arrow stream, gzip"]
)
@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.97])
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, kind: str, cut: float) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, TABLE)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(FormatError, match=name):
        read(tmp_path / name, schema=SAID)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.parquet", b"click,site\n1,a\n", "is no Parquet file: it begins with b'clic'"),
        ("t.parquet.gz", gzip.compress(b"PAR1" + bytes(40) + b"PAR1"), "not compressed as a whole"),
        ("t.feather", b"FEA1" + bytes(40), "Feather of version 1; write it anew"),
        ("t.arrow", b"click,site\n1,a\n", "t.arrow cannot be read"),
    ],
    ids=["text", "packed", "old", "no stream"],
)
def test_what_is_something_else_is_said(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=reason):
        read(tmp_path / name)


def test_an_arrow_file_is_looked_at_before_it_is_believed(tmp_path: Path) -> None:
    codes = pa.array([0, 9], pa.int8())
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["a"]), safe=False)
    for name, write in (WRITERS["Arrow file"], WRITERS["Arrow stream"]):
        write(tmp_path / name, pa.table({"x": column}))
        with pytest.raises(FormatError, match=name):
            read(tmp_path / name, schema=SAID)


def test_a_column_that_is_no_feature_is_named_with_its_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [{"b": 1}]}), tmp_path / "t.parquet")
    with pytest.raises(FormatError, match=r"t\.parquet: the column 'a' is of the type struct"):
        read(tmp_path / "t.parquet")
    assert joined(read(tmp_path / "t.parquet", ignore=["a"])).nnz == 0


def test_the_index_of_pandas_is_left_out_and_said(tmp_path: Path) -> None:
    table = TABLE.to_pandas().sample(frac=0.5, random_state=1)
    table.to_parquet(tmp_path / "t.parquet")
    reader = ColumnarReader(file_of(tmp_path / "t.parquet"), schema=SAID)
    assert "an index without a name is left out" in reader.format.notes
    assert reader.format.names == TABLE.column_names
