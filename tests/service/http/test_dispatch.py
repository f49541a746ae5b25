"""Each request has one way: which are answered inline, which by a task, and which by nothing."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from nonzero_service.api.described import OPERATIONS, Operation
from nonzero_service.api.table import DIRECT, FRAMEWORK, TABLE
from nonzero_service.http.routing import Need, Route, RouteTable
from nonzero_service.server import Writer
from nonzero_service.settings import Settings
from waiting import until

MODEL = "/v1/models/default"
ONE = b'{"features": {"site": "news"}, "label": 1}'
NAMED = b'{"features": {"site": "news"}, "label": 1, "id": "a"}'
NEVER_PREDICTED = b'{"features": {"site": "news"}, "label": 1, "id": "never predicted"}'
LIST = b'{"examples": [%b, %b]}' % (ONE, ONE)
JSON = "content-type: application/json"


class Served:
    """A service in this process, whose dispatcher can be asked what it has done."""

    def __init__(self, settings: Settings) -> None:
        self.server = Writer(settings)
        self.server.config.load()
        sockets = self.server.pool.listen()
        self.port = sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=(sockets,))
        self.thread.start()

    def begun(self) -> tuple[int, int]:
        """How many requests were begun inline, and how many by a task."""
        dispatcher = self.server.app.dispatcher
        return dispatcher.begun_inline, dispatcher.begun_by_task

    def ask(self, *parts: bytes) -> tuple[list[int], tuple[int, int]]:
        """Send the parts of requests, the last of which ends the connection.

        Return the statuses of the answers, and how many of the requests were begun inline and by a task.
        """
        before = self.begun()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(30)
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
            received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        statuses = [int(part[1:4]) for part in received.split(b"HTTP/1.1")[1:]]
        after = self.begun()
        return statuses, (after[0] - before[0], after[1] - before[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(Settings.load(data_dir=tmp_path_factory.mktemp("inline"), port=0, bits=12))
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:

        def is_ready() -> bool:
            with suppress(httpx.TransportError):  # its thread has not come to listen
                return client.get("/readyz").status_code == 200
            return False

        until(is_ready)
    yield running
    running.server.should_exit = True
    running.thread.join(30)
    gc.unfreeze()
    assert not running.thread.is_alive()


def request(action: str, body: bytes, *lines: str, last: bool = True) -> bytes:
    """A request that is the last of its connection, or not."""
    lines = (*(lines or (JSON,)), f"content-length: {len(body)}", *(["connection: close"] if last else []))
    head = "\r\n".join([f"POST {MODEL}/{action} HTTP/1.1", "host: localhost", *lines, "", ""])
    return head.encode() + body


def chunked(action: str, body: bytes) -> bytes:
    lines = (JSON, "transfer-encoding: chunked", "connection: close", "", "")
    head = "\r\n".join([f"POST {MODEL}/{action} HTTP/1.1", "host: localhost", *lines])
    return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


CANDIDATES = b'{"shared": {"features": {"site": "news"}}, "candidates": [{"features": {"ad": "7"}}]}'
NEW_CANDIDATES = CANDIDATES.replace(b"ad", b"never seen")
MANY_CANDIDATES = json.dumps(
    {
        "shared": {"features": {f"f{k}": k for k in range(200)}},
        "candidates": [{"features": {"ad": "7"}}] * 100,
    }
).encode()
"""They are short, and with what they share they are long."""
LARGE = b'{"features": {"site": "%b"}, "label": 1}' % (b"x" * 20_000)
EXPECT = "expect: 100-continue"

INLINE, TASK, BOTH = (1, 0), (0, 1), (1, 1)
"""Begun inline; by a task; inline, and handed to a task when it was seen that it cannot be so answered."""

WAYS = {
    "a prediction": ([request("predict", ONE)], 200, INLINE),
    "an update": ([request("update", ONE)], 200, INLINE),
    "in chunks": ([chunked("predict", ONE)], 200, INLINE),
    "an update in chunks": ([chunked("update", ONE)], 200, INLINE),
    "that expects 100, and does not wait": ([request("predict", ONE, JSON, EXPECT)], 200, INLINE),
    "with a charset": ([request("update", ONE, f"{JSON}; charset=utf-8")], 200, INLINE),
    "that accepts lines": ([request("update", ONE, JSON, "accept: application/x-ndjson")], 200, INLINE),
    "an update with an id": ([request("update", NEVER_PREDICTED)], 200, INLINE),
    "an update without a label": ([request("update", b'{"features": {}}')], 422, BOTH),
    "an update that is cut off": ([request("update", ONE[:-1])], 400, BOTH),
    "an empty update": ([request("update", b"")], 400, BOTH),
    "a prediction with an id": ([request("predict", NAMED)], 200, TASK),
    "a prediction that is cut off": ([request("predict", ONE[:-1])], 400, TASK),
    "candidates with a name that is new": ([request("predict", NEW_CANDIDATES)], 200, TASK),
    "candidates with ids": ([request("predict", CANDIDATES.replace(b"}}]", b'}, "id": "c"}]'))], 200, TASK),
    "candidates that are cut off": ([request("predict", CANDIDATES[:-1])], 400, TASK),
    "many candidates": ([request("predict", MANY_CANDIDATES)], 200, TASK),
    "a short list": ([request("predict", LIST)], 200, TASK),
    "an update of a short list": ([request("update", LIST)], 200, TASK),
    "a large prediction": ([request("predict", LARGE)], 200, TASK),
    "a large update": ([request("update", LARGE)], 200, TASK),
    "compressed": (
        [request("update", gzip.compress(ONE), JSON, "content-encoding: gzip")],
        200,
        TASK,
    ),
    "with a key": ([request("update", ONE, JSON, "idempotency-key: k")], 200, TASK),
    "that waits for a sequence": ([request("predict", ONE, JSON, "nonzero-min-sequence: 0")], 200, TASK),
    "an update says nothing by it": ([request("update", ONE, JSON, "nonzero-min-sequence: x")], 200, TASK),
    "with a query": ([request("predict?uncertainty=true", ONE)], 200, TASK),
    "another charset": ([request("predict", ONE, f"{JSON}; charset=latin-1")], 415, TASK),
    "another type": ([request("predict", ONE, "content-type: text/html")], 415, TASK),
    "a stream": ([request("update", b"1 | a\n", "content-type: text/x-vw")], 200, TASK),
    "a body after its head": (
        [request("predict", ONE)[: -len(ONE)], ONE],
        200,
        TASK,
    ),
    "a label": ([request("labels", b'{"id": "a", "label": 1}')], None, TASK),
    "an explanation": ([request("explain", ONE)], 200, TASK),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_is_whole_small_and_plain_is_answered_inline(served: Served, name: str) -> None:
    parts, status, begun = WAYS[name]
    statuses, found = served.ask(*parts)
    assert found == begun
    assert statuses == [status] or status is None


def test_candidates_are_answered_inline_once_their_names_are_known(served: Served) -> None:
    served.ask(request("predict", CANDIDATES))
    assert served.ask(request("predict", CANDIDATES)) == ([200], INLINE)


def test_ids_are_seen_at_either_end_of_candidates(served: Served) -> None:
    context = json.dumps({"features": {f"text{k}": "x" * 20 for k in range(60)}}).encode()
    own = [b'{"id": "c%d", "features": {"ad": "7"}}' % k for k in range(3)]
    for ids, begun in ((True, TASK), (False, INLINE)):
        candidates = b", ".join(one if ids else one.replace(one[:12], b"{") for one in own)
        for body in (
            b'{"shared": %b, "candidates": [%b]}' % (context, candidates),
            b'{"candidates": [%b], "shared": %b}' % (candidates, context),
        ):
            served.ask(request("predict", body))  # its names are known then
            assert served.ask(request("predict", body)) == ([200], begun)


def test_each_request_of_a_connection_goes_its_own_way(served: Served) -> None:
    requests = [request("predict", ONE, last=False), request("update", ONE, last=False)]
    other = request("predict", ONE, last=False).replace(b"/default/", b"/none/")
    get = b"GET %b/predict HTTP/1.1\r\nhost: localhost\r\n\r\n" % MODEL.encode()
    sent = [requests[0], requests[0], get, requests[0], other, requests[1], requests[1], other]
    statuses, _ = served.ask(b"".join(sent) + request("predict", ONE))
    assert statuses == [200, 200, 405, 200, 404, 200, 200, 404, 200]


def test_what_is_pipelined_is_answered_inline(served: Served) -> None:
    actions = ["update", "predict", "explain"] * 5
    sent = b"".join(request(action, ONE, last=False) for action in actions)
    statuses, begun = served.ask(sent + request("predict", ONE))
    assert statuses == [200] * 16
    assert begun == (11, 5)


def test_an_unknown_model_is_answered_inline_where_an_answer_would_be(served: Served) -> None:
    for action, begun in (("predict", INLINE), ("update", INLINE), ("explain", TASK)):
        sent = request(action, ONE).replace(b"/default/", b"/none/")
        assert served.ask(sent) == ([404], begun)


def test_routes_of_the_framework_are_answered_by_tasks(served: Served) -> None:
    sent = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    assert served.ask(sent) == ([200], TASK)


# -- the table ------------------------------------------------------------------------------------------


def test_every_route_is_described_with_the_bodies_that_it_reads() -> None:
    assert Counter(one.route for one in OPERATIONS) == Counter((*DIRECT, *FRAMEWORK))
    for route, _, described in OPERATIONS:
        body = described.get("openapi_extra", {}).get("requestBody", {"content": ()})
        assert tuple(body["content"]) == route.accepts, route.path


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.route.method} {one.route.path}")
def test_every_route_is_found_by_its_path(operation: Operation) -> None:
    route = operation.route
    path = route.path.replace("{model}", "x y").replace("{asset}", "start.js")
    target, parameters = TABLE.find(route.method, path)
    assert target.route is route
    assert target.need == route.need
    assert target.pattern == route.path
    assert set(parameters.values()) == {"x y", "start.js"} & set(path.split("/"))


@pytest.mark.parametrize(
    ("method", "path", "need", "pattern", "methods"),
    [
        ("GET", "/v1/models/a/predict", Need.READ, "/v1/models/{model}/predict", ("POST",)),
        ("PATCH", "/v1/models/a", Need.MANAGE, "/v1/models/{model}", ("GET", "HEAD", "PUT", "DELETE")),
        ("OPTIONS", "/healthz", Need.NOTHING, "/healthz", ("GET", "HEAD")),
        (
            "OPTIONS",
            "/v1/models/a/snapshots/latest",
            Need.MANAGE,
            "/v1/models/{model}/snapshots/latest",
            None,
        ),
        ("POST", "/healthz", Need.MANAGE, "/healthz", ("GET", "HEAD")),
        ("POST", "/", Need.MANAGE, "/", ("GET", "HEAD")),
        ("GET", "//", Need.READ, "none", ()),
        ("GET", "/healthz/", Need.READ, "none", ()),
        ("GET", "/healthz\n", Need.READ, "none", ()),
        ("GET", "/v1/models/a/snapshots/latest\n", Need.READ, "none", ()),
        ("GET", "//healthz", Need.READ, "none", ()),
        ("POST", "/nowhere", Need.MANAGE, "none", ()),
        ("POST", "/v1/models//predict", Need.PREDICT, "none", ()),
        ("POST", "/v1/models/a/b/update", Need.UPDATE, "none", ()),
        ("DELETE", "/v1/models", Need.MANAGE, "/v1/models", ("GET", "HEAD")),
        ("OPTIONS", "*", Need.READ, "none", ()),
    ],
)
def test_what_no_route_answers(
    method: str, path: str, need: Need, pattern: str, methods: tuple[str, ...] | None
) -> None:
    target, _ = TABLE.find(method, path)
    assert target.route is None
    assert (target.need, target.pattern) == (need, pattern)
    assert methods is None or target.methods == methods


def test_a_parameter_gives_way_to_a_word() -> None:
    routes = [Route("GET", "/a/{b}/c", Need.READ), Route("GET", "/a/b/d", Need.READ)]
    table = RouteTable(routes)
    assert table.find("GET", "/a/x/c") == (table.find("GET", "/a/y/c")[0], {"b": "x"})
    assert table.find("GET", "/a/b/d")[0].route is routes[1]


def test_a_path_is_told_which_methods_it_takes(client: httpx.Client) -> None:
    answer = client.request("PATCH", MODEL)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, PUT, DELETE"
    assert "GET, HEAD, PUT, DELETE" in json.loads(answer.content)["detail"]


def test_a_newline_behind_a_path_is_another_path(client: httpx.Client) -> None:
    assert client.post(f"{MODEL}/snapshots").status_code == 201
    assert client.get(f"{MODEL}/snapshots/latest").status_code == 200
    assert client.get(f"{MODEL}/snapshots/latest%0A").status_code == 404
