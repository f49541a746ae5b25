"""A service of several processes: which process is which, a connection to each, and load."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import ExitStack
from typing import Self

import httpx

from service.conftest import ServiceProcess
from waiting import until

__all__ = [
    "EXAMPLE",
    "PREDICT",
    "UPDATE",
    "Connections",
    "Load",
    "until_replaced",
    "workers",
]

PREDICT, UPDATE = "/v1/models/default/predict", "/v1/models/default/update"
EXAMPLE = {"features": {"site": "news", "bid": 0.5}}


def until_replaced(service: ServiceProcess, *pids: int) -> None:
    """Wait until other processes have taken the places of these workers."""
    until(lambda: not set(pids) & set(workers(service).values()))


def workers(service: ServiceProcess) -> dict[int, int]:
    """The processes of a service's workers, the newest of each number."""
    return {line["worker"]: line["pid"] for line in service.lines("a worker is ready")}


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
        line, *_ = until(lambda: [one for one in self.service.log if one.get("request_id") == mark])
        number: int | None = line.get("worker")
        return number

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
        until(lambda: len(self.sequences) >= 100)
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
