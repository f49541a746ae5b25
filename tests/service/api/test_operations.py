from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.conftest import ServiceProcess
from waiting import until


def test_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_service_that_is_alone_leads(client: httpx.Client) -> None:
    answer = client.get("/leader")
    assert (answer.status_code, answer.json()) == (200, {"node": None, "term": None, "url": None})


def test_head_answers_where_get_does(client: httpx.Client, model: str) -> None:
    client.post(f"{model}/snapshots")
    paths = [
        "/healthz",
        "/readyz",
        "/leader",
        "/metrics",
        "/docs",
        "/docs/start.js",
        "/",
        "/page/page.css",
        "/openapi.json",
        "/v1/models",
        model,
    ]
    for path in [
        *paths,
        f"{model}/metrics",
        f"{model}/diagnosis",
        f"{model}/snapshots/latest",
        f"{model}-none",
    ]:
        asked, read = client.head(path), client.get(path)
        assert (asked.status_code, asked.content) == (read.status_code, b""), path
        assert asked.headers.keys() == read.headers.keys()
        for name in asked.headers.keys() - {"date", "x-request-id", "content-length"}:
            assert asked.headers[name] == read.headers[name]
        if path != "/metrics":  # which has changed meanwhile
            assert asked.headers["content-length"] == read.headers["content-length"]
    assert client.head("/nowhere").status_code == 404
    assert "/docs shows them all" in client.get("/nowhere").json()["detail"]
    refused = client.head(f"{model}/update")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("POST", "{model}/update?strickt=true", "did you mean 'strict'?"),
        ("POST", "{model}/update?strict=true&strickt=true", "did you mean 'strict'?"),
        ("POST", "{model}/update?Strict=true", "did you mean 'strict'?"),
        ("POST", "{model}/update?strict=true&strict=false", "strict is given twice"),
        ("POST", "{model}/update?strict=yes", "not 'yes'"),
        ("POST", "{model}/update?strict", "not ''"),
        (
            "POST",
            "{model}/update?x",
            "this path takes columns, delimiter, id, label, positive, strict, time, time_format, weight",
        ),
        (
            "POST",
            "{model}/update?=x",
            "this path takes columns, delimiter, id, label, positive, strict, time, time_format, weight",
        ),
        ("POST", "{model}/predict?uncertainity=true", "did you mean 'uncertainty'?"),
        (
            "POST",
            "{model}/predict?strict=true",
            "this path takes columns, delimiter, id, label, positive, time, time_format, uncertainty, weight",
        ),
        ("POST", "{model}/labels?strict=true", "this path takes none"),
        ("POST", "{model}/explain?strict=true", "this path takes none"),
        ("POST", "{model}/resume?discart=true", "did you mean 'discard'?"),
        ("POST", "{model}/resume?discard=true&discard=false", "discard is given twice"),
        ("POST", "{model}/resume?discard=maybe", "discard is true or false, not 'maybe'"),
        ("POST", "{model}/remedy?dry_run=", "dry_run is true or false, not ''"),
        ("POST", "{model}/remedy?dryrun=true", "did you mean 'dry_run'?"),
        ("POST", "{model}/snapshots?wait=1", "this path takes none"),
        ("GET", "{model}/snapshots/latest?v=1", "this path takes none"),
        ("GET", "{model}/metrics?v=1", "this path takes none"),
        ("GET", "{model}/diagnosis?v=1", "this path takes none"),
        ("GET", "{model}?v=1", "this path takes none"),
        ("HEAD", "{model}?v=1", ""),
        ("GET", "/v1/models?v=1", "this path takes none"),
        ("PUT", "{model}-other?bits=4", "this path takes none"),
        ("DELETE", "{model}?force=true", "this path takes none"),
    ],
)
def test_a_query_that_nobody_reads_is_refused(
    client: httpx.Client, model: str, method: str, path: str, nearest: str
) -> None:
    body = b'{"features": {"site": "news"}, "label": 1}'
    headers = {"content-type": "application/json"}
    answer = client.request(method, path.format(model=model), content=body, headers=headers)
    assert answer.status_code == 422
    assert method == "HEAD" or nearest in answer.json()["detail"], answer.text
    assert client.get(model).json()["sequence"] == 0


def test_probes_and_browsers_may_add_what_they_like(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/"):
        assert client.get(f"{path}?t=1712345678&t=2").status_code == 200


def test_a_slash_that_is_encoded_is_no_separator(client: httpx.Client, model: str) -> None:
    body = {"features": {"site": "news"}}
    assert client.post(f"{model}/predict", json=body).status_code == 200
    for path in (
        f"/v1/models%2f{model[11:]}/predict",
        f"{model}%2Fpredict",
        f"/v1%2Fmodels/{model[11:]}/predict",
    ):
        assert client.post(path, json=body).status_code in (404, 405), path
    assert client.get(f"{model}%2fmetrics").status_code == 422  # no name of a model
    assert client.post(f"{model}/%70redict", json=body).status_code == 200


def test_metrics_count_requests_and_tell_of_models(client: httpx.Client, model: str) -> None:
    name = model.rpartition("/")[2]
    client.post(f"{model}/update", json={"examples": [{"features": {}, "label": 1}] * 3})
    client.post(f"{model}/update", content=b"nonsense\n", headers={"content-type": "text/x-vw"})
    client.post(f"{model}/predict", json={"features": {}})
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["nonzero_model_examples", ("model", name)] == 3
    assert samples["nonzero_model_queued_bytes", ("model", name)] == 0
    assert samples["nonzero_predictions_total", ("model", name)] == 1
    assert samples["nonzero_rejected_lines_total", ("model", name)] == 1
    route = ("route", "/v1/models/{model}/predict")
    assert samples["nonzero_requests_total", ("method", "POST"), route, ("status", "200")] >= 1
    assert samples["nonzero_request_seconds_count", route] >= 1
    assert samples["process_resident_memory_bytes",] > 0


def test_a_request_id_is_echoed_and_logged(client: httpx.Client, service: ServiceProcess) -> None:
    answer = client.get("/healthz", headers={"x-request-id": "click-17"})
    assert answer.headers["x-request-id"] == "click-17"
    made = client.get("/healthz").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", made)
    strange = client.get("/healthz", headers={"x-request-id": "a b" * 90}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", strange)
    # The line is written after the answer, and read by another thread.
    until(lambda: {"click-17", made, strange} <= {line["request_id"] for line in service.lines("request")})


def test_the_docs_need_no_other_server(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "//" not in page.text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 3
    for part in parts:
        assert client.get(f"/{part}").status_code == 200
    assert "openapi.json" in client.get("/docs/start.js").text
    assert client.get("/docs/other.js").status_code == 404


@pytest.mark.parametrize("path", ["/", "/healthz", "/docs", "/v1/models"])
def test_no_server_header(client: httpx.Client, path: str) -> None:
    assert "server" not in client.get(path).headers
