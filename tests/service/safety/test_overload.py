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
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from nonzero_service.http.admission import Capacity
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, Answer, answers, ask, connect, read_all

BODY = b'{"features": {"site": "news", "bid": 0.5}, "label": 1}'
HEAD = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(BODY) + AUTHORIZED
HOW_IT_IS = [
    b"GET /%b HTTP/1.1\r\nconnection: close\r\n%b\r\n" % (path, AUTHORIZED)
    for path in (b"healthz", b"metrics")
]
STREAM = b"POST /v1/models/default/update HTTP/1.1\r\ncontent-type: text/x-vw\r\n" + AUTHORIZED
OPEN = STREAM + b"content-length: 600\r\n\r\n"


def request(action: str) -> bytes:
    return f"POST /v1/models/default/{action} HTTP/1.1\r\n".encode() + HEAD + b"\r\n" + BODY


def cpu(service: ServiceProcess) -> float:
    """Return the seconds that the service has computed, by all its threads."""
    tasks = Path(f"/proc/{service.process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def memory(service: ServiceProcess) -> float:
    """Return the memory that the service holds, in MB."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


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
        begun = cpu(self.service)
        asyncio.run(self._run(seconds))
        self.computed = cpu(self.service) - begun
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


@pytest.mark.parametrize("action", ["predict", "update"])
def test_three_times_the_capacity(narrow: ServiceProcess, action: str) -> None:
    waits: list[tuple[float, ...]] = []
    ended = threading.Event()

    def ask_how_it_is() -> None:
        while not ended.wait(0.1):
            waits.append(tuple(map(waited, HOW_IT_IS)))

    def waited(question: bytes) -> float:
        at, begun = time.perf_counter(), cpu(narrow)
        [answer] = ask(narrow.port, question)
        assert answer.status == 200
        return min(time.perf_counter() - at, cpu(narrow) - begun)

    Load(narrow, action, 12).run(0.2)
    held = memory(narrow)
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
    assert memory(narrow) < held + 16


def test_updates_leave_room_for_predictions(narrow: ServiceProcess) -> None:
    """With as many updates in flight as may be, one more is refused before its body; predictions go on."""
    with ExitStack() as stack:
        updates = [stack.enter_context(connect(narrow.port)) for _ in range(12)]
        for update in updates:
            update.sendall(OPEN)
        wait_for(narrow, 12)
        [refused] = ask(narrow.port, STREAM + b"content-length: 2000000\r\n\r\n")
        assert refused.problem()["status"] == 503
        assert refused.headers["retry-after"] == "1"
        [predicted] = ask(
            narrow.port, request("predict").replace(b"host: x", b"host: x\r\nconnection: close")
        )
        assert predicted.status == 200
        for update in updates:
            update.sendall(b"1 | a\n" * 100)
        for update in updates:
            assert update.recv(4096).startswith(b"HTTP/1.1 200")


def wait_for(service: ServiceProcess, updates: int) -> None:
    """Wait until so many updates are in flight."""
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        time.sleep(0.05)
        refused = ask(service.port, STREAM + b"connection: close\r\ncontent-length: 6\r\n\r\n1 | a\n")
        if refused[0].status == 503:
            return
    raise AssertionError(f"{updates} updates are not in flight")


@pytest.mark.parametrize("reset", [True, False])
def test_who_has_gone_costs_nothing_more(narrow: ServiceProcess, reset: bool) -> None:
    """A request that waits for its key is given up with its client, not when its time is over."""
    key = b"idempotency-key: gone-%d\r\n" % reset
    with httpx.Client(base_url=narrow.url, trust_env=False) as client:
        client.headers["authorization"] = "Bearer a-token-for-both"

        def gone() -> float:
            lines = client.get("/metrics").text.splitlines()
            return sum(float(line.split()[-1]) for line in lines if 'update",status="499"' in line)

        before = gone()
        with connect(narrow.port) as first:
            first.sendall(STREAM + key + b"content-length: 60000\r\n\r\n")
            time.sleep(0.1)
            with connect(narrow.port) as second:
                if reset:
                    second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                second.sendall(STREAM + key + b"content-length: 6\r\n\r\n1 | a\n")
                time.sleep(0.1)
            end = time.monotonic() + (1 if reset else 5)
            while gone() == before:
                assert time.monotonic() < end, "it still waits"
                first.sendall(b"1 | a\n" * 20)  # it goes on, and so the key is not free
                time.sleep(0.1)


def test_who_waits_and_has_not_gone_is_answered(narrow: ServiceProcess) -> None:
    """It has ended its own side, and is asked whether it is there; it need not know what that says."""
    key, body = b"idempotency-key: there\r\n", b"1 | a\n" * 1000
    head = STREAM + key + b"content-length: %d\r\n\r\n" % len(body)
    with connect(narrow.port) as second:
        with connect(narrow.port) as first:
            first.sendall(head)
            time.sleep(0.1)
            second.sendall(head + body)
            second.shutdown(socket.SHUT_WR)
            for n in range(13):  # longer than it takes to be asked twice
                first.sendall(body[n * 60 : n * 60 + 60])
                time.sleep(0.2)
        received = read_all(second)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ")
    [answer] = answers(received)
    assert (answer.status, json.loads(answer.body)["accepted"]) == (200, 1000)


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
