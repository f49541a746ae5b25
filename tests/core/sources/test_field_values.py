"""The values of fields, line by line, and what they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from nonzero import formats
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.field_values import FieldValues, LineValues
from nonzero.sources.files import Source

WANTED = [(2, "news"), (3, 'a "b",\nc'), (5, "news"), (6, "é=x"), (7, "0.50")]
CSV = 'bid,site\n1,news\n2,"a ""b"",\nc"\n3,news\r\n4,é=x\n5,0.50\n6,\n'.encode()


def told(values: FieldValues, parts: list[LineValues]) -> list[tuple[int, str]]:
    return [
        (line, values.names[feature])
        for part in parts
        for line, feature in zip(part.lines.tolist(), part.features.tolist(), strict=True)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_table_in_any_pieces(size: int, mark: bytes) -> None:
    values = FieldValues(["site"])
    text = mark + CSV
    reader = formats.reader("csv", schema=values.schema, labels=False, boolean=())
    parts = list(values.of_text([text[k : k + size] for k in range(0, len(text), size)], reader))
    assert told(values, parts) == WANTED
    assert parts[-1].upto == 8
    for part in parts:
        assert (part.lines <= part.upto).all()


def test_json_and_vw_text_with_several_fields() -> None:
    lines = [
        {"features": {"site": "news", "tags": ["x", "y"], "bid": 0.5}},
        {"features": {"bid": 1, "site": True}},
        {"features": {"other": "news"}},
    ]
    values = FieldValues(["site", "tags", "bid"])
    text = "\n".join(map(json.dumps, lines)).encode()
    parts = list(values.of_text([text], formats.reader("ndjson", schema=values.schema)))
    found = sorted(
        (line, values.fields[field], values.names[feature])
        for part in parts
        for line, field, feature in zip(
            part.lines.tolist(), part.fields.tolist(), part.features.tolist(), strict=True
        )
    )
    assert found == [
        (1, "bid", "0.5"), (1, "site", "news"), (1, "tags", "x"), (1, "tags", "y"),
        (2, "bid", "1"), (2, "site", "true"),
    ]  # fmt: skip
    values = FieldValues(["site"])
    parts = list(
        values.of_text(
            [b"1 |site news x:2 |ad 7\n\n0 | site=sport z\n"], formats.reader("vw", schema=values.schema)
        )
    )
    assert told(values, parts) == [(1, "news"), (1, "x"), (3, "sport")]


def test_a_line_that_is_too_long_costs_no_name_after_it() -> None:
    values = FieldValues(["site"])
    text = b"1 |site " + b"x" * 300 + b"\n1 |site news\n0 |site sport\n"
    reader = formats.reader("vw", schema=values.schema, max_line=100)
    parts = list(values.of_text([text[k : k + 50] for k in range(0, len(text), 50)], reader))
    assert told(values, parts) == [(2, "news"), (3, "sport")]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["news", None, "é=x"], [(1, "news"), (3, "é=x")]),
        (pyarrow.array(["a", "b", "a"]).dictionary_encode(), [(1, "a"), (2, "b"), (3, "a")]),
        ([["x", "y"], [], ["y"]], [(1, "x"), (1, "y"), (3, "y")]),
        ([7, 2**40, 7], [(1, "7"), (2, str(2**40)), (3, "7")]),
        ([0.5, 2.0, None], [(1, "0.5"), (2, "2")]),
    ],
)
def test_columns_of_a_file(tmp_path: Path, cells: Any, wanted: list[tuple[int, str]]) -> None:
    file = tmp_path / "log.parquet"
    parquet.write_table(pyarrow.table({"site": cells, "bid": [1, 2, 3]}), file, row_group_size=2)
    values = FieldValues(["site"])
    table = ColumnarFile.of(Source(file), "parquet")
    reader = ColumnarReader(table, schema=values.schema, labels=False, boolean=())
    parts = list(values.of_columns(reader))
    assert told(values, parts) == wanted
    assert [part.upto for part in parts] == [2, 3]
    other = FieldValues(["ad"])
    assert list(other.of_columns(ColumnarReader(table, schema=other.schema, labels=False))) == []


def test_rows_hold_hashes() -> None:
    text = b"1 |site news |bid b:2\n0 |site sport |bid 7\n"
    rows = formats.reader("vw", schema={"bid": "number"}).feed(text)
    values = FieldValues(["site", "bid"])
    [found] = values.of_rows([rows])
    assert found.lines.tolist() == [1, 1, 2, 2]
    assert found.fields.tolist() == [0, 1, 0, 1]
    assert len(np.unique(found.features)) == 4
    assert [values.names.get(feature) for feature in found.features.tolist()] == [
        None,
        None,
        None,
        "(a number)",
    ]
