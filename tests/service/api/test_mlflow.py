"""MLflow's scoring protocol (2.0 and later), as the documentation of its server has it.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from nonzero import __version__
from service.conftest import Start

ROUTE = "/v1/models/invoked"
INVOKE = "/invocations?model=invoked"
FRAME = pd.DataFrame({"site": ["news", "sport", None], "hour": [9, 10, 9], "bid": [0.5, 1.25, float("nan")]})
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv; charset=utf-8"}


@pytest.fixture(scope="module", autouse=True)
def wanted(client: httpx.Client) -> Iterator[list[float]]:
    """What ``/v1`` predicts of the rows."""
    fields = {"site": "category", "hour": "category", "bid": "number"}
    client.put(ROUTE, json={"bits": 12, "schema": {"fields": fields}})
    rows: list[dict[str, Any]] = json.loads(FRAME.to_json(orient="records"))
    examples = [{"features": row, "label": k % 2} for k, row in enumerate(rows)]
    client.post(f"{ROUTE}/update", json={"examples": examples})
    answer = client.post(f"{ROUTE}/predict", json={"examples": examples}).json()
    yield [one["probability"] for one in answer["predictions"]]
    client.delete(ROUTE)


def test_it_is_told_that_all_is_well_and_which_version_answers(client: httpx.Client) -> None:
    for path in ("/ping", "/health"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert client.get("/version").text == __version__


def test_frames_are_answered_as_examples_are(client: httpx.Client, wanted: list[float]) -> None:
    """As pandas writes them: ``df.to_json(orient=...)``, in which missing numbers are null."""
    split = json.loads(FRAME.to_json(orient="split"))
    records = json.loads(FRAME.to_json(orient="records"))
    assert len(set(wanted)) == 3
    bodies: list[dict[str, Any]] = [
        {"dataframe_split": split},
        {"dataframe_split": {name: split[name] for name in ("columns", "data")}, "params": {}},
        {"dataframe_records": records},
        {"instances": records},
        {"inputs": {name: [row[name] for row in records] for name in FRAME}},
    ]
    for body in bodies:
        answer = client.post(INVOKE, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": wanted}


def test_tables_of_text_are_answered_row_by_row(client: httpx.Client, wanted: list[float]) -> None:
    text = FRAME.to_csv(index=False)
    assert client.post(INVOKE, content=text, headers=CSV).json() == {"predictions": wanted}
    labelled = FRAME.assign(clicked=1).to_csv(index=False)
    assert client.post(INVOKE, content=labelled, headers=CSV).json() == {"predictions": wanted}
    other = FRAME.to_csv(index=False, sep=";")
    answer = client.post(f"{INVOKE}&delimiter=;", content=other, headers=CSV)
    assert answer.json() == {"predictions": wanted}
    many = pd.concat([FRAME] * 2000).to_csv(index=False)
    found = client.post(INVOKE, content=many, headers=CSV).json()["predictions"]
    assert np.array(found, np.float32).tobytes() == np.array(wanted * 2000, np.float32).tobytes()


def test_without_a_name_it_is_the_default_model(client: httpx.Client) -> None:
    answer = client.post("/v1/models/default/predict", json={"features": {"site": "news"}}).json()
    found = client.post("/invocations", json={"instances": [{"site": "news"}]}).json()
    assert found == {"predictions": [answer["predictions"][0]["probability"]]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "exactly one of dataframe_split, dataframe_records, instances, inputs; here it has none"),
        ({"instances": [], "inputs": {"a": [1]}}, "here it has instances and inputs"),
        ({"columns": ["a"], "data": [[1]]}, "unknown field `columns`"),  # MLflow before 2.0
        ([{"a": 1}], "Expected `object`"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "'a' has 1, 'b' has 2"),
        ({"inputs": {}}, "there are none"),
        ({"inputs": [[1, 2]]}, "Expected `object | null`"),
        ({"instances": [[1, 2]]}, "number 1 is [1"),
        ({"dataframe_records": {"a": 1}}, "Expected `array`"),
        ({"dataframe_split": {"columns": ["a"]}}, "required field `data`"),
        ({"dataframe_split": {"columns": [0], "data": []}}, "Expected `str`, got `int`"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "two columns are called 'a'"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "row 2 of data has 2 values"),
        ({"instances": [{"site": "a"}, {"bid": "cheap"}]}, "number 2: "),
        ({"instances": [{"site": "a"}], "params": {"threshold": 0.5}}, "'threshold'"),
    ],
)
def test_what_is_wrong_is_named(client: httpx.Client, body: Any, said: str) -> None:
    answer = client.post(INVOKE, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error_code", "message"}
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert said in answer.json()["message"]


def test_other_errors_have_the_protocols_form_too(client: httpx.Client) -> None:
    body = {"instances": [{"site": "news"}]}
    asked = [
        (client.post("/invocations?model=none", json=body), 404, "RESOURCE_DOES_NOT_EXIST", "'none'"),
        (client.post("/invocations?model=", json=body), 404, "RESOURCE_DOES_NOT_EXIST", "''"),
        (client.post("/invocations?modl=x", json=body), 400, "BAD_REQUEST", "did you mean 'model'?"),
        (client.post(f"{INVOKE}&label=x", json=body), 400, "BAD_REQUEST", "label"),
        (client.post(INVOKE, content=b"{"), 415, "BAD_REQUEST", "there is no Content-Type"),
        (client.post(INVOKE, content="bid\n1\ncheap\n", headers=CSV), 400, "BAD_REQUEST", "number 3: "),
        (
            client.post(INVOKE, content=b'{"instances": [{"a": "\xff"}]}', headers=JSON),
            400,
            "BAD_REQUEST",
            "8",
        ),
        (client.get("/invocations"), 405, "ENDPOINT_NOT_FOUND", "POST"),
    ]
    for answer, status, code, said in asked:
        assert answer.status_code == status, answer.text
        assert answer.json()["error_code"] == code
        assert said in answer.json()["message"]


def test_no_more_is_read_than_a_body_of_examples_may_have(start: Start) -> None:
    running = start(max_examples=100, max_body_bytes=20_000, max_features=50).until_ready()
    text = io.StringIO()
    pd.DataFrame({"a": range(101)}).to_csv(text, index=False)
    with running.client() as client:
        assert client.post("/invocations", json={"inputs": {"a": [1] * 100}}).status_code == 200
        requests: list[dict[str, Any]] = [
            {"json": {"inputs": {"a": [1] * 101}}},
            {"json": {"dataframe_split": {"columns": ["a"], "data": [[1]] * 101}}},
            {"json": {"dataframe_split": {"columns": ["a" * 500], "data": [[1]] * 100}}},
            {"json": {"instances": [{}] * 101}},
            {"json": {"inputs": {f"a{n}": [] for n in range(51)}}},
            {"json": {"dataframe_split": {"columns": [f"a{n}" for n in range(51)], "data": []}}},
            {"content": text.getvalue(), "headers": CSV},
            {"content": b"a\n" + b"x" * 20_000, "headers": CSV},
        ]
        for request in requests:
            answer = client.post("/invocations", **request)
            assert answer.status_code == 413, answer.text
            assert set(answer.json()) == {"error_code", "message"}
