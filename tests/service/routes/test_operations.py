from __future__ import annotations

import re
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families


def test_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


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


def test_a_request_id_is_echoed_and_logged(client: httpx.Client, service: object) -> None:
    answer = client.get("/healthz", headers={"x-request-id": "click-17"})
    assert answer.headers["x-request-id"] == "click-17"
    made = client.get("/healthz").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", made)
    strange = client.get("/healthz", headers={"x-request-id": "a b" * 90}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", strange)
    told: set[str] = set()
    deadline = time.monotonic() + 10  # the line is written after the answer, and read by another thread
    while not {"click-17", made, strange} <= told:
        assert time.monotonic() < deadline, told
        told = {line["request_id"] for line in service.log if line.get("event") == "request"}  # type: ignore[attr-defined]


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


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/v1/models"])
def test_no_server_header(client: httpx.Client, path: str) -> None:
    assert "server" not in client.get(path).headers
