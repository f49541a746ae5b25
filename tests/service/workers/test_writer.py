"""The writer stopped, or killed: its workers answer what they can, and 503 to the rest."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machine import has_ended, is_stopped
from service.workers.processes import EXAMPLE, PREDICT, UPDATE, Connections, workers
from service.workers.staged import Staged
from waiting import until

Start = Callable[..., Staged]
LABELLED = EXAMPLE | {"label": 1}
NEVER = {"the service failed", "a request failed beyond its answer", "Exception in callback"}


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Start]:
    started: list[Staged] = []

    def start(**settings: Any) -> Staged:
        started.append(Staged(tmp_path / str(len(started)), [], **settings))
        started[-1].until_all_ready()
        return started[-1]

    yield start
    for service in started:
        service.process.send_signal(signal.SIGCONT)
        service.stop(signal.SIGKILL)


def test_while_the_writer_is_stopped_workers_predict_and_refuse_the_rest(staged: Start) -> None:
    service = staged(workers=2)
    pids = workers(service)
    with Connections(service) as [_, worker], Connections(service) as [_, other]:
        for pid in (service.process.pid, *pids.values()):  # a short stop is not noticed
            os.kill(pid, signal.SIGSTOP)
            until(lambda pid=pid: is_stopped(pid))  # type: ignore[misc]
            os.kill(pid, signal.SIGCONT)
            assert worker.post(UPDATE, json=LABELLED).status_code == 200
        assert not service.events("error", "warning")
        learned = worker.post(UPDATE, json=LABELLED).json()["sequence"]
        os.kill(service.process.pid, signal.SIGSTOP)
        # What was passed on waits until the writer has been silent for too long.
        unknown = worker.post(UPDATE, json=LABELLED, headers={"idempotency-key": "k"})
        assert unknown.status_code == 503
        assert unknown.headers["retry-after"] == "1"
        assert unknown.headers["content-type"] == "application/problem+json"
        assert "Idempotency-Key" in unknown.json()["detail"]
        for n in range(10):
            assert other.post(PREDICT, json=EXAMPLE).json()["sequence"] == learned
            refused = [
                worker.get("/v1/models"),
                worker.post(PREDICT, json=EXAMPLE | {"id": f"{n}"}),
                worker.post(UPDATE, json=LABELLED),
            ]
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        os.kill(service.process.pid, signal.SIGCONT)
        until(lambda: worker.get("/v1/models").status_code == 200)
        again = worker.post(UPDATE, json=LABELLED, headers={"idempotency-key": "k"}).json()
        assert again["sequence"] == learned + 1
        predict = "/v1/models/{model}/predict"
        counted = worker.get("/metrics").text
        assert f'nonzero_requests_total{{method="POST",route="{predict}",status="503"}} 10.0' in counted
        assert 'nonzero_requests_total{method="any",route="none",status="503"}' in counted
    assert workers(service) == pids
    assert "the writer does not answer; what needs it is refused" in service.events("error")
    assert "the writer answers again" in service.events("info")
    assert not NEVER & set(service.events("error", "critical"))
    assert service.stop() == 0


class Mixed:
    """Clients that send all that is passed on, until nobody listens."""

    def __init__(self, service: Staged, count: int = 8) -> None:
        self.service = service
        self.answers: list[tuple[int, bytes]] = []
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(count)]

    def __enter__(self) -> Mixed:
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.answers) > 200)
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _request(self, client: int, n: int) -> tuple[str, str, bytes, str]:
        media, lines = "application/json", b"1 |f a b\n" * 100
        match client % 4:
            case 0:
                return "POST", UPDATE, json.dumps(LABELLED).encode(), media
            case 1:
                example = EXAMPLE | {"id": f"{client}-{n}-{time.time()}"}
                return "POST", PREDICT, json.dumps({"examples": [example] * (1 + n % 2)}).encode(), media
            case 2:
                return "POST", (UPDATE, PREDICT)[n % 2], lines, "text/x-vw"
            case _:
                return "GET", "/v1/models/default", b"", media

    def _send(self, number: int) -> None:
        while True:
            connection = http.client.HTTPConnection(self.service.host, self.service.port, timeout=30)
            try:
                for n in range(20):
                    method, path, body, media = self._request(number, n)
                    connection.request(method, path, body or None, {"content-type": media})
                    answer = connection.getresponse()
                    self.answers.append((answer.status, answer.read()))
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                continue  # it broke off
            finally:
                connection.close()


def test_a_killed_writer_is_no_defect_of_its_workers(staged: Start) -> None:
    service = staged(workers=3)
    pids = list(workers(service).values())
    with Mixed(service) as load:
        before = len(load.answers)
        service.stop(signal.SIGKILL)
    until(lambda: all(map(has_ended, pids)))
    counted = Counter(status for status, _ in load.answers)
    assert set(counted) <= {200, 503}, counted
    refused = [json.loads(body) for status, body in load.answers if status == 503]
    assert all("the process that learns has ended" in body["detail"] for body in refused)
    assert before
    until(lambda: service.events("critical").count("stopping") == 2)
    assert set(service.events("error", "critical")) == {"stopping"}
