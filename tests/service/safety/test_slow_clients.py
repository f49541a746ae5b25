"""Clients that take their time: each is answered or cut, and the others do not notice.

The service's limits are a second here; what the defaults promise is ten.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx
import numpy as np
import pytest

from machine import computed
from service.conftest import ServiceProcess
from service.safety.conftest import BODY_IDLE_SECONDS
from service.safety.raw import AUTHORIZED, TOKENS, Answer, answers, ask, connect, read_all

STREAM = b"POST /v1/models/default/update HTTP/1.1\r\ncontent-type: text/x-vw\r\n" + AUTHORIZED
JSON = b"POST /v1/models/default/predict HTTP/1.1\r\ncontent-type: application/json\r\n" + AUTHORIZED
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


@dataclass
class Slow:
    """How a client goes about it: what it sends at first, and what it sends then, again and again."""

    first: bytes
    then: bytes
    status: int | None
    """How it is answered; None where it is only cut."""
    seconds: float = 0.1
    """Between two times."""
    answers: list[Answer] = field(default_factory=list)
    took: float = 0.0

    def run(self, port: int) -> None:
        """Be that client until the connection ends."""
        begun = time.monotonic()
        with connect(port) as connection:
            ended = threading.Event()

            def drip() -> None:
                try:
                    connection.sendall(self.first)
                    while self.then and not ended.wait(self.seconds):
                        connection.sendall(self.then)
                except OSError:
                    pass

            thread = threading.Thread(target=drip)
            thread.start()
            self.answers = answers(read_all(connection))
            self.took = time.monotonic() - begun
            ended.set()
            thread.join()


CLIENTS = {
    "says nothing": Slow(b"", b"", None),
    "a head byte by byte": Slow(b"GET / HTTP/1.1\r\nhost: x\r\na: ", b"b", 408),
    "a head line by line": Slow(b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n", 408),
    "half a head": Slow(b"GET / HTTP/1.1\r\nhost: x\r\n", b"", 408),
    "half a first line": Slow(b"GET /hea", b"", 408),
    "empty lines": Slow(b"\r\n", b"\r\n", None),
    "a length that lies, JSON": Slow(JSON + b"content-length: 1000\r\n\r\n{", b"", 408),
    "a length that lies, a stream": Slow(STREAM + b"content-length: 1000\r\n\r\n1 | a\n", b"", 408),
    "a body byte by byte": Slow(STREAM + b"content-length: 100000\r\n\r\n", b"1", 408),
    "no end of chunks": Slow(STREAM + CHUNKED + b"6\r\n1 | a\n\r\n", b"", 408),
    "chunks byte by byte": Slow(JSON + CHUNKED, b"1\r\n{\r\n", 408),
    "an extension byte by byte": Slow(STREAM + CHUNKED + b"6;", b"a", 408),
    "a trailer byte by byte": Slow(STREAM + CHUNKED + b"0\r\na: ", b"b", 408),
    "idle after an answer": Slow(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"", 200),
    "a body after its answer": Slow(
        JSON.replace(b"default", b"none") + b"content-length: 1000\r\n\r\n{", b"1", 404
    ),
}


class Predictions(NamedTuple):
    """What one-example predictions took."""

    waited: float
    """The 99th percentile, in seconds."""
    computed: float
    """Seconds that the service computed, for each of them."""


def predict(service: ServiceProcess, go_on: Callable[[int], bool]) -> Predictions:
    """Predict one example after another."""
    taken: list[float] = []
    body = {"features": {"site": "news"}}
    headers = {"authorization": f"Bearer {TOKENS['predict']}"}
    with httpx.Client(base_url=service.url, trust_env=False, headers=headers) as client:
        before = computed(service.pid)
        while go_on(len(taken)):
            begun = time.perf_counter()
            assert client.post("/v1/models/default/predict", json=body).status_code == 200
            taken.append(time.perf_counter() - begun)
        each = (computed(service.pid) - before) / len(taken)
    return Predictions(float(np.quantile(taken, 0.99)), each)


def test_slow_clients_are_ended_and_others_do_not_notice(narrow: ServiceProcess) -> None:
    quiet = predict(narrow, lambda done: done < 300)
    threads = [threading.Thread(target=slow.run, args=(narrow.port,)) for slow in CLIENTS.values()]
    for thread in threads:
        thread.start()
    beside = predict(narrow, lambda _: any(thread.is_alive() for thread in threads))
    for name, slow in CLIENTS.items():
        assert slow.took < 20, (name, slow.took)  # where nobody cuts them, they go on for ever
        assert [answer.status for answer in slow.answers] == [slow.status] * (slow.status is not None), name
        if slow.status == 408:
            slow.answers[0].problem()
    assert beside.waited < BODY_IDLE_SECONDS / 2, (beside, quiet)  # for none of them
    assert beside.computed < 2 * quiet.computed + 0.002, (beside, quiet)


def test_what_a_stream_brought_before_it_stopped_is_said(narrow: ServiceProcess) -> None:
    [answer] = ask(narrow.port, STREAM + b"content-length: 1000\r\n\r\n" + b"1 | a\n" * 7)
    assert answer.problem()["accepted"] == 7


def test_who_does_not_read_its_answers_is_cut(narrow: ServiceProcess) -> None:
    def never_read(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 10)

    with connect(narrow.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):  # and no TimeoutError, after ten seconds
            never_read(connection)


def test_a_client_that_pauses_within_the_limits_is_served(narrow: ServiceProcess) -> None:
    stream = STREAM + b"connection: close\r\n" + CHUNKED
    line = b"1 | site=news\n" * 10
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    [answer] = ask(narrow.port, stream, chunk, chunk, chunk, b"0\r\n\r\n", pause=0.5)
    assert answer.status == 200
    assert b'"accepted":30' in answer.body
