from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from machine import resident
from nonzero import AdaGrad, LogisticRegression
from nonzero_service.app import create_app
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.settings import Settings
from service.conftest import SERVE, ServiceProcess
from service.labelling import LABELLING
from waiting import SECONDS, until

Start = Callable[..., Any]


def examples(n: int) -> list[dict[str, Any]]:
    return [{"features": {"site": f"s{j % 9}"}, "label": j % 2} for j in range(n)]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_saves_and_a_start_loads(start: Start, sig: signal.Signals) -> None:
    first = start().until_ready()
    with first.client() as client:
        client.put("/v1/models/other", json={"bits": 8, "learning_rate": 0.2})
        for model in ("default", "other"):
            client.post(f"/v1/models/{model}/update", json={"examples": examples(100)})
        before = client.get("/v1/models").json()
        predicted = client.post("/v1/models/default/predict", json={"examples": examples(9)}).json()
    assert first.stop(sig) == 0

    second = start().until_ready()
    with second.client() as client:
        assert client.get("/v1/models").json() == before
        assert client.post("/v1/models/default/predict", json={"examples": examples(9)}).json() == predicted
        assert client.get("/v1/models/default/metrics").json()["examples"] == 100


def test_stored_settings_win_with_a_warning_for_each_difference(start: Start) -> None:
    first = start(bits=10, learning_rate="auto").until_ready()
    with first.client() as client:
        client.put("/v1/models/own", json={"bits": 9, "learning_rate": 0.5})
        client.put("/v1/models/half", json={"bits": 9})
    first.stop()
    second = start(bits=11, learning_rate=0.25).until_ready()
    with second.client() as client:
        for name, model in (
            ("default", LogisticRegression(10)),
            ("own", LogisticRegression(9, AdaGrad(0.5))),
        ):
            assert client.get(f"/v1/models/{name}").json()["settings"] == model.settings | LABELLING
    warnings = {(line["model"], line["setting"]) for line in second.log if line.get("level") == "warning"}
    assert warnings == {("default", "bits"), ("default", "learning_rate"), ("half", "learning_rate")}


def test_what_a_kill_left_half_made_is_removed(start: Start, tmp_path: Path) -> None:
    left = tmp_path / "data" / "models" / ".half"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    with start().until_ready().client() as client:
        assert [one["model"] for one in client.get("/v1/models").json()["models"]] == ["default"]
    assert not left.exists()


def test_a_lost_journal_is_named_and_ends_the_start(start: Start, tmp_path: Path) -> None:
    first = start().until_ready()
    with first.client() as client:
        assert client.post("/v1/models/default/update", json={"examples": examples(5)}).status_code == 200
    assert first.stop() == 0
    journal = tmp_path / "data" / "models" / "default" / "journal.sqlite"
    journal.unlink()
    running = start()
    assert running.until_ended() != 0
    assert any(str(journal) in json.dumps(line) for line in running.log)


def test_an_address_in_use_ends_the_start(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = start(port=taken.getsockname()[1])
        assert running.until_ended() != 0


def test_requests_in_flight_at_a_stop_are_answered(start: Start, tmp_path: Path) -> None:
    """A request that was answered is in the saved model; one that was not may be."""
    running = start().until_ready()
    answered = 0
    problems: list[object] = []
    lock = threading.Lock()
    begun = threading.Barrier(9)

    def update() -> None:
        nonlocal answered
        with running.client() as client:
            begun.wait()
            while True:
                try:
                    answer = client.post("/v1/models/default/update", json={"examples": examples(20)})
                except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                    return  # an idle connection was closed, or a new one refused: the request was not taken
                with lock:
                    if answer.status_code == 200:
                        answered += 20
                    else:
                        problems.append(answer.json())

    threads = [threading.Thread(target=update) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    until(lambda: answered)
    assert running.stop() == 0
    for thread in threads:
        thread.join()
    assert not problems
    newest = SnapshotFolder(tmp_path / "data/models/default/snapshots").all()[0]
    saved = LogisticRegression.load(newest.path)
    assert saved.examples >= answered > 0


def test_it_listens_before_it_is_ready(start: Start) -> None:
    running = start().until_ready()
    until(lambda: running.lines("ready"))
    events = [line.get("event") for line in running.log]
    assert events.index("listening") < events.index("ready")


def test_until_it_is_ready_it_says_so(tmp_path: Path) -> None:
    async def ask(*paths: str) -> list[httpx.Response]:
        app = create_app(Settings.load(data_dir=tmp_path))  # whose lifespan has not begun
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [await client.get(path) for path in paths]

    alive, *others = asyncio.run(ask("/healthz", "/readyz", "/v1/models", "/v1/models/default"))
    assert alive.status_code == 200
    for answer in others:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"


def test_the_memory_of_an_idle_service(fresh: Start) -> None:
    """One lane of 2**22 slots is 32 MB; everything else is within 250 MB."""
    running = fresh(bits=22, learning_rate=0.1).until_ready()
    with running.client() as client:
        client.post("/v1/models/default/update", json={"examples": examples(10)})
        state = client.get("/v1/models/default").json()
    assert state["bytes"] <= (32 << 20) + 1024
    # Pages of the table that were never written to take no memory yet: as if all of them were.
    assert resident(running.pid) + state["bytes"] <= (32 << 20) + (250 << 20)


def test_unused_libraries_are_not_loaded(fresh: Start) -> None:
    running = fresh().until_ready()
    mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "sklearn" not in mapped
    assert "scipy/sparse" not in mapped
    assert "scipy/linalg" not in mapped


FAILING = """
import threading
from nonzero_service.writer.applier import Applier

apply = Applier._apply

def broken(applier, group):
    if group.position and group.position > 2:
        raise RuntimeError("a defect")
    return apply(applier, group)

Applier._apply = broken
"""

NO_LOG = """
import structlog

def full(*_, **__):
    raise OSError(28, "no space left on device")

levels = structlog.make_filtering_bound_logger
def unwritable(level):
    kind = levels(level)
    for name in ("critical", "error", "exception", "warning"):
        setattr(kind, name, full)
    return kind
structlog.make_filtering_bound_logger = unwritable
"""

NO_THREAD = """
class Timer(threading.Timer):
    def start(self):
        raise RuntimeError("can't start new thread")
threading.Timer = Timer
"""


class Failing(ServiceProcess):
    """A service that fails at its second update."""

    def __init__(self, data_dir: Path, change: str) -> None:
        self.program = FAILING + change + SERVE
        super().__init__(data_dir, bits=10, grace_seconds=10 * SECONDS)  # which it does not take


@pytest.mark.parametrize("change", ["", NO_LOG, NO_THREAD], ids=["", "no log", "no thread"])
def test_a_failure_ends_the_process_whatever_else_fails(tmp_path: Path, change: str, start: Start) -> None:
    def update(client: httpx.Client, key: str) -> httpx.Response:
        body, headers = {"examples": examples(3)}, {"idempotency-key": key}
        return client.post("/v1/models/default/update", json=body, headers=headers)

    running = Failing(tmp_path / "data", change).until_ready()
    with running.client() as client:
        assert update(client, "a").status_code == 200
        try:
            answer = update(client, "b")
        except httpx.TransportError:
            assert change == NO_THREAD  # then it ends at once
        else:
            assert answer.status_code == 503
            assert "outcome is unknown" in answer.json()["detail"]
    assert running.until_ended() == 1
    with start(bits=10).until_ready().client() as client:
        for key in ("a", "b"):
            answer = update(client, key)
            assert (answer.status_code, answer.json()["replayed"]) == (200, 3)
        assert client.get("/v1/models/default").json()["sequence"] == 6
