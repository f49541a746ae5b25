"""The doors agree: the same rows by command, HTTP and library, in any format, are one model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from command_line import nonzero
from core.fields.test_doors import FIELDS, ROWS, SAID, columns, doors, frames, slots, table, vw
from nonzero import AdaGrad, Batch, LogisticRegression, Schema, formats
from nonzero_client import Client

SCHEMA: Final = {"fields": SAID, "default": "refuse"}
BITS: Final = 6
RATE: Final = 0.1
BODIES: Final = {
    "NDJSON": "application/x-ndjson",
    "CSV": "text/csv",
    "TSV": "text/tab-separated-values",
    "VW": "text/x-vw",
    "Arrow stream": "application/vnd.apache.arrow.stream",
}
FILES: Final = {
    "NDJSON": "rows.ndjson",
    "CSV": "rows.csv",
    "TSV": "rows.tsv",
    "tabs": "tabs.csv",
    "VW": "rows.vw",
    "Parquet": "rows.parquet",
    "Arrow": "rows.arrow",
    "Arrow stream": "rows.arrows",
}
SAFETENSORS: Final = {"content-type": "application/vnd.safetensors"}

_names = itertools.count()

Row = dict[str, Any]
LOOK_ALIKE: Final[list[Row]] = [
    {"site": value, "ad": ad, "n_ř": n, "bid": bid, "request_id": k}
    for k, (value, ad, n, bid) in enumerate(
        [
            (5, "5", 5.0, 0.5),
            ("00501", "1.10", 1.10, "0.5"),
            (True, "true", False, True),
            (None, "", "x", None),
            (2**63, str(2**63), 10**30, -7),
            (1e3, 1e15, 1e16, 1e-3),
            (-0.0, 0, "-0", 0),
            ("NaN", "1e3", "null", "00.50"),
            ("é", "a=b", "žluť", 1e6),
        ]
    )
]


def written(rows: Sequence[Row], labels: Sequence[int]) -> dict[str, bytes]:
    """The rows in each format."""
    lines = [json.dumps({"features": row, "label": label}) for row, label in zip(rows, labels, strict=True)]
    return {
        "NDJSON": "\n".join(lines).encode(),
        "CSV": table(rows, labels, ","),
        "TSV": table(rows, labels, "\t"),
        "tabs": table(rows, labels, "\t"),
        "VW": vw(rows, labels),
        **columnar(columns(rows, labels)),
    }


def columnar(table: pa.Table) -> dict[str, bytes]:
    """A table in each columnar format."""
    file, stream, parquet = (pa.BufferOutputStream() for _ in range(3))
    with pa.ipc.new_file(file, table.schema) as written:
        written.write_table(table)
    with pa.ipc.new_stream(stream, table.schema) as written:
        written.write_table(table)
    pq.write_table(table, parquet, row_group_size=3)
    sinks = {"Parquet": parquet, "Arrow": file, "Arrow stream": stream}
    return {door: sink.getvalue().to_pybytes() for door, sink in sinks.items()}


def by_library(rows: Sequence[Row], labels: Sequence[int]) -> dict[str, str]:
    digests = {}
    for door, batch in doors(rows, labels, Schema.of(SCHEMA)).items():
        model = LogisticRegression(BITS, AdaGrad(RATE), schema=SCHEMA)
        model.learn(batch)
        digests[f"library, {door}"] = model.digest()
    return digests


def by_command(texts: Mapping[str, bytes], place: Path) -> dict[str, str]:
    """Train by ``nonzero train``, a process for each format, all at once; and of what ``convert`` makes."""
    said = place / "schema.json"
    said.write_text(json.dumps(SCHEMA))
    for door, text in texts.items():
        (place / FILES[door]).write_bytes(text)
    done = nonzero("convert", place / FILES["NDJSON"], place / "rows.rows", "--schema", said, "--overwrite")
    assert done.returncode == 0, done.stderr

    def train(file: Path) -> str:
        model = file.with_suffix(f"{file.suffix}.model")
        model.unlink(missing_ok=True)
        options: list[str | Path] = ["--bits", str(BITS), "--learning-rate", str(RATE), "--schema", said]
        done = nonzero("train", file, "--model", model, *options)
        assert done.returncode == 0, (file.name, done.stderr)
        return LogisticRegression.load(model).digest()

    files = {door: place / FILES[door] for door in texts} | {"rows": place / "rows.rows"}
    with ThreadPoolExecutor() as threads:
        digests = dict(zip(files, threads.map(train, files.values()), strict=True))
    return {f"command, {door}": digest for door, digest in digests.items()}


def by_http(
    client: httpx.Client, rows: Sequence[Row], labels: Sequence[int], texts: Mapping[str, bytes], place: Path
) -> dict[str, str]:
    examples = [{"features": row, "label": label} for row, label in zip(rows, labels, strict=True)]
    sent: dict[str, list[dict[str, Any]]] = {
        "JSON, one by one": [{"json": one} for one in examples],
        "JSON": [{"json": {"examples": examples}}],
        **{
            door: [{"content": texts[door], "headers": {"content-type": media}}]
            for door, media in BODIES.items()
        },
    }
    digests = {}
    for door, requests in sent.items():

        def teach(name: str, requests: Any = requests) -> int:
            route = f"/v1/models/{name}/update"
            return sum(client.post(route, **request).json()["accepted"] for request in requests)

        digests[f"HTTP, {door}"] = taught(client, teach, len(rows), place)
    return digests


def taught(
    client: httpx.Client,
    teach: Callable[[str], int],
    rows: int,
    place: Path,
    schema: Any = SCHEMA,
    **more: Any,
) -> str:
    """The digest of a new model after it was taught by its name; it says how many rows it took."""
    name = f"door-{next(_names)}"
    route = f"/v1/models/{name}"
    settings = {"bits": BITS, "learning_rate": RATE, **({"schema": schema} if schema else {}), **more}
    assert client.put(route, json=settings).status_code == 201
    assert teach(name) == rows
    assert client.get(f"{route}/metrics").json()["schema"]["conflicts"] == {}
    assert client.post(f"{route}/snapshots").status_code == 201
    (place / "snapshot").write_bytes(client.get(f"{route}/snapshots/latest").content)
    assert client.delete(route).status_code == 204
    return LogisticRegression.load(place / "snapshot").digest()


def by_client(
    client: httpx.Client, rows: Sequence[Row], labels: Sequence[int], texts: Mapping[str, bytes], place: Path
) -> dict[str, str]:
    examples = [{"features": row, "label": label} for row, label in zip(rows, labels, strict=True)]
    handed = frames(columns(rows, labels))
    del handed["Arrow, coded"], handed["Parquet"]
    digests = {}
    sources = {"dicts": examples} | handed | {f"file, {door}": place / FILES[door] for door in texts}
    with Client(str(client.base_url)) as ours:

        def whole(name: str) -> int:
            return ours.update(examples, model=name).accepted

        digests["client, dicts at once"] = taught(client, whole, len(rows), place)
        for door, source in sources.items():

            def send(name: str, source: Any = source) -> int:
                return ours.update_stream(source, model=name, batch_size=3).accepted

            digests[f"client, {door}"] = taught(client, send, len(rows), place)
    return digests


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors")


@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(st.lists(ROWS, min_size=3, max_size=6).map(lambda lists: list(itertools.chain(*lists))))
@example(LOOK_ALIKE * 2)
def test_the_same_rows_are_the_same_model(client: httpx.Client, place: Path, rows: list[Row]) -> None:
    # A column of a table of nothing but True and False is one of booleans; a text "True" elsewhere is not.
    rows = [{name: "Truth" if row[name] == "True" else row[name] for name in FIELDS} for row in rows]
    labels = [k % 3 == 0 for k in range(len(rows))]
    texts = written(rows, [int(label) for label in labels])
    digests = {
        **by_library(rows, [int(label) for label in labels]),
        **by_command(texts, place),
        **by_http(client, rows, [int(label) for label in labels], texts, place),
        **by_client(client, rows, [int(label) for label in labels], texts, place),
    }
    assert len(digests) == 47
    assert len(set(digests.values())) == 1, digests


def tensors_of(row: Row) -> list[dict[str, Any]]:
    """A row as tensors; but for numbers that no datatype holds."""
    kinds = {str: "BYTES", bool: "BOOL", int: "INT64", float: "FP64"}
    return [
        {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for name, value in row.items()
        if value is not None
    ]


def test_the_same_rows_are_the_same_predictions(client: httpx.Client) -> None:
    """Also by the protocols of others."""
    route, invoke = "/v1/models/other-doors", "/invocations?model=other-doors"
    assert client.put(route, json={"bits": BITS, "schema": SCHEMA}).status_code == 201
    examples = [{"features": row, "label": k % 3 == 0} for k, row in enumerate(LOOK_ALIKE)]
    client.post(f"{route}/update", json={"examples": examples})
    answer = client.post(f"{route}/predict", json={"examples": examples}).json()
    wanted = [one["probability"] for one in answer["predictions"]]
    assert len(set(wanted)) > 5
    cells = [[row[name] for name in FIELDS] for row in LOOK_ALIKE]
    bodies: list[dict[str, Any]] = [
        {"dataframe_split": {"columns": FIELDS, "data": cells}},
        {"dataframe_records": LOOK_ALIKE},
        {"instances": LOOK_ALIKE},
        {"inputs": {name: [row[name] for row in LOOK_ALIKE] for name in FIELDS}},
    ]
    for body in bodies:
        assert client.post(invoke, json=body).json() == {"predictions": wanted}, body
    text = table(LOOK_ALIKE, [0] * len(LOOK_ALIKE), ",")
    answer = client.post(invoke, content=text, headers={"content-type": "text/csv"}).json()
    assert answer == {"predictions": wanted}
    for row, probability in zip(LOOK_ALIKE, wanted, strict=True):
        if 10**30 in row.values() or 2**63 in row.values():
            continue
        answer = client.post("/v2/models/other-doors/infer", json={"inputs": tensors_of(row)}).json()
        assert answer["outputs"][0]["data"] == [probability], row
    client.delete(route)


def test_candidates_are_the_same_examples(client: httpx.Client, place: Path) -> None:
    """What rows share stands first; they are predicted, and then taught by their labels, to one digest."""
    shared = {"site": "00501", "bid": 0.5}
    own: list[Row] = [{name: row[name] for name in ("ad", "n_ř")} for row in LOOK_ALIKE[:2]]
    whole = [{**shared, **row} for row in own]
    schema = Schema.of(SCHEMA)
    batches = {
        "library, candidates": Batch.from_candidates(shared, own, labels=[1, 0], schema=schema),
        "library, whole": Batch.from_dicts(whole, [1, 0], schema=schema),
    }
    found, digests = {}, {}
    for door, batch in batches.items():
        alone = LogisticRegression(BITS, AdaGrad(RATE), schema=SCHEMA)
        alone.learn(Batch.from_dicts(whole, [0, 1], schema=schema))
        found[door] = [float(f"{p:.9g}") for p in alone.predict(batch)]
        alone.learn(batch)
        digests[door] = alone.digest()
    candidates = [{"features": row, "id": f"c{k}"} for k, row in enumerate(own)]
    examples = [{"features": row, "id": f"c{k}"} for k, row in enumerate(whole)]
    with Client(str(client.base_url)) as ours:
        asked: dict[str, Callable[[str], list[float]]] = {
            "HTTP, candidates": lambda name: [
                row["probability"]
                for row in client.post(
                    f"/v1/models/{name}/predict",
                    json={"shared": {"features": shared}, "candidates": candidates},
                ).json()["predictions"]
            ],
            "client, candidates": lambda name: [
                row.probability
                for row in ours.predict_candidates({"features": shared}, candidates, model=name)
            ],
            "client, examples": lambda name: [row.probability for row in ours.predict(examples, model=name)],
        }
        for door, ask in asked.items():

            def teach(name: str, door: str = door, ask: Callable[[str], list[float]] = ask) -> int:
                ours.update([{"features": row, "label": k} for k, row in enumerate(whole)], model=name)
                found[door] = ask(name)
                return ours.labels([{"id": f"c{k}", "label": 1 - k} for k in range(2)], model=name).accepted

            digests[door] = taught(client, teach, 2, place, negatives="at_end")
    assert len(found) == 5
    [(first, second)] = {*map(tuple, found.values())}
    assert first != second
    assert len(set(digests.values())) == 1, digests


def test_slots_are_the_same_model(client: httpx.Client, place: Path) -> None:
    rows = [{3: 0.5, 17: 1.0}, {}, {1: -2.0, 63: 1e-3}] * 5
    labels = [k % 3 != 1 for k in range(len(rows))]
    texts = slots(rows, [int(label) for label in labels])
    alone = LogisticRegression(BITS, AdaGrad(RATE))
    alone.learn(formats.parse(texts["libsvm"], "libsvm"))
    digests = {"library": alone.digest()}
    medias = {"libsvm": "text/x-libsvm", "NDJSON": "application/x-ndjson", "JSON": "application/json"}
    for door, media in medias.items():

        def teach(name: str, door: str = door, media: str = media) -> int:
            headers = {"content-type": media}
            answer = client.post(f"/v1/models/{name}/update", content=texts[door], headers=headers)
            return int(answer.json()["accepted"])

        digests[f"HTTP, {door}"] = taught(client, teach, len(rows), place, schema={})
    for door, name in (("libsvm", "slots.svm"), ("NDJSON", "slots.ndjson")):
        (place / name).write_bytes(texts[door])
        model = place / f"{name}.model"
        options = ["--bits", str(BITS), "--learning-rate", str(RATE)]
        done = nonzero("train", place / name, "--model", model, *options)
        assert done.returncode == 0, done.stderr
        digests[f"command, {door}"] = LogisticRegression.load(model).digest()
        with Client(str(client.base_url)) as ours:

            def send(named: str, path: Path = place / name) -> int:
                return ours.update_stream(path, model=named, batch_size=4).accepted

            digests[f"client, {door}"] = taught(client, send, len(rows), place, schema={})
    assert len(digests) == 8
    assert len(set(digests.values())) == 1, digests


def test_a_model_that_was_trained_on_a_table_is_asked_in_json(client: httpx.Client, place: Path) -> None:
    table_file, model, route = place / "clicks.csv", place / "clicks.model", "/v1/models/from-table"
    rows = "".join(f"{int(k % 5 == 1)},{k % 5},{'true' if k % 5 == 1 else 'false'}\n" for k in range(400))
    table_file.write_text("click,site,new\n" + rows)
    said = place / "two.json"
    said.write_text('{"site": "category", "new": "category"}')
    done = nonzero("train", table_file, "--model", model, "--bits", "10", "--schema", said)
    assert done.returncode == 0, done.stderr
    assert client.put(route, content=model.read_bytes(), headers=SAFETENSORS).status_code == 201
    found = [
        client.post(f"{route}/predict", json={"features": features}).json()["predictions"][0]["probability"]
        for features in (
            {"site": "1", "new": "true"},
            {"site": 1, "new": True},
            {"site": 1.0, "new": "true"},
            {"site": [1], "new": [True]},
        )
    ]
    assert set(found) == {found[0]}
    assert found[0] > 0.8
    client.delete(route)
