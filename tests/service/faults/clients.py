"""Clients that send keyed updates, and know what was acknowledged.

What the `n`-th request of a client holds follows from the two numbers alone, so that it can be sent again
after its answer was lost.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from service.conftest import ServiceProcess

PATH = "/v1/models/default"
EXPECTED = {200, 409, 503, 507}


@dataclass(frozen=True)
class Request:
    """A keyed update."""

    key: str
    media: str
    body: bytes
    examples: int


def request(client: int, n: int) -> Request:
    """The `n`-th request of a client: a small JSON body, or a stream, now and then of several pieces."""
    key = f"{client}-{n}"
    if n % 3 == 0:
        rows = [
            {"features": {"site": f"s{(client + j) % 9}"}, "label": (n + j) % 2} for j in range(1 + n % 5)
        ]
        return Request(key, "application/json", json.dumps({"examples": rows}).encode(), len(rows))
    size = 20_000 if n % 40 == 1 else 200
    lines = (f"{1 if (j + n) % 3 else -1} |f site{j % 11} user{(j * client) % 17}\n" for j in range(size))
    return Request(key, "text/x-vw", "".join(lines).encode(), size)


@dataclass
class Client:
    """One client: sends one request after another, each until it is answered."""

    number: int
    answered: list[dict[str, Any]] = field(default_factory=list)
    """The answer to each request so far; the next one may be there without its answer."""
    problems: list[str] = field(default_factory=list)
    """What broke the contract of errors."""

    def run(self, service: ServiceProcess, until: threading.Event) -> None:
        connection = http.client.HTTPConnection(service.host, service.port, timeout=30)
        try:
            while not until.is_set():
                self._send(connection, request(self.number, len(self.answered)))
        except (OSError, http.client.HTTPException):
            return  # the service is gone: what was sent last may be there or not
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, sent: Request) -> None:
        headers = {"content-type": sent.media, "idempotency-key": sent.key}
        connection.request("POST", f"{PATH}/update", sent.body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 200:
            body = json.loads(content)
            if body["accepted"] != sent.examples or not 0 <= body["replayed"] <= sent.examples:
                self.problems.append(f"{sent.key}: {body}")
            self.answered.append(body)
            return
        if (
            answer.status not in EXPECTED
            or answer.headers["content-type"] != "application/problem+json"
            or b"Traceback" in content
        ):
            self.problems.append(f"{answer.status}: {content!r}")
        time.sleep(0.01)


def snapshots(service: ServiceProcess, until: threading.Event) -> None:
    """Ask for one snapshot after another."""
    connection = http.client.HTTPConnection(service.host, service.port, timeout=30)
    try:
        while not until.wait(0.03):
            connection.request("POST", f"{PATH}/snapshots")
            connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


class Clients:
    """Several clients at once, and one that has snapshots taken."""

    def __init__(self, count: int) -> None:
        self.all = [Client(number) for number in range(count)]
        self._until = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, service: ServiceProcess) -> None:
        self._until.clear()
        self._threads = [
            threading.Thread(target=client.run, args=(service, self._until)) for client in self.all
        ]
        self._threads.append(threading.Thread(target=snapshots, args=(service, self._until)))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish the request it is at, if the service is there to answer it."""
        self._until.set()
        for thread in self._threads:
            thread.join()

    def acknowledged(self) -> dict[str, tuple[int, int]]:
        """Return (examples, sequence after them) of every request that was answered, by its key."""
        return {
            f"{client.number}-{n}": (answer["accepted"], answer["sequence"])
            for client in self.all
            for n, answer in enumerate(client.answered)
        }

    def in_flight(self) -> dict[str, int]:
        """Return the examples of the one request of each client that may be there unanswered, by its key."""
        next_ones = (request(client.number, len(client.answered)) for client in self.all)
        return {one.key: one.examples for one in next_ones}
