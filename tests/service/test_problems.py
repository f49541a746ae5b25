"""Every error has one shape: type, title, status, detail, instance, request_id; errors of lines."""

from __future__ import annotations

from http import HTTPStatus

import httpx
import pytest

from nonzero import BatchError, FormatError, LineError
from nonzero_service.errors import ModelExistsError, NotReadyError, QueueFullError, UnknownModelError
from nonzero_service.journal.errors import CommitLostError, OutcomeUnknownError
from nonzero_service.problems import problem_of

JSON = {"content-type": "application/json"}

REFUSED = [
    ("GET", "/nothing", {}, b"", 404),
    ("GET", "/v1/models/absent", {}, b"", 404),
    ("GET", "/v1/models/NO", {}, b"", 422),
    ("GET", "/v1/models/default/snapshots/first", {}, b"", 404),
    ("POST", "/v1/models/absent/predict", JSON, b"{}", 404),
    ("GET", "/v1/models/default/update", {}, b"", 405),
    ("POST", "/v1/models", {}, b"", 405),
    ("PATCH", "/healthz", {}, b"", 405),
    ("GET", "/healthz/", {}, b"", 404),
    ("PUT", "/v1/models/new", JSON, b"\xff", 400),
    ("POST", "/v1/models/default/predict", {}, b"{}", 415),
    ("POST", "/v1/models/default/predict", {"content-type": "text/html"}, b"a\n", 415),
    ("POST", "/v1/models/default/predict", {"content-type": "application/json; charset=latin-1"}, b"{}", 415),
    ("POST", "/v1/models/default/predict", JSON | {"content-encoding": "br"}, b"{}", 415),
    ("POST", "/v1/models/default/explain", {"content-type": "text/x-vw"}, b"1 | a\n", 415),
    ("PUT", "/v1/models/new", {"content-type": "text/plain"}, b"bits", 415),
    ("POST", "/v1/models/default/predict", JSON, b'{"features":', 400),
    ("POST", "/v1/models/default/predict", JSON, b"\xff", 400),
    ("POST", "/v1/models/default/predict", JSON, b"[" * 100_000, 400),
    ("POST", "/v1/models/default/predict", JSON, b"", 400),
    ("POST", "/v1/models/default/predict", JSON | {"content-encoding": "gzip"}, b"{}", 400),
    ("POST", "/v1/models/default/predict", JSON | {"content-encoding": "zstd"}, b"{}", 400),
    ("PUT", "/v1/models/new", JSON, b"{", 400),
    ("POST", "/v1/models/default/predict", JSON, b"[]", 422),
    ("POST", "/v1/models/default/predict", JSON, b'{"examples": 1}', 422),
    ("POST", "/v1/models/default/update?strict=maybe", JSON, b"{}", 422),
    ("POST", "/v1/models/default/explain", JSON, b'{"examples": []}', 422),
    ("PUT", "/v1/models/new", JSON, b'{"bits": 31}', 422),
    ("PUT", "/v1/models/new", JSON, b'{"learning_rate": "fast"}', 422),
    ("PUT", "/v1/models/new", JSON, b'{"lanes": 8}', 422),
    ("PUT", "/v1/models/new", {"content-type": "application/vnd.safetensors"}, b"no model", 422),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REFUSED)
def test_every_refusal_has_the_shape(
    client: httpx.Client, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = client.request(method, path, headers=headers, content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() - {"errors", "accepted", "rejected", "sequence"} == {
        "type", "title", "status", "detail", "instance", "request_id"
    }  # fmt: skip
    assert problem["status"] == status
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["instance"] == path.partition("?")[0]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


def test_a_method_that_is_not_taken_names_those_that_are(client: httpx.Client) -> None:
    assert client.get("/v1/models/default/update").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownModelError("no"), 404),
        (ModelExistsError("yes"), 409),
        (NotReadyError("soon"), 503),
        (QueueFullError("full"), 503),
        (BatchError("row 1"), 422),
        (OSError(28, "No space left on device"), 507),
        (ValueError("secret"), 500),
    ],
)
def test_a_domain_error_has_its_status(error: Exception, status: int) -> None:
    problem = problem_of(error)
    assert problem.status == status
    assert "secret" not in problem.detail
    assert (status == 503) == (b"retry-after" in dict(problem.headers))


def test_a_format_error_names_its_lines() -> None:
    assert problem_of(FormatError("bad", (LineError(3, "why"),))).errors == (LineError(3, "why"),)


def test_a_commit_that_a_database_has_lost_says_all_that_there_is_to_say() -> None:
    """The process goes on, and the log needs no traceback; a failure of its own disk has one."""
    lost, failed = problem_of(CommitLostError("the outcome is unknown: x")), problem_of(OutcomeUnknownError())
    assert (lost.status, lost.detail, lost.says_all) == (503, "the outcome is unknown: x", True)
    assert (failed.status, failed.says_all) == (503, False)
    assert failed.detail.startswith("the outcome is unknown, ")
