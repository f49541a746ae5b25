"""Mixed traffic as a bidder and its trackers make it: predictions, updates, and labels that come later."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

PATH = "/v1/models/default"
BATCH = 40
"""Predictions of one request; a third of them is labelled a few seconds later."""

LATER = 3.0
JSON = {"content-type": "application/json"}
VW = {"content-type": "text/x-vw"}


def features(chance: random.Random) -> dict[str, object]:
    return {
        "site": f"s{chance.randrange(200)}",
        "user": f"u{chance.randrange(5000)}",
        "bid": round(chance.random(), 3),
        "tags": [f"t{chance.randrange(30)}", f"t{chance.randrange(30)}"],
    }


@dataclass
class Client:
    """One connection that sends one cycle of requests after another."""

    number: int
    host: str
    port: int
    statuses: Counter[str] = field(default_factory=Counter)
    cycles: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds of each request."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.number)
        self._labels: deque[tuple[float, list[str]]] = deque()
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        self._begun = time.monotonic()

    def run(self, until: threading.Event, every: float) -> None:
        """Send a cycle every so many seconds, or as fast as it is answered where `every` is 0."""
        due = time.monotonic()
        while not until.is_set():
            self.cycle()
            due = max(due + every, time.monotonic() - 1)  # what was missed is not made up for at once
            until.wait(max(0.0, due - time.monotonic()))
        self._connection.close()

    def cycle(self) -> None:
        chance, self.cycles = self._chance, self.cycles + 1
        ids = [f"{self.number}-{self.cycles}-{k}" for k in range(BATCH)]
        rows = [{"features": features(chance), "id": name} for name in ids]
        self._send("predict", json.dumps({"examples": rows}), JSON)
        self._labels.append((time.monotonic() + LATER, chance.sample(ids, BATCH // 3)))
        for _ in range(3):
            self._send("predict", json.dumps({"features": features(chance)}), JSON)
        self._send("update", json.dumps({"features": features(chance), "label": chance.randrange(2)}), JSON)
        lines = (
            f"{chance.choice((1, -1))} |site s{chance.randrange(200)} |user u{chance.randrange(5000)}\n"
            for _ in range(50)
        )
        body = "".join(lines).encode()
        packed = self.cycles % 4 == 0
        self._send(
            "update",
            gzip.compress(body) if packed else body,
            VW | ({"content-encoding": "gzip"} if packed else {}),
        )
        while self._labels and self._labels[0][0] < time.monotonic():
            _, names = self._labels.popleft()
            labels = [{"id": name, "label": chance.randrange(2)} for name in names]
            self._send("labels", json.dumps({"labels": labels}), JSON)
        if self.cycles % 50 == 0:
            self._send("update", '{"features": ', JSON)  # someone's mistake
            key = f"{self.number}-{self.cycles}"
            self._send("update", json.dumps({"features": {}, "label": 0}), JSON | {"idempotency-key": key})
            self._get("/metrics")
            self._get(f"{PATH}/metrics")
            self._get(f"{PATH}/diagnosis")

    def _send(self, action: str, body: str | bytes, headers: dict[str, str]) -> None:
        begun = time.monotonic()
        self._connection.request("POST", f"{PATH}/{action}", body, headers)
        self._answered(action, begun)

    def _get(self, path: str) -> None:
        begun = time.monotonic()
        self._connection.request("GET", path)
        self._answered(path, begun)

    def _answered(self, what: str, begun: float) -> None:
        answer = self._connection.getresponse()
        answer.read()
        self.waits.append(time.monotonic() - begun)
        if len(self.waits) > 100_000:
            del self.waits[:50_000]
        self.statuses[f"{what} {answer.status}"] += 1


class Traffic:
    """Several clients at once."""

    def __init__(self, host: str, port: int, clients: int, first: int = 0) -> None:
        self.clients = [Client(first + number, host, port) for number in range(clients)]

    def run(self, seconds: float, cycles_a_second: float | None) -> float:
        """Send for so long, at a rate or as fast as is answered; return the cycles a second."""
        until = threading.Event()
        every = len(self.clients) / cycles_a_second if cycles_a_second else 0.0
        threads = [threading.Thread(target=client.run, args=(until, every)) for client in self.clients]
        begun, before = time.monotonic(), sum(client.cycles for client in self.clients)
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        until.set()
        for thread in threads:
            thread.join()
        return (sum(client.cycles for client in self.clients) - before) / (time.monotonic() - begun)

    def statuses(self) -> Counter[str]:
        return sum((client.statuses for client in self.clients), Counter())
