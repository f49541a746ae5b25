"""OpenAPI says what really comes back: answers are validated against it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest

from nonzero_service.api.framework_app import FrameworkApp
from nonzero_service.app import create_app
from nonzero_service.settings import Settings

NDJSON = "application/x-ndjson"

STATED = {
    "/v1/models/{model}/labels": {"post"},
    "/v1/models/{model}/resume": {"post"},
    "/v1/models/{model}/clock": {"post"},
    "/v1/models/{model}/update": {"post"},
    "/v1/models/{model}/predict": {"post"},
    "/v1/models/{model}/explain": {"post"},
    "/v1/models": {"get", "head"},
    "/v1/models/{model}": {"get", "head", "put", "delete"},
    "/v1/models/{model}/history": {"get", "head"},
    "/v1/models/{model}/metrics": {"get", "head"},
    "/v1/models/{model}/source": {"get", "head"},
    "/v1/models/{model}/diagnosis": {"get", "head"},
    "/v1/models/{model}/remedy": {"post"},
    "/v1/models/{model}/comparison": {"get", "head"},
    "/v1/models/{model}/promote": {"post"},
    "/v1/models/{model}/snapshots": {"post"},
    "/v1/models/{model}/snapshots/latest": {"get", "head"},
    "/v2": {"get", "head"},
    "/v2/health/live": {"get", "head"},
    "/v2/health/ready": {"get", "head"},
    "/v2/models/{model}": {"get", "head"},
    "/v2/models/{model}/ready": {"get", "head"},
    "/v2/models/{model}/infer": {"post"},
    "/invocations": {"post"},
    "/ping": {"get", "head"},
    "/health": {"get", "head"},
    "/version": {"get", "head"},
    "/healthz": {"get", "head"},
    "/readyz": {"get", "head"},
    "/leader": {"get", "head"},
    "/metrics": {"get", "head"},
}


@pytest.fixture(scope="module")
def description(client: httpx.Client) -> dict[str, Any]:
    content: dict[str, Any] = client.get("/openapi.json").json()
    return content


def test_every_route_is_described(description: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in description["paths"].items()} == STATED


def test_a_token_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("admin a-token-for-everything\n")
    (tmp_path / "tokens").chmod(0o600)
    path = "/v1/models/{model}/update"
    for file, security in ((tmp_path / "tokens", [{"token": []}]), (None, None)):
        service = create_app(Settings.load(data_dir=tmp_path, token_file=file)).service
        said = FrameworkApp(service).openapi()
        assert said["paths"][path]["post"].get("security") == security
        assert "security" not in said["paths"]["/healthz"]["get"]
        assert ("securitySchemes" in said["components"]) == (
            "401" in said["paths"][path]["post"]["responses"]
        )
        assert ("securitySchemes" in said["components"]) == bool(security)


def test_it_is_openapi_and_has_no_default_validation_schema(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in json.dumps(description)
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(description)))
    assert named <= set(description["components"]["schemas"])


def valid(description: dict[str, Any], answer: httpx.Response, path: str, method: str) -> None:
    """Check an answer against the description of its route."""
    responses = description["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, (path, answer.status_code)
    media = answer.headers.get("content-type", "").partition(";")[0]
    content = responses[str(answer.status_code)].get("content", {})
    if answer.status_code == 204:
        return
    assert media in content, (path, media)
    if media in ("application/json", "application/problem+json"):
        schema = content[media]["schema"] | {"components": description["components"]}
        jsonschema.validate(answer.json(), schema, format_checker=jsonschema.FormatChecker())


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("post", "/v1/models/{model}/predict", {"json": {"features": {"a": "b"}, "id": "x"}}),
    ("post", "/v1/models/{model}/predict", {"json": {"examples": [{"features": {"a": {}}}]}}),
    ("post", "/v1/models/{model}/predict", {"content": b"| a\n", "headers": {"content-type": "text/x-vw"}}),
    ("post", "/v1/models/{model}/predict", {"content": b"a", "headers": {"content-type": "text/html"}}),
    (
        "post",
        "/v1/models/{model}/predict",
        {"content": b"{", "headers": {"content-type": "application/json"}},
    ),
    ("post", "/v1/models/{model}/update", {"json": {"features": {"a": "b"}, "label": True}}),
    ("post", "/v1/models/{model}/update", {"json": {"features": {"a": "b"}}}),
    (
        "post",
        "/v1/models/{model}/update",
        {"content": b"x\n1 | a\n", "headers": {"content-type": "text/x-vw"}},
    ),
    (
        "post",
        "/v1/models/{model}/update",
        {"content": b"1 | a\n", "headers": {"content-type": "text/x-vw", "accept": NDJSON}},
    ),
    (
        "post",
        "/v1/models/{model}/update",
        {"content": b"x\n", "params": {"strict": "true"}, "headers": {"content-type": "text/x-vw"}},
    ),
    (
        "post",
        "/v1/models/{model}/update",
        {"content": b"x\n", "headers": {"content-type": "text/x-vw"}},
    ),
    ("post", "/v1/models/{model}/labels", {"json": {"labels": [{"id": "unknown", "label": 1}] * 2}}),
    ("post", "/v1/models/{model}/explain", {"json": {"features": {"a": ["b"], "c": 0.5}}}),
    ("post", "/v1/models/{model}/explain", {"json": {}}),
    ("get", "/v1/models", {}),
    ("get", "/v1/models", {"params": {"mode": "x"}}),
    ("get", "/v1/models", {"headers": {"host": "elsewhere.example"}}),
    ("post", "/v1/models/{model}/predict", {"headers": {"origin": "https://elsewhere.example"}}),
    ("get", "/v1/models/{model}", {}),
    ("put", "/v1/models/{model}", {"json": {}}),
    ("put", "/v1/models/{model}", {"json": {"bits": 13}}),
    ("put", "/v1/models/{model}", {"json": {"bits": "many"}}),
    ("get", "/v1/models/{model}/metrics", {}),
    ("get", "/v1/models/{model}/history", {}),
    ("get", "/v1/models/{model}/history", {"params": {"step": "examples"}}),
    ("get", "/v1/models/{model}/history", {"params": {"step": "year"}}),
    ("get", "/v1/models/{model}/snapshots/latest", {}),
    ("post", "/v1/models/{model}/snapshots", {}),
    ("get", "/v1/models/{model}/snapshots/latest", {}),
    ("get", "/v2", {}),
    ("get", "/v2/health/live", {}),
    ("get", "/v2/health/ready", {}),
    ("get", "/v2/models/{model}", {}),
    ("get", "/v2/models/{model}/ready", {}),
    ("post", "/v2/models/{model}/infer", {"json": {"inputs": []}}),
    ("post", "/v2/models/{model}/infer", {"content": b"a", "headers": {"content-type": "text/csv"}}),
    (
        "post",
        "/v2/models/{model}/infer",
        {"json": {"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "data": ["b"]}]}},
    ),
    ("post", "/v2/models/{model}/infer", {"headers": {"origin": "https://elsewhere.example"}}),
    ("post", "/invocations", {"params": {"model": "described"}, "json": {"instances": [{"a": "b"}]}}),
    ("post", "/invocations", {"params": {"model": "none"}, "json": {"instances": [{"a": "b"}]}}),
    ("post", "/invocations", {"json": {"instances": [1]}}),
    ("post", "/invocations", {"content": b"a", "headers": {"content-type": "text/html"}}),
    ("get", "/ping", {}),
    ("get", "/health", {}),
    ("get", "/version", {}),
    ("delete", "/v1/models/{model}", {}),
    ("get", "/v1/models/{model}/metrics", {}),
    ("get", "/v2/models/{model}", {}),
    ("get", "/v2/models/{model}/ready", {}),
    ("get", "/healthz", {}),
    ("get", "/readyz", {}),
    ("get", "/leader", {}),
    ("get", "/metrics", {}),
]


def test_answers_are_as_described(client: httpx.Client, description: dict[str, Any]) -> None:
    client.put("/v1/models/described", json={"bits": 10, "learning_rate": 0.1})
    for method, path, request in CALLS:
        answer = client.request(method, path.replace("{model}", "described"), **request)
        valid(description, answer, path, method)


def test_streamed_lines_are_as_described(
    client: httpx.Client, model: str, description: dict[str, Any]
) -> None:
    def check(line: str, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        jsonschema.validate(json.loads(line), schema)

    body, headers = b"1 x| a\n?\n0 | b\n", {"content-type": "text/x-vw"}
    first, second, third = client.post(f"{model}/predict", content=body, headers=headers).text.splitlines()
    check(first, "Prediction")
    check(second, "LineFault")
    check(third, "Prediction")
    progress, last = client.post(
        f"{model}/update", content=body, headers=headers | {"accept": NDJSON}
    ).text.splitlines()
    check(progress, "ProgressLine")
    check(last, "Updated")


def examples_of(operation: dict[str, Any]) -> list[tuple[str, Any]]:
    """The examples of an operation's body, with their types."""
    content = operation.get("requestBody", {}).get("content", {})
    return [(media, one["value"]) for media, form in content.items() for one in form["examples"].values()]


def send(client: httpx.Client, method: str, path: str, media: str, value: Any) -> httpx.Response:
    content = json.dumps(value) if media == "application/json" else value
    return client.request(method, path, content=content, headers={"content-type": media})


BODIES = ("update", "predict", "labels", "explain", "")
ELSEWHERE = ("/v2/models/{model}/infer", "/invocations")
"""Where predictions are asked for in other protocols."""


def test_every_body_has_examples(description: dict[str, Any]) -> None:
    """Without them `/docs` makes up one, such as `{"values": [0]}`, which is refused."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            for media, form in operation.get("requestBody", {}).get("content", {}).items():
                part = path.removeprefix("/v1/models/{model}").removeprefix("/")
                # Of a promotion the example needs a challenger of that name.
                assert path in ELSEWHERE or part in (*BODIES, "promote")
                shown = form["examples"] or form["schema"].get("format") == "binary"
                assert shown, (path, method, media)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("part", BODIES)
def test_every_example_of_a_body_works(
    client: httpx.Client, model: str, description: dict[str, Any], part: str
) -> None:
    path = "/v1/models/{model}" + (f"/{part}" if part else "")
    method = "post" if part else "put"
    examples = examples_of(description["paths"][path][method])
    assert examples
    for n, (media, value) in enumerate(examples):
        target = f"{model}-{n}"
        if part:
            assert client.put(target, json={"bits": 12}).status_code == 201
        if part == "labels":
            for sort, prediction in examples_of(description["paths"][path.replace(part, "predict")]["post"]):
                assert send(client, "post", f"{target}/predict", sort, prediction).status_code == 200
        answer = send(client, method, target + path.removeprefix("/v1/models/{model}"), media, value)
        assert answer.status_code in (200, 201), (media, value, answer.text)
        assert not part or "reason" not in answer.text, (media, value, answer.text)  # of a line
        assert client.delete(target).status_code == 204


@pytest.mark.parametrize("path", ELSEWHERE)
def test_every_example_of_another_protocol_works(
    client: httpx.Client, description: dict[str, Any], path: str
) -> None:
    for media, value in examples_of(description["paths"][path]["post"]):
        answer = send(client, "post", path.replace("{model}", "default"), media, value)
        assert answer.status_code == 200, (media, value, answer.text)
        valid(description, answer, path, "post")


def test_every_example_of_a_member_works(
    client: httpx.Client, model: str, description: dict[str, Any]
) -> None:
    """Those that stand with a member of a wire type, in a body that has little else."""
    rest: dict[str, tuple[str, str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
        "Example": ("post", "/update", lambda member: member | {"label": 1}),
        "NewModel": ("put", "-member", lambda member: member),
        "Shared": ("post", "/predict", lambda member: {"shared": member, "candidates": [{"features": {}}]}),
        "Said": ("put", "-said", lambda member: {"schema": member}),
    }
    shown = 0
    for name, schema in description["components"]["schemas"].items():
        for member, said in schema.get("properties", {}).items():
            for value in said.get("examples", ()):
                method, end, body = rest[name]
                answer = client.request(method, model + end, json=body({member: value}))
                assert answer.status_code in (200, 201), (name, member, answer.text)
                shown += 1
    client.delete(f"{model}-member")
    client.delete(f"{model}-said")
    assert shown
    for methods in description["paths"].values():
        for operation in methods.values():
            for one in operation.get("parameters", ()):
                assert one.get("example", "default") == "default", "another example needs a try of its own"


def test_head_is_described_as_get_without_bodies(description: dict[str, Any]) -> None:
    for methods in description["paths"].values():
        if "get" in methods:
            assert methods["head"]["responses"].keys() == methods["get"]["responses"].keys()
            assert not any("content" in one for one in methods["head"]["responses"].values())
    ids = [one["operationId"] for methods in description["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)


def test_methods_stand_in_the_same_order_whenever_it_is_made(description: dict[str, Any]) -> None:
    """The framework has them in sets, whose order no other process has."""
    for methods in description["paths"].values():
        assert "get" not in methods or [*methods][:: len(methods) - 1] == ["get", "head"]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_refused_name_is_as_described(
    client: httpx.Client, description: dict[str, Any], method: str
) -> None:
    valid(description, client.request(method, "/v1/models/UPPER"), "/v1/models/{model}", method)
