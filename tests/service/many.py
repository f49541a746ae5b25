"""Many models in one service, and clients that send each update until it is acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

from machine import open_files, resident
from service.conftest import ServiceProcess
from waiting import SECONDS

__all__ = ["SETTINGS", "Load", "make", "name_of", "sequences", "threads"]

SETTINGS: Final[dict[str, Any]] = {"bits": 12, "breaker": "off", "max_connections": 64, "snapshot_seconds": 5}

BUSY: Final = 50
"""So many of the models get most of the updates."""

CLIENTS: Final = 8


def name_of(n: int) -> str:
    """Return what a model is called."""
    return f"m{n:04d}"


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    found = re.search(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def make(service: ServiceProcess, count: int) -> None:
    """Make so many models."""
    with service.client() as client:
        for n in range(count):
            assert client.put(f"/v1/models/{name_of(n)}", json={}).status_code == 201


def sequences(service: ServiceProcess) -> dict[str, int]:
    """Return how many examples each model has learned from."""
    with service.client() as client:
        return {one["model"]: one["sequence"] for one in client.get("/v1/models").json()["models"]}


class Load:
    """Clients of many models, fifty of which are busy and all of which have something now and then.

    Parameters
    ----------
    count
        How many models there are.
    """

    def __init__(self, count: int) -> None:
        self.service: ServiceProcess | None = None
        self.applied: Counter[str] = Counter()
        """Examples that were acknowledged, by model."""
        self.broken: list[str] = []
        """What broke the contract."""
        self.most = Counter[str]()
        """The most threads, descriptors and bytes of memory that the service had."""
        self._count = count
        self._until = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._until.set()
        for thread in self._threads:
            thread.join()

    def look(self) -> None:
        """Take note of what the service takes."""
        assert self.service is not None
        pid = self.service.pid
        self.most |= Counter(threads=threads(pid), descriptors=open_files(pid), bytes=resident(pid))

    def until(self, updates: int) -> None:
        """Wait until so many more examples were acknowledged; each time all models may have had some."""
        wanted, end = self.applied.total() + updates, time.monotonic() + SECONDS
        while self.applied.total() < wanted:
            assert time.monotonic() < end, (self.applied.total(), wanted, self.broken)
            self.look()
            time.sleep(0.05)

    def _send(self, number: int) -> None:
        chance, n, walk = random.Random(number), 0, number
        while not self._until.is_set():
            if n % 2:
                model, walk = name_of(walk % self._count), walk + CLIENTS
            else:
                model = name_of(chance.randrange(min(BUSY, self._count)))
            examples = [
                {"features": {"site": f"s{chance.randrange(9)}"}, "label": chance.randrange(2)}
                for _ in range(1 + n % 3)
            ]
            self._update(model, {"examples": examples}, f"{number}-{n}")
            with self._lock:
                self.applied[model] += len(examples)
            n += 1

    def _update(self, model: str, update: dict[str, Any], key: str) -> None:
        """Send an update with its key until it is acknowledged: whatever becomes of the service meanwhile."""
        headers, end = (
            {"content-type": "application/json", "idempotency-key": key},
            time.monotonic() + SECONDS,
        )
        while time.monotonic() < end:
            service = self.service
            if service is not None:
                connection = http.client.HTTPConnection(service.host, service.port, timeout=SECONDS)
                try:
                    connection.request("POST", f"/v1/models/{model}/update", json.dumps(update), headers)
                    answer = connection.getresponse()
                    content = answer.read()
                    if answer.status == 200:
                        return
                    if answer.status not in (404, 429, 503, 507):
                        self.broken.append(f"{answer.status} {content!r}")
                except (OSError, http.client.HTTPException):  # it was killed
                    pass
                finally:
                    connection.close()
            time.sleep(0.02)
        self.broken.append(f"{key} was not acknowledged")
