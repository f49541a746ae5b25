"""More than can be done: the excess is refused, what can be done is done, and the service says how it is.

Time is the service's own (of its processor), so that a busy machine changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from machine import computed, resident
from nonzero_service.http.admission import Capacity
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, Answer, answers, ask, connect, read_all, read_until
from service.series import series
from waiting import until

BODY = b'{"features": {"site": "news", "bid": 0.5}, "label": 1}'
HEAD = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(BODY) + AUTHORIZED
HOW_IT_IS = [
    b"GET /%b HTTP/1.1\r\nconnection: close\r\n%b\r\n" % (path, AUTHORIZED)
    for path in (b"healthz", b"metrics")
]
STREAM = b"POST /v1/models/default/update HTTP/1.1\r\ncontent-type: text/x-vw\r\n" + AUTHORIZED
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
GONE = 'nonzero_requests_total{method="POST",route="/v1/models/{model}/update",status="499"}'


def request(action: str) -> bytes:
    return f"POST /v1/models/default/{action} HTTP/1.1\r\n".encode() + HEAD + b"\r\n" + BODY


@dataclass
class Load:
    """Clients that ask again as soon as they are answered."""

    service: ServiceProcess
    action: str
    clients: int
    done: int = 0
    refused: list[Answer] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)
    computed: float = 0.0

    def run(self, seconds: float) -> float:
        """Load the service for a while; return how many requests were done in a second of computing."""
        begun = computed(self.service.pid)
        asyncio.run(self._run(seconds))
        self.computed = computed(self.service.pid) - begun
        return self.done / self.computed

    async def _run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._client(end) for _ in range(self.clients)))

    async def _client(self, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.service.port)
        sent = request(self.action)
        while time.monotonic() < end:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            body = await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200"):
                self.done += 1
            elif head.startswith(b"HTTP/1.1 503"):
                self.refused += answers(head + body)
            else:
                self.others.append(head + body)
        writer.close()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("action", ["predict", "update"])
def test_three_times_the_capacity(narrow: ServiceProcess, action: str) -> None:
    waits: list[tuple[float, ...]] = []
    ended = threading.Event()

    def ask_how_it_is() -> None:
        while not ended.wait(0.1):
            waits.append(tuple(map(waited, HOW_IT_IS)))

    def waited(question: bytes) -> float:
        at, begun = time.perf_counter(), computed(narrow.pid)
        [answer] = ask(narrow.port, question)
        assert answer.status == 200
        return min(time.perf_counter() - at, computed(narrow.pid) - begun)

    Load(narrow, action, 12).run(0.2)
    held = resident(narrow.pid)
    asking = threading.Thread(target=ask_how_it_is)
    asking.start()
    capacities, goodputs = [], []
    for _ in range(3):
        peak, load = Load(narrow, action, 12), Load(narrow, action, 36)
        capacities.append(peak.run(0.3))
        goodputs.append(load.run(0.6))
        assert not peak.refused
        assert {answer.headers["retry-after"] for answer in load.refused} == {"1"}
        assert load.refused[0].problem()
        assert not load.others
    ended.set()
    asking.join()
    assert max(goodputs) > 0.8 * sorted(capacities)[1], (goodputs, capacities)
    for each in zip(*waits, strict=True):
        assert sorted(each)[int(0.9 * len(each))] < 0.1, waits
    assert resident(narrow.pid) < held + (16 << 20)


def test_updates_leave_room_for_predictions(narrow: ServiceProcess) -> None:
    """With as many updates in flight as may be, one more is refused before its body; predictions go on."""
    with ExitStack() as stack:
        updates = [stack.enter_context(connect(narrow.port)) for _ in range(12)]
        for update in updates:
            update.sendall(STREAM + CHUNKED)
        stack.enter_context(dripping(updates))
        until(lambda: are_too_many(narrow))
        [refused] = ask(narrow.port, STREAM + b"content-length: 2000000\r\n\r\n")
        assert refused.problem()["status"] == 503
        assert refused.headers["retry-after"] == "1"
        [predicted] = ask(
            narrow.port, request("predict").replace(b"host: x", b"host: x\r\nconnection: close")
        )
        assert predicted.status == 200
        for update in updates:
            update.sendall(LAST_CHUNK)
        for update in updates:
            assert update.recv(4096).startswith(b"HTTP/1.1 200")


@contextmanager
def dripping(updates: list[socket.socket], lines: bytes = b"1 | a\n" * 100) -> Iterator[None]:
    """Keep streams going, so that none is given up for its silence."""
    chunk = b"%x\r\n%b\r\n" % (len(lines), lines)
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.1):
            for update in updates:
                update.sendall(chunk)

    with ThreadPoolExecutor() as threads:
        dripped = threads.submit(drip)
        try:
            yield
        finally:
            ended.set()
        dripped.result()


def are_too_many(service: ServiceProcess) -> bool:
    """Whether one more update is refused."""
    [answer] = ask(service.port, STREAM + b"connection: close\r\ncontent-length: 6\r\n\r\n1 | a\n")
    return answer.status == 503


@pytest.mark.parametrize("reset", [True, False])
def test_who_has_gone_costs_nothing_more(narrow: ServiceProcess, reset: bool) -> None:
    """A request that waits for its key is given up with its client, not when its time is over."""
    key = b"idempotency-key: gone-%d\r\n" % reset
    with httpx.Client(base_url=narrow.url, trust_env=False) as client:
        client.headers["authorization"] = "Bearer a-token-for-both"

        def gone() -> float:
            return series(client, GONE)

        def learned() -> int:
            return int(client.get("/v1/models/default").json()["sequence"])

        def leave() -> bool:
            """Send an update with the same key, and go. A reset may come before it was read."""
            with connect(narrow.port) as second:
                if reset:
                    second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                second.sendall(STREAM + key + b"content-length: 6\r\n\r\n1 | a\n")
                learned()  # in the meantime
            return False

        before, known = gone(), learned()
        with connect(narrow.port) as first:
            first.sendall(STREAM + key + CHUNKED)
            with dripping([first]):  # it goes on, and so the key is not free
                until(lambda: learned() > known)
                leave()
                until(lambda: gone() > before or (leave() if reset else False))
            first.sendall(LAST_CHUNK)
            assert read_until(first, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_who_waits_and_has_not_gone_is_answered(narrow: ServiceProcess) -> None:
    """It has ended its own side, and is asked whether it is there; it need not know what that says."""
    key, line = b"idempotency-key: there\r\n", b"1 | %b\n" % (b"a" * 200)
    body = line * 200  # more than the first has sent when it goes
    head = STREAM + key + b"content-length: %d\r\n\r\n" % len(body)
    with connect(narrow.port) as second:
        with connect(narrow.port) as first, httpx.Client(base_url=narrow.url, trust_env=False) as client:
            client.headers["authorization"] = "Bearer a-token-for-both"
            known = client.get("/v1/models/default").json()["sequence"]
            first.sendall(STREAM + key + CHUNKED)
            with dripping([first], line):
                until(lambda: client.get("/v1/models/default").json()["sequence"] > known)
                second.sendall(head + body)
                second.shutdown(socket.SHUT_WR)
                asked = [read_until(second, b"\r\n\r\n") for _ in range(2)]
        received = read_all(second)
    assert asked == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 2
    [answer] = answers(received)
    assert (answer.status, json.loads(answer.body)["accepted"]) == (200, 200)


def capacity_of(**settings: object) -> Capacity:
    return Capacity(Settings.load(**settings))


def test_one_client_does_not_take_all_the_room() -> None:
    capacity = capacity_of(max_requests=8, max_requests_per_client=2)
    for _ in range(2):
        capacity.enter("one", 0, preferred=True)
    with pytest.raises(Problem) as raised:
        capacity.enter("one", 0, preferred=True)
    assert raised.value.status == 429
    capacity.enter("other", 0, preferred=True)
    capacity.leave("one", 0)
    capacity.enter("one", 0, preferred=True)


def test_what_bodies_hold_is_bounded() -> None:
    capacity = capacity_of(in_flight_bytes="1MiB")
    capacity.enter(None, 700_000, preferred=False)
    with pytest.raises(Problem, match="held"):
        capacity.enter(None, 100_000, preferred=False)
    capacity.enter(None, 100_000, preferred=True)
    capacity.hold(200_000)
    with pytest.raises(Problem, match="held"):
        capacity.hold(100_000)
    for nbytes in (700_000, 300_000):
        capacity.leave(None, nbytes)
    assert (capacity.requests, capacity.bytes) == (0, 0)
    capacity.enter(None, 2_000_000, preferred=False)  # alone it has all the room that there is
