"""Bodies of Arrow: the rows that JSON has, taken whole or not at all, bounded, refused by name."""

from __future__ import annotations

import gzip
import itertools
import struct
from collections.abc import Callable
from typing import Any, Final

import httpx
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard

from nonzero import Batch, Schema
from nonzero_service.bodies import arrow_bodies
from nonzero_service.bodies.arrow_bodies import batch_of_arrow
from nonzero_service.bodies.tables import TableQuery
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

ARROW: Final = "application/vnd.apache.arrow.stream"
HEADERS: Final = {"content-type": ARROW}
_names = itertools.count()

ROWS: Final[list[dict[str, Any]]] = [
    {"site": "news", "bid": 0.5, "tags": ["a", "b"], "click": 1},
    {"site": None, "bid": None, "tags": None, "click": 0},
    {"site": "sport", "bid": 2.0, "tags": [], "click": 1},
]


def stream_of(table: Any, rows: int | None = None, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table, max_chunksize=rows)
    body: bytes = sink.getvalue().to_pybytes()
    return body


TABLE: Final = pa.Table.from_pylist(ROWS)
BODY: Final = stream_of(TABLE)


@pytest.fixture
def route(client: httpx.Client) -> str:
    path = f"/v1/models/arrow-{next(_names)}"
    assert client.put(path, json={"bits": 12}).status_code == 201
    return path


def by_json(client: httpx.Client) -> str:
    """A model that was taught the same rows by JSON."""
    path = f"/v1/models/arrow-{next(_names)}"
    assert client.put(path, json={"bits": 12}).status_code == 201
    examples = [
        {"features": {name: one for name, one in row.items() if name != "click"}, "label": row["click"]}
        for row in ROWS
    ]
    assert client.post(f"{path}/update", json={"examples": examples}).json()["accepted"] == len(ROWS)
    return path


def chances(client: httpx.Client, path: str) -> list[float]:
    bodies = [{"features": {"site": "news"}}, {"features": {"bid": 2, "tags": ["b"]}}]
    answer = client.post(f"{path}/predict", json={"examples": bodies}).json()
    return [one["probability"] for one in answer["predictions"]]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, {}),
        (stream_of(TABLE, rows=1), {}),
        (stream_of(TABLE, compression="zstd"), {}),
        (stream_of(TABLE, compression="lz4"), {}),
        (gzip.compress(BODY), {"content-encoding": "gzip"}),
        (zstandard.compress(BODY), {"content-encoding": "zstd"}),
        (stream_of(TABLE.set_column(0, "site", TABLE["site"].combine_chunks().dictionary_encode())), {}),
        (stream_of(pa.table(pl.DataFrame(ROWS))), {}),
    ],
    ids=["plain", "batches", "zstd inside", "lz4 inside", "gzip", "zstd", "coded", "polars"],
)
def test_the_rows_of_arrow_teach_what_json_teaches(
    client: httpx.Client, route: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = client.post(f"{route}/update", content=body, headers={**HEADERS, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 3
    assert chances(client, route) == chances(client, by_json(client))


def test_predictions_come_in_the_order_of_the_rows(client: httpx.Client) -> None:
    path = by_json(client)
    table = pa.table({"site": ["news", None], "bid": [None, 2.0], "tags": [None, ["b"]], "imp": ["x", None]})
    answer = client.post(f"{path}/predict", content=stream_of(table), headers=HEADERS, params={"id": "imp"})
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]
    assert [one["probability"] for one in found] == chances(client, path)
    assert [one.get("id") for one in found] == ["x", None]
    unsure = client.post(
        f"{path}/predict",
        content=stream_of(table.select(["site"])),
        headers=HEADERS,
        params={"uncertainty": "true"},
    )
    assert all("uncertainty" in one for one in unsure.json()["predictions"])


def test_labels_weights_ids_and_times_are_columns_that_the_query_names(
    client: httpx.Client, route: str
) -> None:
    table = pa.table({"a": ["x", "y"], "hit": [True, False], "w": [2.0, 0.5], "at": [1, 2], "n": ["i", "j"]})
    query = {"label": "hit", "weight": "w", "time": "at", "id": "n"}
    answer = client.post(f"{route}/update", content=stream_of(table), headers=HEADERS, params=query)
    assert answer.status_code == 200, answer.text
    assert client.get(f"{route}/metrics").json()["weight"] == 2.5


def test_a_repeat_with_a_key_is_learned_from_once(client: httpx.Client, route: str) -> None:
    headers = {**HEADERS, "idempotency-key": "k"}
    first = client.post(f"{route}/update", content=BODY, headers=headers).json()
    assert first["replayed"] == 0
    again = client.post(f"{route}/update", content=BODY, headers=headers).json()
    assert (again["replayed"], again["sequence"]) == (3, first["sequence"])
    query = {"label": "click"}
    assert client.post(f"{route}/update", content=BODY, headers=headers, params=query).status_code == 422
    other = client.post(f"{route}/update", content=stream_of(TABLE.slice(1)), headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize("what", ["update", "predict"])
@pytest.mark.parametrize(
    ("table", "query", "status", "said"),
    [
        ({"a": [1.0, 2e9], "click": [1, 0]}, {}, 422, "number 2: the column 'a': the value '2000000000.0'"),
        ({"a": ["x", "y"], "click": [1, 7]}, {}, 422, "number 2: the label '7' is not 1, 0 or -1"),
        ({"a": [{"b": 1}]}, {}, 422, "the column 'a' is of the type struct<b: int64>, which is no feature"),
        ({"a": ["x"]}, {"label": "hit"}, 422, "there is no column 'hit'; there are a"),
        ({"a": ["x"]}, {"lable": "a"}, 422, "there is no query parameter 'lable'; did you mean 'label'"),
        ({"click": [1], "target": [0]}, {}, 422, "'click' and 'target' are called like a label"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(
    client: httpx.Client,
    route: str,
    what: str,
    table: dict[str, Any],
    query: dict[str, str],
    status: int,
    said: str,
) -> None:
    body = stream_of(pa.table(table))
    answer = client.post(f"{route}/{what}", content=body, headers=HEADERS, params=query)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert client.get(f"{route}/metrics").json()["examples"] == 0


def test_every_bad_row_is_named(client: httpx.Client, route: str) -> None:
    table = pa.table({"a": [1e9, 1.0, 1e9], "click": [1, 0, 1]})
    errors = client.post(f"{route}/update", content=stream_of(table), headers=HEADERS).json()["errors"]
    assert [one["line"] for one in errors] == [1, 3]
    unlabelled = stream_of(pa.table({"a": ["x"]}))
    assert "no label" in client.post(f"{route}/update", content=unlabelled, headers=HEADERS).json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        BODY[:50],
        BODY[:-200],
        BODY[: len(BODY) // 2],
        b"ARROW1\0\0" + BODY,
        bytes(64),
        b"\xff" * 64,
    ],
    ids=repr,
)
def test_what_is_no_stream_of_arrow_is_refused(client: httpx.Client, route: str, body: bytes) -> None:
    answer = client.post(f"{route}/update", content=body[:4000], headers=HEADERS)
    assert answer.status_code == 400, answer.text
    assert "no Arrow IPC stream" in answer.json()["detail"]
    assert client.get(f"{route}/metrics").json()["examples"] == 0


def test_columns_are_named_for_tables_alone(client: httpx.Client, route: str) -> None:
    answer = client.post(f"{route}/update", json={"features": {}, "label": 1}, params={"label": "x"})
    assert answer.status_code == 422
    said = "the query has label, which is about the columns of a table (text/csv, text/tab-separated-values, "
    assert f"{said}{ARROW}); an example of application/json" in answer.json()["detail"]


# -- bounds, in this process -------------------------------------------------------------------------------


def read(body: bytes, **settings: Any) -> Batch:
    return batch_of_arrow(body, Schema(), TableQuery(), Settings(**settings))


def refused(body: bytes, status: int, said: str, **settings: Any) -> None:
    with pytest.raises(Problem) as caught:
        read(body, **settings)
    assert (caught.value.status, said in str(caught.value.detail)) == (status, True), caught.value.detail


def test_a_body_has_so_many_rows() -> None:
    assert len(read(BODY, max_examples=3)) == 3
    refused(BODY, 413, "at most 2 rows, and this has 3", max_examples=2)


def test_a_row_has_so_many_features() -> None:
    assert len(read(BODY, max_features=4)) == 3
    refused(BODY, 422, "number 1: it has 4 features; an example has at most 3", max_features=3)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_is_compressed_inside_is_bounded_by_what_it_says(compression: str) -> None:
    table = pa.table({"a": ["x" * 2**20]})
    body = stream_of(table, compression=compression)
    assert len(body) < 2**16
    assert len(read(body)) == 1
    refused(body, 413, "more than 100000 bytes after decompression", max_body_bytes=100_000)


def test_a_size_that_lies_is_never_made_room_for() -> None:
    body = stream_of(pa.table({"a": ["x" * 70_001]}), compression="zstd")
    size = struct.pack("<q", 70_001)
    before, _, after = body.rpartition(size)  # the head of the message has it too, and comes first
    refused(before + struct.pack("<q", 2**40) + after, 413, "after decompression")


def views(text: str, n: int) -> Any:
    """Many views of one text."""
    data = pa.py_buffer(text.encode())
    view = struct.pack("<i4sii", len(text), text[:4].encode(), 0, 0)
    return pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(view * n), data])


def test_texts_that_stand_in_one_place_are_added_up() -> None:
    assert len(read(stream_of(pa.table({"a": views("x" * 100, 3)})))) == 3
    body = stream_of(pa.table({"a": views("x" * 100_000, 1000)}))
    assert len(body) < 2**18
    refused(body, 413, "texts of 100000000 bytes stand in the body, many in one place")


def test_lists_that_stand_in_one_place_are_added_up() -> None:
    kind = pa.list_view(pa.string())
    many = pa.ListViewArray.from_arrays(
        pa.array([0] * 1000, pa.int32()),
        pa.array([10_000] * 1000, pa.int32()),
        pa.array(["x"] * 10_000),
        kind,
    )
    body = stream_of(pa.table({"a": many}))
    assert len(body) < 2**18
    refused(body, 413, "values; send less at once")


def test_runs_and_nulls_of_no_bytes_are_counted() -> None:
    refused(stream_of(pa.table({"a": pa.nulls(200_000)})), 413, "at most 100000 rows")
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), pa.array(["x"]))
    refused(stream_of(pa.table({"a": runs})), 413, "at most 100000 rows")
    wide = pa.table({f"c{k}": pa.nulls(100_000) for k in range(100)})
    refused(stream_of(wide), 413, "values; send less at once")


def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_bodies, "MOST_PARTS", 100)
    wide = pa.table({f"c{k}": ["x"] * 9 for k in range(9)})
    assert len(read(stream_of(wide, rows=1))) == 9
    refused(stream_of(pa.concat_tables([wide, wide]), rows=1), 413, "send larger record batches")


def with_deltas(n: int) -> bytes:
    sink = pa.BufferOutputStream()
    kind = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("a", kind)])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, schema, options=options) as stream:
        for k in range(1, n + 1):
            column = pa.DictionaryArray.from_arrays(
                pa.array([k - 1], pa.int32()), pa.array([f"v{j}" for j in range(k)])
            )
            stream.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    body: bytes = sink.getvalue().to_pybytes()
    return body


def test_deltas_of_dictionaries_are_read_and_bounded() -> None:
    expected = Batch.from_dicts([{"a": f"v{k}"} for k in range(5)])
    assert read(with_deltas(5)).indices.tolist() == expected.indices.tolist()
    refused(with_deltas(102), 413, "more than 100 deltas of dictionaries")


@pytest.mark.parametrize("spoil", [lambda codes: codes + 100, lambda codes: -codes - 1])
def test_what_is_not_valid_is_refused(spoil: Callable[[Any], Any]) -> None:
    codes = pa.array(spoil(np.arange(3, dtype=np.int32)))
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b", "c"]), safe=False)
    refused(stream_of(pa.table({"x": column})), 400, "no Arrow IPC stream, or not whole")


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pa.array([b"\xff\xfe"]).view(pa.string())
    refused(stream_of(pa.table({"x": broken})), 400, "no Arrow IPC stream, or not whole")


def test_without_pyarrow_bodies_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.compute", None)
    refused(BODY, 415, "pip install 'nonzero-ctr[arrow]'; or send application/x-ndjson")
