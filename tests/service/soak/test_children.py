"""Workers and writer killed and stopped at random, under load: nothing is lost, and all come back."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from machine import has_ended
from nonzero_service.models.verifying import verify
from reporting import Figure
from service.faults.invariants import silent
from service.workers.processes import EXAMPLE, PREDICT, UPDATE, workers
from service.workers.staged import Staged
from waiting import until

CLIENTS = 6
BLOWS = 150
MOST_SECONDS = 600
FLAGS: dict[str, Any] = {"workers": 3, "journal_retention": "all", "breaker": "off"}


class Load:
    """Clients that send each update, with its key, until it is acknowledged, and predict in between."""

    def __init__(self) -> None:
        self.service: Staged | None = None
        self.statuses: Counter[int] = Counter()
        self.applied = 0
        """Updates that were acknowledged."""
        self.broken: list[str] = []
        """What broke the contract."""
        self._until = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._last = time.monotonic() + 60
        self._until.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        n = 0
        while not self._until.is_set():
            update = json.dumps({"examples": [EXAMPLE | {"label": n % 2}]})
            while self._ask(UPDATE, update, {"idempotency-key": f"{number}-{n}"}) != 200:
                time.sleep(0.02)
                if self._until.is_set() and time.monotonic() > self._last:
                    return
            with self._lock:
                self.applied += 1
            self._ask(PREDICT, json.dumps(EXAMPLE))
            self._ask(PREDICT, json.dumps(EXAMPLE | {"id": f"{number}-{n}"}))
            n += 1

    def _ask(self, path: str, body: str, headers: dict[str, str] | None = None) -> int:
        service = self.service
        if service is None:
            return 0
        connection = http.client.HTTPConnection(service.host, service.port, timeout=5)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"} | (headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return 0  # it broke off
        finally:
            connection.close()
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status not in (200, 409, 503) or b"Traceback" in content:
                self.broken.append(f"{answer.status}: {content!r}")
        return answer.status


@pytest.mark.soak
def test_any_process_killed_or_stopped_at_random(tmp_path: Path, figure: Figure) -> None:
    chance = random.Random(8)
    lives = [Staged(tmp_path / "0", [], data_dir=tmp_path / "data", **FLAGS)]
    lives[0].until_all_ready()
    blows: Counter[str] = Counter()
    until_then = time.monotonic() + MOST_SECONDS
    try:
        with Load() as load:
            load.service = lives[-1]
            while blows.total() < BLOWS and time.monotonic() < until_then:
                time.sleep(chance.uniform(0.05, 0.8))
                service = lives[-1]
                task = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
                children = [int(pid) for pid in task.read_text().split()]
                match chance.randrange(12):
                    case 0:
                        blows["writers killed"] += 1
                        serving = [pid for pid in workers(service).values() if not has_ended(pid)]
                        if serving:
                            os.kill(chance.choice(serving), signal.SIGSTOP)
                        service.stop(signal.SIGKILL)
                        until(lambda gone=serving: all(map(has_ended, gone)))  # type: ignore[misc]
                        for (
                            pid
                        ) in children:  # who was stopped in its first moments, before it asked to be woken
                            with suppress(ProcessLookupError):
                                os.kill(pid, signal.SIGCONT)
                        again = tmp_path / str(len(lives))
                        lives.append(
                            Staged(
                                again,
                                [],
                                data_dir=tmp_path / "data",
                                port=service.port,
                                **FLAGS,
                            )
                        )
                        lives[-1].until_ready()
                        load.service = lives[-1]
                    case 1 | 2:
                        blows["writers stopped"] += 1
                        os.kill(service.process.pid, signal.SIGSTOP)
                        time.sleep(chance.uniform(0, 4))
                        os.kill(service.process.pid, signal.SIGCONT)
                    case kind if children:
                        stopped = kind % 2
                        blows["workers stopped" if stopped else "workers killed"] += 1
                        os.kill(chance.choice(children), signal.SIGSTOP if stopped else signal.SIGKILL)
            lives[-1].until_all_ready()
        with lives[-1].client() as client:
            sequence = client.get("/v1/models/default").json()["sequence"]
        assert len(workers(lives[-1])) == 2
        assert lives[-1].stop() == 0
    finally:
        for one in lives:
            one.stop(signal.SIGKILL)
    faults = verify(tmp_path / "data/models/default", silent).faults
    defects = [
        line["event"]
        for one in lives
        for line in one.log
        if line["event"]
        in ("the service failed", "a request failed beyond its answer", "Exception in callback")
    ]
    figure(
        "a service of three processes, any of them killed or stopped at random, under load",
        f"{BLOWS} blows: no update lost or learned twice, no 5xx but 503, all workers there in the end",
        f"{', '.join(f'{count} {kind}' for kind, count in sorted(blows.items()))}; {load.applied:,} "
        f"updates acknowledged, {sequence:,} learned; of {load.statuses.total():,} answers "
        f"{load.statuses[503]:,} were 503",
    )
    assert not load.broken, load.broken[:3]
    assert sequence == load.applied
    assert faults == []
    assert not defects, defects[:3]
