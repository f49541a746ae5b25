"""A service of several processes: which process is which, a connection to each, and load."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx

from service.conftest import SECONDS, ServiceProcess

__all__ = [
    "EXAMPLE",
    "PREDICT",
    "UPDATE",
    "Connections",
    "Load",
    "has_ended",
    "until",
    "until_replaced",
    "workers",
]

PREDICT, UPDATE = "/v1/models/default/predict", "/v1/models/default/update"
EXAMPLE = {"features": {"site": "news", "bid": 0.5}}


def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or left only its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until_replaced(service: ServiceProcess, *pids: int) -> None:
    """Wait until other processes have taken the places of these workers."""
    until(lambda: not set(pids) & set(workers(service).values()))


def workers(service: ServiceProcess) -> dict[int, int]:
    """The processes of a service's workers, the newest of each number."""
    ready = [line for line in service.log if line.get("event") == "a worker is ready"]
    return {line["worker"]: line["pid"] for line in ready}


class Connections:
    """A connection to each process of a service: which one it has, its log says."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self._stack = ExitStack()

    def __enter__(self) -> list[httpx.Client]:
        """Return one client of the writer and one of each worker, in this order."""
        found: dict[int | None, httpx.Client] = {}
        for n in range(200):
            client = self._stack.enter_context(self.service.client())
            mark = f"{id(self)}-{n}"
            assert client.post(PREDICT, json=EXAMPLE, headers={"x-request-id": mark}).status_code == 200
            found.setdefault(self._answered(mark), client)
            if len(found) == len(workers(self.service)) + 1:
                return [found[number] for number in (None, *sorted(workers(self.service)))]
        raise AssertionError(f"of 200 connections none came to some process: {list(found)}")

    def _answered(self, mark: str) -> int | None:
        """Which worker answered a request; None for the writer."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in reversed(self.service.log):
                if line.get("request_id") == mark:
                    number: int | None = line.get("worker")
                    return number
            time.sleep(0.001)
        raise AssertionError(f"no log line of the request {mark}")

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Load:
    """Clients of their own connections that update and predict until the service is gone."""

    def __init__(self, service: ServiceProcess, count: int = 4) -> None:
        self.service = service
        self.sequences: list[int] = []
        """Of every answer."""
        self.refused: list[object] = []
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        while len(self.sequences) < 100:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        path, body = PREDICT if number % 2 else UPDATE, json.dumps(EXAMPLE | {"label": 1})
        while True:
            connection = http.client.HTTPConnection(self.service.host, self.service.port, timeout=30)
            try:
                for _ in range(20):
                    connection.request("POST", path, body, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
                    if answer.status == 200:
                        self.sequences.append(content["sequence"])
                    else:
                        self.refused.append(content)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                continue  # an idle connection was closed: the request was not taken
            finally:
                connection.close()
