"""A service of several processes keeps the contract of one."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from machine import has_ended
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess
from service.faults.invariants import silent
from service.safety.raw import connect, read_until
from service.series import series_of
from service.workers.processes import EXAMPLE, PREDICT, UPDATE, Connections, Load, until_replaced, workers
from waiting import SECONDS, until

Start = Callable[..., Any]
LINES = {"content-type": "text/x-vw"}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service of three processes; in the end it is stopped under load, and no request in flight fails."""
    place = tmp_path_factory.mktemp("three")
    running = ServiceProcess(place, workers=3, breaker="off", log_level="debug").until_ready()
    yield running
    pids = [running.process.pid, *workers(running).values()]
    with Load(running) as load:
        assert running.stop() == 0
    assert not load.refused
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not running.failures()


@pytest.fixture(scope="module")
def clients(three: ServiceProcess) -> Iterator[list[httpx.Client]]:
    with Connections(three) as clients:
        yield clients


def test_what_no_prediction_needs_is_not_imported_by_a_worker() -> None:
    program = (
        "import os, runpy, sys\nsys.argv[1:] = [str(os.getppid())]\n"
        "try: runpy.run_module('nonzero_service.predictor', run_name='__main__')\n"
        "except OSError as error: print(error)\n"  # it has no channel
        "print(sorted({'fastapi', 'httpx', 'numba', 'pydantic.v1', 'rich', 'scipy'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[Errno 88] Socket operation on non-socket", "[]"]


def test_every_process_answers_alike_and_knows_what_was_learned_at_once(clients: list[httpx.Client]) -> None:
    for n in range(30):
        example = {"features": {"site": f"s{n % 3}", "bid": n / 7}}
        learned = clients[n % 3].post(UPDATE, json=example | {"label": n % 2})
        answers = [client.post(PREDICT, json=example) for client in clients]
        assert {answer.status_code for answer in (learned, *answers)} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].json()["sequence"] == learned.json()["sequence"]


def test_models_are_there_for_all_when_they_are_made_and_for_none_when_they_are_deleted(
    clients: list[httpx.Client],
) -> None:
    path = "/v1/models/brief"
    for n in range(6):
        made = clients[n % 3].put(path, json={"bits": 8 + n, "learning_rate": 0.1})
        assert made.status_code == 201
        assert clients[-n % 3].post(f"{path}/update", json=EXAMPLE | {"label": n % 2}).status_code == 200
        answers = [client.post(f"{path}/predict", json=EXAMPLE) for client in clients]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert clients[(n + 1) % 3].delete(path).status_code == 204
        gone = [client.post(f"{path}/predict", json=EXAMPLE) for client in clients]
        assert {answer.status_code for answer in gone} == {404}


def test_memory_of_deleted_models_is_given_back(three: ServiceProcess, clients: list[httpx.Client]) -> None:
    def mapped() -> list[int]:
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in workers(three).values()]
        return [text.count("memfd:nonzero") for text in maps]

    until(lambda: mapped() == [1] * 2)
    assert clients[0].put("/v1/models/brief", json={"bits": 12}).status_code == 201
    until(lambda: mapped() == [2] * 2)
    assert clients[1].delete("/v1/models/brief").status_code == 204
    until(lambda: mapped() == [1] * 2)


def test_what_a_worker_maps_it_cannot_write_to(three: ServiceProcess) -> None:
    for pid in workers(three).values():
        maps = [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd" in line]
        assert {line.split()[1] for line in maps} == {"r--s"}


def test_streams_through_every_process(clients: list[httpx.Client]) -> None:
    body = b"".join(b"%d |f site%d user%d\n" % (n % 2 * 2 - 1, n % 11, n % 977) for n in range(20_000))
    before = clients[0].get("/v1/models/default").json()["sequence"]
    for n, client in enumerate(clients):
        learned = client.post(UPDATE, content=iter([body, b"nonsense\n"]), headers=LINES)
        assert learned.json()["accepted"] == 20_000
        assert [error["line"] for error in learned.json()["errors"]] == [20_001]
        assert learned.json()["sequence"] == before + (n + 1) * 20_000
    progress = [
        client.post(
            UPDATE, content=body, headers=LINES | {"accept": "application/x-ndjson"}
        ).text.splitlines()
        for client in clients
    ]
    assert [json.loads(lines[-1])["accepted"] for lines in progress] == [20_000] * 3
    assert min(map(len, progress)) > 1
    predicted = [client.post(PREDICT, content=body, headers=LINES).content for client in clients]
    assert len(set(predicted)) == 1
    assert predicted[0].count(b"\n") == 20_000


def test_a_refusal_is_the_same_from_every_process(clients: list[httpx.Client]) -> None:
    requests: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", PREDICT, {"content-type": "application/json"}, b"{"),
        ("POST", PREDICT, {"content-type": "text/html"}, b"x"),
        ("POST", PREDICT, {"content-type": "application/json", "content-encoding": "br"}, b"x"),
        ("POST", UPDATE, {"content-type": "application/json"}, b'{"features": {"a": {}}, "label": 1}'),
        ("POST", UPDATE + "?strict=perhaps", {"content-type": "application/json"}, b"{}"),
        ("POST", "/v1/models/none/predict", {"content-type": "application/json"}, b"{}"),
        ("GET", PREDICT, {}, b""),
        ("HEAD", UPDATE, {}, b""),
        ("POST", UPDATE, LINES, b"nonsense\n"),
        ("POST", UPDATE + "?strickt=true", LINES, b"1 |f x\n"),
        ("POST", PREDICT + "?strickt=true", {"content-type": "application/json"}, b"{}"),
        ("GET", "/v1/models?strickt=true", {}, b""),
        ("POST", "/v1/models%2fdefault/update", LINES, b"1 |f x\n"),
        ("POST", "/v1/models%2Fdefault/predict", {"content-type": "application/json"}, b"{}"),
        ("GET", "/v1/models", {"host": "elsewhere.example"}, b""),
        ("POST", PREDICT, {"origin": "null", "content-type": "application/json"}, b"{}"),
        ("DELETE", "/v1/models/none", {"origin": "https://elsewhere.example"}, b""),
        ("GET", "/nowhere?a=b%20c", {}, b""),
        ("OPTIONS", "/v1/models/default", {}, b""),
    ]
    for method, path, headers, body in requests:
        headers = headers | {"x-request-id": "the-same"}
        answers = [client.request(method, path, headers=headers, content=body) for client in clients]
        assert {answer.status_code for answer in answers} < set(range(400, 500))
        assert len({answer.content for answer in answers}) == 1
        told = [{key: answer.headers[key] for key in answer.headers if key != "date"} for answer in answers]
        assert told[1:] == told[:-1]


HOST = b"host: localhost\r\nx-request-id: the-same\r\n"
JSON_EXAMPLE = b'{"features": {"site": "news"}}'


def raw(method: bytes, path: bytes, more: bytes = b"", body: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, path, HOST, more, body)


RAW = [
    *(
        raw(method, path, b"content-length: 0\r\n")
        for method in (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"FOO")
        for path in (
            *(b"/", b"/healthz", b"/healthz%0A", b"/v1/models/", b"/v1/models/UPPER"),
            *(b"/v1/models/none/predict", b"/v1/models/default/predict/x", b"//v1/models", b"/%zz", b"*"),
        )
    ),
    *(
        raw(b"POST", path, b"content-type: %b\r\ncontent-length: %d\r\n" % (media, len(body)), body)
        for path in (PREDICT.encode(), b"/v1/models/default/explain", b"/v1/models/default/labels")
        for media in (b"application/json", b"text/x-vw", b"text/csv", b"text/html", b"")
        for body in (b"", b"{", b"[]", b'{"features": {"a": {}}}', b"\xff", b"|f a b:x\n", JSON_EXAMPLE * 2)
    ),
    *(  # what is wrong with its framing, and what may look so
        raw(method, path, more, rest)
        for method, path in ((b"GET", b"/healthz"), (b"POST", PREDICT.encode()), (b"POST", b"/nowhere"))
        for more, rest in (
            (b"content-length: 5\r\n", b""),
            (b"content-length: 5\r\n", b"he"),
            (b"content-length: 99999999999\r\n", b""),
            (b"content-length: 5\r\ncontent-length: 6\r\n", b"hello"),
            (b"content-length: -1\r\n", b""),
            (b"content-length: 5\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
            (b"transfer-encoding: gzip\r\n", b""),
            (b"transfer-encoding: chunked\r\n", b""),
            (b"transfer-encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
            (b"expect: 100-continue\r\ncontent-length: 5\r\n", b""),
            (b"expect: nonsense\r\ncontent-length: 5\r\n", b""),
            (b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 5\r\n", b""),
            (b" folded: x\r\n", b""),
            (b"x: a\x00b\r\n", b""),
            (b"no colon\r\n", b""),
            (b"x: 1\r\n" * 200, b""),
            (b"host: b\r\n", b""),
        )
    ),
    b"nonsense\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/2.0\r\nhost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    raw(b"GET", b"/" + b"a" * 100_000),
]


def is_whole(received: bytes, sent: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if sent.startswith(b"HEAD ") or b"\r\ntransfer-encoding: chunked" not in head:
        length = re.search(rb"\r\ncontent-length: (\d+)", b"" if sent.startswith(b"HEAD ") else head)
        return bool(end) and (length is None or len(body) == int(length[1]))
    return body.endswith(b"0\r\n\r\n")


def test_every_process_answers_the_same_bytes_to_the_same_bytes(three: ServiceProcess) -> None:
    """Good requests and bad ones, what is broken, and what waits for a body that its answer does not need."""
    logged = len(three.log)

    def answer(sent: bytes) -> bytes:
        with connect(three.port) as connection:
            connection.sendall(sent)
            received = connection.recv(1 << 20)
            while not is_whole(received, sent):
                received += connection.recv(1 << 20)
        return re.sub(rb"(date: |x-request-id: |request_id\":\")[^\r\"]*", rb"\1", received)

    for sent in RAW:
        assert len({answer(sent) for _ in range(6)}) == 1, sent[:200]
    assert {line.get("worker") for line in three.log[logged:]} >= {None, *workers(three)}


def test_what_a_body_unpacks_to_is_held_whichever_process_it_comes_to(start: Start) -> None:
    service = start(workers=2, in_flight_bytes="1MiB", log_level="debug").until_ready()
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    large = gzip.compress(b"[" + b" " * (2 << 20) + b"]")
    small = gzip.compress(json.dumps(EXAMPLE | {"label": 1}).encode())
    with Connections(service) as clients:
        for client in clients:
            for _ in range(3):
                refused = client.post(UPDATE, content=large, headers=packed)
                assert refused.status_code == 503
                assert refused.json()["detail"].endswith("bytes of bodies are held; come again")
                assert client.post(UPDATE, content=small, headers=packed).status_code == 200


def test_every_process_answers_head_as_get_without_the_body(clients: list[httpx.Client]) -> None:
    for path in ("/healthz", "/readyz", "/v1/models", "/v1/models/default/metrics", "/v1/models/none"):
        for client in clients:
            asked, read = client.head(path), client.get(path)
            assert (asked.status_code, asked.content) == (read.status_code, b"")
            differing = {"date", "x-request-id", "content-length"}
            assert asked.headers.keys() == read.headers.keys()
            assert [asked.headers[name] for name in asked.headers if name not in differing] == [
                read.headers[name] for name in read.headers if name not in differing
            ]


def test_an_offered_protocol_is_not_taken_up_by_any_process(clients: list[httpx.Client]) -> None:
    offer = {"connection": "Upgrade", "upgrade": "h2c"}
    for client in clients:
        learned = client.post(UPDATE, content=b"1 |f x\n0 |f y\n", headers=LINES | offer)
        assert (learned.status_code, learned.json()["accepted"]) == (200, 2)
        assert client.post(PREDICT, json=EXAMPLE, headers=offer).status_code == 200


@pytest.mark.parametrize(("path", "statuses"), [(UPDATE, [100, 200]), ("/v1/models/none/update", [404])])
def test_a_body_is_asked_for_where_it_is_wanted(
    three: ServiceProcess, path: str, statuses: list[int]
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\nexpect: 100-continue\r\n"
    body = b"1 |f x\n"
    for _ in range(12):
        with socket.create_connection((three.host, three.port)) as connection:
            connection.settimeout(SECONDS)
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            received = read_until(connection, b"\r\n\r\n")
            if b" 100 " in received:
                connection.sendall(body)
                received += read_until(connection, b"\r\n\r\n")
        assert [int(one) for one in re.findall(rb"^HTTP/1.1 (\d+)", received, re.MULTILINE)] == statuses


def test_who_ends_only_its_own_side_is_answered_by_every_process(three: ServiceProcess) -> None:
    body = b"1 |f x\n"
    for path in (UPDATE, PREDICT):
        head = f"POST {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
        for _ in range(12):
            with socket.create_connection((three.host, three.port)) as connection:
                connection.settimeout(SECONDS)
                connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                connection.shutdown(socket.SHUT_WR)
                received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert received.startswith(b"HTTP/1.1 200 "), received


def test_a_key_is_one_key_whichever_process_it_comes_to(clients: list[httpx.Client]) -> None:
    body = {"examples": [EXAMPLE | {"label": 1}] * 3}
    answers = [client.post(UPDATE, json=body, headers={"idempotency-key": "k"}).json() for client in clients]
    assert [answer["replayed"] for answer in answers] == [0, 3, 3]
    assert len({answer["sequence"] for answer in answers}) == 1
    other = clients[2].post(UPDATE, json=EXAMPLE | {"label": 0}, headers={"idempotency-key": "k"})
    assert other.status_code == 422


def test_predictions_with_ids_find_their_labels(clients: list[httpx.Client]) -> None:
    for n, client in enumerate(clients):
        assert client.post(PREDICT, json=EXAMPLE | {"id": f"one-{n}"}).status_code == 200
        lines = f"{json.dumps(EXAMPLE | {'id': f'line-{n}'})}\n{json.dumps(EXAMPLE)}\n"
        headers = {"content-type": "application/x-ndjson"}
        assert client.post(PREDICT, content=lines, headers=headers).text.count("\n") == 2
    for n in range(3):
        for kind in ("one", "line"):
            labelled = clients[n - 1].post(
                "/v1/models/default/labels", json={"id": f"{kind}-{n}", "label": 1}
            )
            assert labelled.json()["accepted"] == 1, labelled.text


def test_updates_are_labels_whichever_process_predicted(clients: list[httpx.Client]) -> None:
    for n, client in enumerate(clients):
        named = EXAMPLE | {"id": f"updated-{n}"}
        assert client.post(PREDICT, json=named).status_code == 200
        for verdict in ("joined", "duplicate"):
            answer = clients[n - 1].post("/v1/models/default/update", json=named | {"label": 1})
            assert answer.json()["labels"] == {verdict: 1}, answer.text


def test_metrics_are_those_of_all(clients: list[httpx.Client]) -> None:
    def counted() -> tuple[float, float, float]:
        text = clients[1].get("/metrics").text
        return (
            series_of(
                text, 'nonzero_requests_total{method="POST",route="/v1/models/{model}/predict",status="200"}'
            ),
            series_of(text, 'nonzero_request_seconds_count{route="/v1/models/{model}/predict"}'),
            series_of(text, 'nonzero_predictions_total{model="default"}'),
        )

    before = counted()
    for client in clients:
        for _ in range(5):
            client.post(PREDICT, json={"examples": [EXAMPLE] * 2})
    assert [after - then for after, then in zip(counted(), before, strict=True)] == [15, 15, 30]


def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(
    three: ServiceProcess, clients: list[httpx.Client]
) -> None:
    before = clients[0].get("/v1/models/default").json()["sequence"]
    for _ in range(12):
        with socket.create_connection((three.host, three.port)) as gone:
            head = f"POST {UPDATE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
            head += "content-length: 999\r\n\r\n"
            gone.sendall(head.encode() + b"1 |f half a line")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for client in clients:
        assert client.post(PREDICT, json=EXAMPLE).json()["sequence"] == before


def test_a_further_process_takes_less_than_200_mb(three: ServiceProcess) -> None:
    for pid in workers(three).values():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        assert sizes["Private_Clean"] + sizes["Private_Dirty"] < 200 << 20


def test_what_is_killed_comes_back_with_what_was_acknowledged(start: Start, tmp_path: Path) -> None:
    service = start(workers=2, journal_retention="all", log_level="debug").until_ready()
    [pid] = workers(service).values()
    with service.client() as client:
        learned = client.post(UPDATE, json={"examples": [EXAMPLE | {"label": 1}] * 5}).json()

    os.kill(pid, signal.SIGKILL)  # a worker: another takes its place
    until_replaced(service, pid)
    errors = [line["event"] for line in service.log if line.get("level") == "error"]
    assert errors == ["a worker has ended; another takes its place"]
    with Connections(service) as clients:
        answers = [client.post(PREDICT, json=EXAMPLE) for client in clients]
        assert {answer.json()["sequence"] for answer in answers} == {learned["sequence"]}

    with Load(service) as load:  # the writer: all end
        [pid] = workers(service).values()
        service.stop(signal.SIGKILL)
        until(lambda: has_ended(pid))
    until(lambda: service.lines("stopping"))

    again = start(journal_retention="all").until_ready()
    with again.client() as client:
        assert client.get("/v1/models/default").json()["sequence"] >= max(load.sequences)
    assert again.stop() == 0
    assert verify(tmp_path / "data/models/default", silent).faults == []
