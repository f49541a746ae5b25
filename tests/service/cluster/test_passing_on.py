"""What a node that follows does not answer itself is answered by the one that writes, as it would there."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from links import Link
from nonzero_service.cluster.beating import SILENT_SECONDS
from service.cluster.passing import SettableNode
from service.safety.raw import connect, read_until
from service.series import series
from waiting import until

MODEL = "/v1/models/default"
JSON = {"content-type": "application/json"}
LINES = {"content-type": "text/x-vw"}
EXAMPLE: dict[str, Any] = {"features": {"site": "news", "bid": 0.5}}


class Pair(NamedTuple):
    """A node that writes, and one that follows it, with a client of each."""

    writer: SettableNode
    follower: SettableNode
    there: httpx.Client
    here: httpx.Client


@contextmanager
def running(place: Path, **settings: Any) -> Iterator[Pair]:
    nodes = [
        SettableNode(place / name, **{"bits": 10, "log_level": "debug", "breaker": "off", **settings})
        for name in "ab"
    ]
    try:
        writer, follower = (node.until_ready() for node in nodes)
        writer.write()
        follower.follow(writer)
        with writer.client() as there, follower.client() as here:
            yield Pair(writer, follower, there, here)
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running(tmp_path_factory.mktemp("pair")) as found:
        yield found
        assert found.follower.stop() == 0
        assert found.writer.stop() == 0
        assert not found.writer.failures() + found.follower.failures()


@pytest.fixture
def turned(pair: Pair) -> Iterator[Pair]:
    """The same two, whose roles a test may change."""
    yield pair
    pair.follower.follow(pair.writer.write())
    until(lambda: pair.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).status_code == 200)


def sequences(pair: Pair) -> list[int]:
    return [client.get(MODEL).json()["sequence"] for client in (pair.there, pair.here)]


def learned_since(pair: Pair, before: list[int]) -> list[int]:
    return [new - old for new, old in zip(sequences(pair), before, strict=True)]


def test_what_learns_is_passed_on_and_what_reads_is_answered_here(pair: Pair) -> None:
    before = sequences(pair)
    learned = pair.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1})
    assert learned.status_code == 200
    assert sequences(pair) == [before[0] + 1, before[1]]  # each has a model of its own here
    assert pair.here.post(f"{MODEL}/predict", json=EXAMPLE).json()["sequence"] == before[1]
    for path in ("metrics", "diagnosis", "history", ""):
        assert pair.here.get(f"{MODEL}/{path}".rstrip("/")).status_code == 200


def test_models_that_are_not_here_are_the_writers(pair: Pair) -> None:
    path = "/v1/models/brief"
    assert pair.here.put(path, json={"bits": 8}).status_code == 201
    assert pair.here.post(f"{path}/update", json=EXAMPLE | {"label": 1}).json()["sequence"] == 1
    for client in (pair.there, pair.here):
        assert client.post(f"{path}/predict", json=EXAMPLE).json()["sequence"] == 1
        assert client.get(path).json()["sequence"] == 1
        asked = client.post("/invocations?model=brief", json={"dataframe_records": [{"site": "news"}]})
        assert asked.status_code == 200
    assert pair.here.delete(path).status_code == 204
    assert {client.get(path).status_code for client in (pair.there, pair.here)} == {404}


def test_streams_of_any_length_pass_both_ways(pair: Pair) -> None:
    body = b"".join(b"%d |f site%d user%d\n" % (n % 2 * 2 - 1, n % 11, n % 977) for n in range(60_000))
    before = sequences(pair)[0]
    headers = LINES | {"accept": "application/x-ndjson"}
    learned = pair.here.post(f"{MODEL}/update", content=iter([body, b"nonsense\n"]), headers=headers)
    lines = [json.loads(line) for line in learned.text.splitlines()]
    assert len(lines) > 1
    assert (lines[-1]["accepted"], lines[-1]["rejected"]) == (60_000, 1)
    assert sequences(pair)[0] == before + 60_000
    assert pair.here.post(f"{MODEL}/snapshots").status_code == 201
    found = [client.get(f"{MODEL}/snapshots/latest").content for client in (pair.here, pair.there)]
    assert found[0] == found[1] != b""


def test_a_body_is_asked_for_by_who_takes_it(pair: Pair) -> None:
    body = json.dumps(EXAMPLE | {"label": 1}).encode()
    head = f"POST {MODEL}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
    with connect(pair.follower.port) as connection:
        connection.sendall(head.encode())
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"HTTP/1.1 200" in read_until(connection, b"}")


def test_each_node_counts_what_it_has_answered(pair: Pair) -> None:
    def told(name: str) -> list[float]:
        return [series(client, name) for client in (pair.there, pair.here)]

    answered = 'nonzero_requests_total{{method="POST",route="/v1/models/{{model}}/{}",status="200"}}'
    names = [answered.format("update"), answered.format("predict"), "nonzero_passed_on_requests_total"]
    before = [told(name) for name in names]
    for _ in range(3):
        pair.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1})
    pair.here.post(f"{MODEL}/predict", json=EXAMPLE)
    after = [told(name) for name in names]
    moved = [[new - old for new, old in zip(*both, strict=True)] for both in zip(after, before, strict=True)]
    assert moved == [[3, 0], [0, 1], [0, 3]]


def test_tokens_and_limits_are_those_of_the_node_that_was_asked(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("update,predict open-sesame-open-sesame\npredict only-predicts-only-predicts\n")
    tokens.chmod(0o600)
    writer = SettableNode(tmp_path / "a", bits=8)
    follower = SettableNode(tmp_path / "b", bits=8, token_file=str(tokens), max_body_bytes=2000)
    try:
        follower.until_ready().follow(writer.until_ready().write())
        example = EXAMPLE | {"label": 1, "id": "a"}
        with follower.client() as client:
            for token, status in (
                ("", 401),
                ("only-predicts-only-predicts", 403),
                ("open-sesame-open-sesame", 200),
            ):
                headers = {"authorization": f"Bearer {token}"} if token else {}
                assert client.post(f"{MODEL}/update", json=example, headers=headers).status_code == status
            long = {"features": {"site": "x" * 3000}, "label": 1}
            assert client.post(f"{MODEL}/update", json=long, headers=headers).status_code == 413
    finally:
        writer.kill()
        follower.kill()


def test_nodes_of_two_releases_say_which_is_older(tmp_path: Path) -> None:
    """As in the middle of an upgrade: who follows predicts, and its clients can ask the other node."""
    nodes = [SettableNode(tmp_path / f"release-{number}", protocol=number, bits=8) for number in (1, 2)]
    try:
        old, new = (node.until_ready() for node in nodes)
        for writer, follower, older in (
            (old, new, "the node 'release-1', which writes,"),
            (new, old, "this node"),
        ):
            follower.follow(writer.write())
            with follower.client() as client:
                assert client.post(f"{MODEL}/predict", json=EXAMPLE).status_code == 200
                refused = client.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1})
            assert refused.status_code == 503
            assert f"{older} is of an older release" in refused.json()["detail"]
    finally:
        for node in nodes:
            node.kill()


# -- nobody writes, or no longer -------------------------------------------------------------------------


def test_while_nobody_writes_predictions_go_on(turned: Pair) -> None:
    turned.follower.follow(None)
    refused = turned.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "nobody writes just now" in refused.text
    assert turned.here.post(f"{MODEL}/predict", json=EXAMPLE).status_code == 200
    turned.follower.become("taking over", turned.follower)
    assert "taking over" in turned.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).text
    turned.follower.write()
    assert turned.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).status_code == 200


def test_nothing_goes_round_in_a_circle(turned: Pair) -> None:
    turned.writer.follow(turned.follower)
    for client in (turned.here, turned.there):
        refused = client.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "does not write" in refused.text


def test_a_request_that_is_under_way_is_answered_by_whom_it_came_to(turned: Pair) -> None:
    changed, told = threading.Event(), []
    before = sequences(turned)

    def body() -> Iterator[bytes]:
        yield b"1 |f x\n" * 50_000
        assert changed.wait(30)
        yield b"1 |f x\n"

    def ask() -> None:
        with turned.follower.client() as client:
            told.append(client.post(f"{MODEL}/update", content=body(), headers=LINES).json())

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: learned_since(turned, before)[0])
    turned.follower.write()  # its own requests are its own from now on
    changed.set()
    assert turned.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).status_code == 200
    asking.join()
    assert told[0]["accepted"] == 50_001
    assert learned_since(turned, before) == [50_001, 1]


def test_a_writer_that_is_stopped_in_the_middle(turned: Pair) -> None:
    goes_in_the_middle(turned, signal.SIGSTOP)
    os.kill(turned.writer.pid, signal.SIGCONT)
    until(lambda: turned.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).status_code == 200)


def test_a_writer_that_ends_in_the_middle(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        goes_in_the_middle(own, signal.SIGKILL)


def goes_in_the_middle(own: Pair, sent: signal.Signals) -> None:
    """Have a writer go: who waits is answered, soon, and told what is not known; nobody else waits at all."""
    before = sequences(own)
    found: dict[str, httpx.Response] = {}

    def body() -> Iterator[bytes]:
        yield b"1 |f x\n" * 50_000
        while "read" not in found and time.monotonic() < end:
            time.sleep(0.05)
            yield b"1 |f x\n"

    def ask() -> None:
        with own.follower.client() as client:
            found["update"] = client.post(f"{MODEL}/update", content=body(), headers=LINES)

    end = time.monotonic() + 30
    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: learned_since(own, before)[0])
    os.kill(own.writer.pid, sent)
    began = time.monotonic()
    found["read"] = own.here.get("/v1/models/none")
    asking.join(30)
    assert time.monotonic() - began < SILENT_SECONDS + 2
    assert {one.status_code for one in found.values()} == {503}
    assert "Idempotency-Key" in found["update"].text
    assert "nothing was done" in found["read"].text
    began = time.monotonic()
    assert own.here.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}).status_code == 503
    assert time.monotonic() - began < 1


def test_a_network_that_parts_is_noticed_by_both(turned: Pair) -> None:
    """So a key that was under way is free soon, and its request may be sent again by another way."""
    keyed, line = LINES | {"idempotency-key": "parted"}, b"1 |f x\n"
    body, before = line * 50_001, sequences(turned)
    head = f"POST {MODEL}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
    head += f"idempotency-key: parted\r\ncontent-length: {len(body)}\r\n\r\n"
    with Link([int(turned.writer.address.rpartition(":")[2])]) as link:
        turned.follower.follow(turned.writer, address=f"127.0.0.1:{link.ports[0]}")
        with connect(turned.follower.port) as connection:
            connection.sendall(head.encode() + body[: -len(line)])
            until(lambda: learned_since(turned, before)[0])
            link.stall()
            began = time.monotonic()
            assert b"HTTP/1.1 503" in read_until(connection, b"}")
            assert time.monotonic() - began < SILENT_SECONDS + 1
        again = turned.there.post(f"{MODEL}/update", content=body, headers=keyed).json()
        assert time.monotonic() - began < SILENT_SECONDS + 3
        assert again["replayed"] > 0
        assert learned_since(turned, before)[0] == 50_001
        link.heal()
        until(lambda: turned.here.post(f"{MODEL}/update", content=body, headers=keyed).status_code == 200)
        assert turned.here.post(f"{MODEL}/update", content=body, headers=keyed).json()["replayed"] == 50_001


def test_a_client_that_goes_is_gone_for_the_writer(turned: Pair) -> None:
    passed_on = series(turned.here, "nonzero_passed_on_requests_total")
    with connect(turned.follower.port) as connection:
        head = f"POST {MODEL}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
        connection.sendall(f"{head}idempotency-key: k\r\ncontent-length: 1000\r\n\r\n1 |f x\n".encode())
        until(lambda: series(turned.here, "nonzero_passed_on_requests_total") == passed_on + 1)
    # The key is free: who held it has gone.
    answer = turned.there.post(
        f"{MODEL}/update", content=b"1 |f x\n", headers=LINES | {"idempotency-key": "k"}
    )
    assert answer.status_code == 200


def test_a_writer_that_stops_answers_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    """However much comes: who follows would else keep it from its end for all of its grace."""
    with running(tmp_path, grace_seconds=20) as own:
        halfway, told, stopping = threading.Event(), [], threading.Event()

        def body() -> Iterator[bytes]:
            yield b"1 |f x\n" * 50_000
            halfway.wait(20)
            yield b"1 |f x\n"

        def ask() -> None:
            with own.follower.client() as client:
                told.append(client.post(f"{MODEL}/update", content=body(), headers=LINES))

        def load() -> None:
            with own.follower.client() as client:
                while not stopping.is_set():
                    told.append(client.post(f"{MODEL}/update", json=EXAMPLE | {"label": 1}))

        threads = [threading.Thread(target=one) for one in (ask, load, load)]
        for thread in threads:
            thread.start()
        until(lambda: sequences(own)[0] > 1000)
        os.kill(own.writer.pid, signal.SIGTERM)
        until(lambda: any(answer.status_code == 503 for answer in told.copy()))
        halfway.set()
        began = time.monotonic()
        assert own.writer.until_ended() == 0
        assert time.monotonic() - began < 10
        stopping.set()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in told} == {200, 503}
        assert {answer.json().get("accepted") for answer in told} == {None, 1, 50_001}
        assert not [answer.text for answer in told if "unknown" in answer.text]
