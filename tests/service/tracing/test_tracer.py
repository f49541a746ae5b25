"""Spans of requests and commits, as a collector of OpenTelemetry gets them: OTLP over HTTP, in protobuf."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from service.conftest import SERVE, ServiceProcess
from service.workers.processes import Connections
from waiting import until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
wire: Any = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PREDICT, UPDATE = "/v1/models/default/predict", "/v1/models/default/update"
ONE = {"features": {"site": "news"}, "label": 1}
SERVER = 2
ERROR = 2

Spans = dict[str, list[Any]]


def told(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Collector(ThreadingHTTPServer):
    """Takes spans, and keeps them with what was said of their process."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans: list[Any] = []
        self.processes: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def by_name(self) -> Spans:
        found: Spans = {}
        for span in self.spans:
            found.setdefault(span.name, []).append(span)
        return found


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
        for process in wire.ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.processes.append(told(process.resource.attributes))
            for scope in process.scope_spans:
                assert scope.scope.name == "nonzero"
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running
        running.shutdown()


Begin = Callable[..., ServiceProcess]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start services that make spans, with variables of their own."""
    started: list[ServiceProcess] = []

    def start(url: str, program: str = SERVE, workers: int = 1, **variables: str) -> ServiceProcess:
        class Traced(ServiceProcess):
            environment = MappingProxyType(
                {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50", **variables}
            )

        Traced.program = program
        started.append(Traced(tmp_path, bits=8, otel="on", log_level="debug", workers=workers))
        return started[-1]

    yield start
    for running in started:
        running.kill()


def test_requests_and_commits_are_spans(begin: Begin, collector: Collector) -> None:
    running = begin(collector.url).until_ready()
    with running.client() as client:
        parent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "traced"}
        assert client.post(UPDATE, json=ONE, headers=parent).status_code == 200  # inline
        body = {"examples": [ONE, ONE]}
        assert client.post(UPDATE, json=body, headers=parent | {"x-request-id": "by-task"}).status_code == 200
        assert client.post(PREDICT, json={"features": {}}).status_code == 200
        assert client.post("/v1/models/none/predict", json=ONE).status_code == 404
    assert running.stop() == 0
    spans = collector.by_name()
    updates = spans[f"POST {UPDATE.replace('default', '{model}')}"]
    for update in updates:
        assert (update.trace_id.hex(), update.parent_span_id.hex()) == (TRACE, SPAN)
        assert update.kind == SERVER
        assert told(update.attributes) == {
            "http.request.method": "POST",
            "http.route": "/v1/models/{model}/update",
            "http.response.status_code": 200,
            "nonzero.model": "default",
        }
    predicted, missed = spans["POST /v1/models/{model}/predict"]
    assert not predicted.parent_span_id
    assert told(missed.attributes)["http.response.status_code"] == 404
    assert missed.status.code != ERROR
    first, second = spans["commit"]
    for commit, update, rows in ((first, updates[0], 1), (second, updates[1], 1)):
        assert [(link.trace_id, link.span_id) for link in commit.links] == [(update.trace_id, update.span_id)]
        assert told(commit.attributes).items() >= {"nonzero.model": "default", "nonzero.rows": rows}.items()
        assert update.start_time_unix_nano <= commit.start_time_unix_nano
        assert commit.start_time_unix_nano <= commit.end_time_unix_nano <= update.end_time_unix_nano
    assert {name.partition(" ")[0] for name in spans} == {"POST", "GET", "commit"}
    process = collector.processes[0]
    assert process["service.name"] == "nonzero"
    # The log says the request's own span, by which its lines are found from there.
    lines = {line["request_id"]: line for line in running.lines("request") if "request_id" in line}
    assert [lines[name]["span_id"] for name in ("traced", "by-task")] == [
        one.span_id.hex() for one in updates
    ]
    assert lines["traced"]["trace_id"] == TRACE


def test_the_caller_decides_what_is_recorded(begin: Begin, collector: Collector) -> None:
    variables = {
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_SERVICE_NAME": "ours",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    running = begin(collector.url, **variables).until_ready()
    with running.client() as client:
        for flags in ("00", "01"):
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}
            assert client.post(UPDATE, json=ONE, headers=headers).status_code == 200
        assert client.post(UPDATE, json=ONE).status_code == 200
    assert running.stop() == 0
    assert [span.name for span in collector.spans] == ["POST /v1/models/{model}/update"]
    process = collector.processes[0]
    assert (process["service.name"], process["deployment.environment.name"]) == ("ours", "test")


def test_the_sdk_can_be_disabled(begin: Begin, collector: Collector) -> None:
    running = begin(collector.url, OTEL_SDK_DISABLED="true").until_ready()
    with running.client() as client:
        for name, headers in {"given": {"traceparent": f"00-{TRACE}-{SPAN}-01"}, "none": {}}.items():
            assert client.post(UPDATE, json=ONE, headers={"x-request-id": name, **headers}).status_code == 200
    assert running.stop() == 0
    assert collector.spans == []
    lines = {line["request_id"]: line.get("span_id") for line in running.lines("request")}
    assert (lines["given"], lines["none"]) == (SPAN, None)


def test_a_worker_makes_its_own_and_the_writer_those_of_what_is_passed_on(
    begin: Begin, collector: Collector
) -> None:
    running = begin(collector.url, workers=2).until_ready()
    with Connections(running) as (_, worker):
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        assert worker.post(PREDICT, json=ONE, headers=headers).status_code == 200
        assert worker.post(UPDATE, json=ONE, headers=headers).status_code == 200
    assert running.stop() == 0
    of_trace = [span.name.rpartition("/")[2] for span in collector.spans if span.trace_id.hex() == TRACE]
    assert sorted(of_trace) == ["predict", "update"]
    assert {process.get("nonzero.worker") for process in collector.processes} == {None, 1}


def test_nobody_waits_for_a_collector_that_is_not_there(begin: Begin) -> None:
    running = begin("http://127.0.0.1:9").until_ready()
    with running.client() as client:
        assert client.post(UPDATE, json=ONE).status_code == 200
        until(lambda: [line for line in running.log if "export" in str(line.get("event", "")).lower()])
    assert running.stop() == 0


LACKING = """
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
    del sys.modules[name]
sys.meta_path.insert(0, Lacking())
"""


def test_without_the_extra_the_start_names_it(begin: Begin) -> None:
    running = begin("http://127.0.0.1:9", program=LACKING + SERVE)
    assert running.until_ended() == 1
    [line] = running.lines("the service cannot start")
    assert line["reason"] == (
        "otel is on, and OpenTelemetry is not installed (opentelemetry): pip install 'nonzero-ctr[otel]'"
    )


def test_a_variable_that_cannot_be_obeyed_ends_the_start(begin: Begin) -> None:
    running = begin("http://127.0.0.1:9", OTEL_TRACES_EXPORTER="zipkin")
    assert running.until_ended() == 1
    [line] = running.lines("the service cannot start")
    assert "OTEL_TRACES_EXPORTER is 'zipkin'; it is one of otlp, none" in line["reason"]
