"""The Open Inference Protocol (version 2), as its text has it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero import __version__
from plain_http import client_of
from service.conftest import ServiceProcess, Start
from service.safety.raw import TOKENS
from service.workers.processes import Connections
from waiting import until

SCHEMA = {"fields": {"site": "category", "hour": "category", "bid": "number", "*_id": "ignore"}}
ROWS: list[dict[str, Any]] = [
    {"site": "news", "hour": "9", "bid": 0.5, "new": True},
    {"site": "sport", "hour": "10", "bid": 1.5, "new": False},
    {"site": "žluť", "hour": "9", "bid": 3, "new": True},
]
TYPES = {"site": "BYTES", "hour": "INT64", "bid": "FP32", "new": "BOOL"}


def tensor(name: str, datatype: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data} | more


def tensors() -> list[dict[str, Any]]:
    """ROWS, a tensor a field; the hours, a category, as numbers."""
    return [
        tensor(name, kind, [int(row[name]) if kind == "INT64" else row[name] for row in ROWS])
        for name, kind in TYPES.items()
    ]


@pytest.fixture(scope="module")
def taught(client: httpx.Client) -> Iterator[str]:
    path = "/v1/models/tensors"
    assert client.put(path, json={"bits": 12, "schema": SCHEMA}).status_code == 201
    examples = [{"features": row, "label": k % 2} for k, row in enumerate(ROWS * 5)]
    assert client.post(f"{path}/update", json={"examples": examples}).json()["accepted"] == 15
    yield "/v2/models/tensors"
    client.delete(path)


def expected(client: httpx.Client) -> list[float]:
    answer = client.post("/v1/models/tensors/predict", json={"examples": [{"features": row} for row in ROWS]})
    return [one["probability"] for one in answer.json()["predictions"]]


def infer(client: httpx.Client, path: str, inputs: Any, **more: Any) -> httpx.Response:
    return client.post(f"{path}/infer", json={"inputs": inputs} | more)


def test_the_server_says_what_it_is_and_how(client: httpx.Client) -> None:
    assert client.get("/v2").json() == {"name": "nonzero", "version": __version__, "extensions": []}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_a_model_says_what_it_takes_and_gives(client: httpx.Client, taught: str) -> None:
    assert infer(client, taught, [tensor("asked", "INT64", [1])]).status_code == 200  # which teaches nothing
    found = client.get(taught).json()
    assert found["name"] == "tensors"
    assert found["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1]}]
    datatypes = {one["name"]: one["datatype"] for one in found["inputs"]}
    assert datatypes == {"bid": "FP32", "hour": "BYTES", "site": "BYTES", "new": "FP32"}
    assert all(one["shape"] == [-1] for one in found["inputs"])
    assert client.get(f"{taught}/ready").json() == {"name": "tensors", "ready": True}
    for path in ("", "/ready"):
        answer = client.get(f"/v2/models/none{path}")
        assert answer.status_code == 404
        assert "'none'" in answer.json()["error"]


def test_tensors_are_answered_as_examples_are(client: httpx.Client, taught: str) -> None:
    probabilities = expected(client)
    assert len(set(probabilities)) == 3
    wanted = {
        "model_name": "tensors",
        "id": "42 ž",
        "outputs": [{"name": "probability", "shape": [3], "datatype": "FP32", "data": probabilities}],
    }
    answer = infer(
        client, taught, tensors(), id="42 ž", outputs=[{"name": "probability"}], parameters={"a": 1}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == wanted
    del wanted["id"]
    columns = [one | {"shape": [3, 1]} for one in tensors()]
    assert infer(client, taught, columns).json() == wanted  # flat
    nested = [one | {"data": [[value] for value in one["data"]]} for one in columns]
    assert infer(client, taught, nested, outputs=[]).json() == wanted
    body = json.dumps({"inputs": tensors()}).encode()  # as in the protocol's own example: without a type
    assert client.post(f"{taught}/infer", content=body).json() == wanted
    packed = {"content-encoding": "gzip", "content-type": "application/json"}
    assert client.post(f"{taught}/infer", content=gzip.compress(body), headers=packed).json() == wanted


def test_a_long_request_is_the_same_bits(client: httpx.Client, taught: str) -> None:
    """Beyond what is read on the event loop."""
    many = [one | {"data": one["data"] * 2000, "shape": [6000]} for one in tensors()]
    output = infer(client, taught, many).json()["outputs"][0]
    found = np.array(output["data"], np.float32)
    assert output["shape"] == [6000]
    assert found.tobytes() == np.array(expected(client) * 2000, np.float32).tobytes()


@pytest.mark.parametrize(
    ("name", "datatype", "value", "same"),
    [
        ("hour", "INT64", 9, "9"),
        ("hour", "FP64", 9.0, "9"),
        ("hour", "FP16", 9.0, "9"),
        ("hour", "UINT8", 9, "9"),
        ("site", "BOOL", True, "true"),
        ("bid", "BYTES", "0.5", 0.5),
        ("bid", "BOOL", True, 1),
        ("other", "INT8", -2, -2),
        ("other", "BYTES", "a", "a"),
        ("user_id", "BYTES", "u", None),
        ("hour", "INT32", None, None),
        ("site", "BYTES", "", None),
    ],
)
def test_the_schema_is_obeyed(
    client: httpx.Client, taught: str, name: str, datatype: str, value: Any, same: Any
) -> None:
    rest = {} if name == "site" else {"site": "news"}
    one = client.post("/v1/models/tensors/predict", json={"features": rest | {name: same}}).json()
    inputs = [tensor(name, datatype, [value]), *(tensor(key, "BYTES", [held]) for key, held in rest.items())]
    found = infer(client, taught, inputs).json()["outputs"][0]["data"]
    assert found == [one["predictions"][0]["probability"]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "required field `inputs`"),
        ([], "Expected `object`"),
        ({"inputs": []}, "there are no inputs"),
        ({"inputs": [{}]}, "required field `name` - at `$.inputs[0]`"),
        ({"inputs": [tensor("a", "FP32", [1])], "id": 7}, "Expected `str | null`, got `int` - at `$.id`"),
        ({"inputs": [tensor("a", "FP32", [1])], "output": []}, "unknown field `output`"),
        ({"inputs": [tensor("a", "FP32", [1])] * 2}, "two inputs are called 'a'"),
        ({"inputs": [tensor("a", "FLOAT", [1])]}, "'FLOAT'; one of BOOL, BYTES, "),
        ({"inputs": [tensor("a", "FP32", [1], shape=[1, 2])]}, "[n] or [n, 1]"),
        ({"inputs": [tensor("a", "FP32", [1], shape=[])]}, "[n] or [n, 1]"),
        ({"inputs": [tensor("a", "FP32", [1], shape=[-1])]}, "Expected `int` >= 0"),
        ({"inputs": [tensor("a", "FP32", [1], shape=[2])]}, "has 1 elements, and its shape says 2"),
        ({"inputs": [tensor("a", "FP32", [[1, 2]], shape=[1, 1])]}, "of length <= 1"),
        ({"inputs": [tensor("a", "FP32", [1]), tensor("b", "FP32", [1, 2])]}, "of 2 examples, and 'a' of 1"),
        ({"inputs": [tensor("a", "FP32", ["1"])]}, "no list of FP32: Expected `float | null`, got `str`"),
        ({"inputs": [tensor("a", "BYTES", [1])]}, "no list of BYTES: Expected `str | null`, got `int`"),
        ({"inputs": [tensor("a", "BOOL", [1])]}, "no list of BOOL"),
        ({"inputs": [tensor("a", "INT8", [128])]}, "Expected `int` <= 127 - at `$[0]`"),
        ({"inputs": [tensor("a", "UINT64", [-1])]}, "Expected `int` >= 0"),
        ({"inputs": [{"name": "a", "shape": [1], "datatype": "FP32"}]}, "has no data"),
        ({"inputs": [tensor("a", "FP32", [1], parameters={"binary_data_size": 4})]}, "'binary_data_size'"),
        ({"inputs": [tensor("a", "FP32", [1], parameters={"shared_memory_region": "r"})]}, "an extension"),
        (
            {"inputs": [tensor("a", "FP32", [1])], "outputs": [{"name": "logit"}]},
            "there is no output 'logit'",
        ),
        ({"inputs": [tensor("bid", "FP32", [1, 2e6])]}, "number 2: "),
        ({"inputs": [tensor("bid", "BYTES", ["cheap"])]}, "'bid'"),
    ],
)
def test_what_is_wrong_is_named(client: httpx.Client, taught: str, body: Any, said: str) -> None:
    answer = client.post(f"{taught}/infer", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


def test_other_errors_have_the_protocols_form_too(client: httpx.Client, taught: str) -> None:
    body = json.dumps({"inputs": tensors()}).encode()
    binary = client.post(
        f"{taught}/infer", content=body, headers={"inference-header-content-length": str(len(body))}
    )
    asked = [
        (binary, 400, "Inference-Header-Content-Length"),
        (client.post("/v2/models/none/infer", content=body), 404, "no model"),
        (client.post(f"{taught}/infer", content=b"{"), 400, "truncated"),
        (client.post(f"{taught}/infer", content=body.replace(b"news", b"\xff")), 400, "utf-8"),
        (client.post(f"{taught}/infer", content=body, headers={"content-type": "text/csv"}), 415, "text/csv"),
        (client.post(f"{taught}/infer?mode=x", content=body), 400, "'mode'"),
        (client.post(f"{taught}/versions/1/infer", content=body), 404, "no such path"),
        (client.get("/v2/nowhere"), 404, "no such path"),
        (client.delete(taught), 405, "GET, HEAD"),
    ]
    for answer, status, said in asked:
        assert answer.status_code == status, answer.text
        assert said in answer.json()["error"]


def test_no_more_is_read_than_a_body_of_examples_may_have(start: Start) -> None:
    running = start(max_examples=100, max_body_bytes=20_000, max_features=50).until_ready()
    with running.client() as client:
        path = "/v2/models/default"
        assert infer(client, path, [tensor("a", "FP32", [1] * 100)]).status_code == 200
        for inputs in (
            [tensor("a", "FP32", [1] * 101)],
            [tensor("n" * 500, "FP32", [1] * 100)],  # written as examples: 50 kB
            [tensor("a", "BYTES", ["x" * 20_000])],
            [tensor(f"a{n}", "FP32", []) for n in range(51)],
        ):
            answer = infer(client, path, inputs)
            assert answer.status_code == 413, answer.text
            assert set(answer.json()) == {"error"}
        for inputs in (
            [tensor("a", "FP32", [1], shape=[1] * 9000)],
            [tensor("a" * 18_000, "NONE", [1])],
            [tensor("a", "FP32", [1], **{"b" * 18_000: 1})],
        ):
            answer = infer(client, path, inputs)
            assert answer.status_code == 400, answer.text
            assert len(answer.content) < 5000  # a fault does not send back what came


def test_a_worker_answers_as_the_writer_does(start: Start) -> None:
    running = start(workers=2, log_level="debug").until_ready()
    with Connections(running) as (writer, worker):
        for _ in range(2):
            writer.post("/v1/models/default/update", json={"features": {"site": "news"}, "label": 1})
        bodies = {
            "/v1/models/default/predict": {"features": {"site": "news"}},
            "/v2/models/default/infer": {"inputs": [tensor("site", "BYTES", ["news"])]},
            "/invocations": {"instances": [{"site": "news"}]},
            "/invocations?model=default": {"instances": [{"site": "news"}]},
        }
        for path, body in bodies.items():
            answers = [client.post(path, json=body) for client in (writer, worker)]
            assert [one.status_code for one in answers] == [200, 200]
            assert answers[0].content == answers[1].content
        for path, body in {"/v2/models/none/infer": {}, "/invocations?model=none": {}}.items():
            assert {client.post(path, json=body).status_code for client in (writer, worker)} == {404}
        assert worker.get("/v2/models/default").json()["name"] == "default"
        told = {"/v2/models/default/infer", "/invocations"}

        def answered() -> list[int]:
            lines = [line for line in running.lines("request") if line["path"] in told]
            return sorted(line.get("worker", 0) for line in lines)

        until(lambda: answered() == [0] * 5 + [1] * 3)  # a model that a worker has not is the writer's


def test_tokens_are_asked_for(tmp_path_factory: pytest.TempPathFactory, start: Start) -> None:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("".join(f"{scope} {token}\n" for scope, token in TOKENS.items()))
    tokens.chmod(0o600)
    running: ServiceProcess = start(token_file=str(tokens)).until_ready()
    body = {"inputs": [tensor("site", "BYTES", ["news"])]}
    with client_of(running.url) as stranger:
        answer = stranger.post("/v2/models/default/infer", json=body)
        assert (answer.status_code, set(answer.json())) == (401, {"error"})
        assert stranger.post("/invocations", json={}).json()["error_code"] == "UNAUTHENTICATED"
        update = {"authorization": f"Bearer {TOKENS['update']}"}
        answer = stranger.post("/v2/models/default/infer", json=body, headers=update)
        assert (answer.status_code, set(answer.json())) == (403, {"error"})
        predict = {"authorization": f"Bearer {TOKENS['predict']}"}
        assert stranger.post("/v2/models/default/infer", json=body, headers=predict).status_code == 200
