"""traceparent, as W3C's text has it, and where its ids come into the log."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from nonzero_service.tracing.trace_context import TraceContext, read_traceparent
from service.conftest import ServiceProcess, Start
from service.workers.processes import Connections
from waiting import until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (VALID, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 255),
        (f"01-{TRACE}-{SPAN}-01", 1),  # a later version is read as far as it is known
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ],
)
def test_a_valid_header_is_read(value: str, flags: int) -> None:
    assert read_traceparent(value.encode()) == TraceContext(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",  # a version that there will never be
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{TRACE}-{SPAN}-01-more",  # of version 00, which has four parts
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{VALID}\n",
        f" {VALID}",
    ],
)
def test_a_header_that_is_not_valid_says_nothing(value: str) -> None:
    assert read_traceparent(value.encode()) is None


def ids_of(service: ServiceProcess, request_id: str) -> list[tuple[str | None, str | None]]:
    """The trace ids of a request's lines, when there are some."""
    until(lambda: any(line.get("request_id") == request_id for line in service.log))
    lines = [line for line in service.log if line.get("request_id") == request_id]
    return [(line.get("trace_id"), line.get("span_id")) for line in lines]


def test_the_lines_of_a_request_say_its_trace(service: ServiceProcess, client: httpx.Client) -> None:
    one: dict[str, Any] = {"json": {"features": {"site": "news"}}}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/models/default/predict", one),  # inline
        ("POST", "/v1/models/default/predict", {"json": {"examples": [one["json"]]}}),  # by a task
        ("POST", "/v1/models/default/update", {"json": one["json"] | {"label": 1}}),
        ("GET", "/v1/models", {}),  # by the framework
        ("GET", "/nowhere", {}),
        (
            "POST",
            "/v1/models/default/predict",
            {"headers": {"origin": "https://elsewhere.example"}},
        ),  # refused
    ]
    for n, (method, path, request) in enumerate(asked):
        name = f"traced-{n}"
        headers = {"x-request-id": name, "traceparent": VALID, **request.get("headers", {})}
        client.request(method, path, **request | {"headers": headers})
        assert set(ids_of(service, name)) == {(TRACE, SPAN)}, (method, path)


def test_other_requests_say_none(service: ServiceProcess, client: httpx.Client) -> None:
    for n, values in enumerate([[], ["00-no-trace-01"], [VALID, VALID]]):
        headers = [("x-request-id", f"untraced-{n}"), *(("traceparent", value) for value in values)]
        assert client.get("/v1/models", headers=headers).status_code == 200
        assert ids_of(service, f"untraced-{n}") == [(None, None)]


def test_what_a_worker_passes_on_is_of_the_same_trace(start: Start) -> None:
    running = start(workers=2, log_level="debug").until_ready()
    with Connections(running) as (_, worker):
        for name, path in (("own", "/v1/models/default/predict"), ("passed-on", "/v1/models/default/update")):
            body = {"features": {"site": "news"}, "label": 1}
            worker.post(path, json=body, headers={"x-request-id": name, "traceparent": VALID})
            assert ids_of(running, name) == [(TRACE, SPAN)]
    by = {line["request_id"]: line.get("worker") for line in running.lines("request") if "trace_id" in line}
    assert by == {"own": 1, "passed-on": None}
