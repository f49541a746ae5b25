"""A log that cannot be written costs log lines, and nothing else: no answer, no update, no later start."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from command_line import COMMAND
from fork_server import fork_server
from machine import listening_port
from nonzero_service.models.verifying import verify
from plain_http import client_of
from service.conftest import SERVE
from service.faults.invariants import silent
from service.writer.test_breaker import NDJSON, body, labelled_all, stream
from waiting import SECONDS, until

MODEL = "/v1/models/default"
SETTINGS = {"bits": 12, "learning_rate": 0.1, "journal_retention": "all", "log_level": "debug"}


class LoggingTo:
    """A service whose standard error is a file of that name, whatever that is."""

    def __init__(self, log: Path, data_dir: Path, **settings: object) -> None:
        flags = {"data_dir": str(data_dir), "port": 0, **SETTINGS, **settings}
        self.process = fork_server().fork(
            "fork_server:run_program",
            ["/dev/null", "/dev/null", log],
            program=SERVE,
            arguments=[json.dumps(flags)],
        )
        self.process.go()
        self.url = f"http://127.0.0.1:{until(lambda: listening_port(self.process.pid))}"
        with self.client() as client:
            until(lambda: _is_ready(client))

    def client(self) -> httpx.Client:
        return client_of(self.url)


def _is_ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/readyz").status_code == 200
    return False


Serve = Callable[..., LoggingTo]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[LoggingTo] = []

    def begin(log: Path, **settings: object) -> LoggingTo:
        started.append(LoggingTo(log, tmp_path / "data", **settings))
        return started[-1]

    yield begin
    for service in started:
        service.process.kill()
        service.process.wait()


class Log(NamedTuple):
    """Where a service logs to, and what makes that fail."""

    path: Path
    spoil: Callable[[], object]
    loses: bool
    """Whether lines are lost at once."""


def unread(place: Path, stack: ExitStack) -> Log:
    os.mkfifo(place / "pipe")
    reading = os.open(place / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    stack.callback(os.close, reading)
    return Log(place / "pipe", lambda: None, loses=False)


def left(place: Path, _: ExitStack) -> Log:
    os.mkfifo(place / "pipe")
    reading = os.open(place / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    return Log(place / "pipe", partial(os.close, reading), loses=True)


def full_device(_: Path, __: ExitStack) -> Log:
    return Log(Path("/dev/full"), lambda: None, loses=True)


def full_disk(_: Path, __: ExitStack, disk: Path) -> Log:
    def fill() -> None:
        with (disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass

    (disk / "log").touch()
    return Log(disk / "log", fill, loses=True)


@pytest.fixture
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    make = request.param
    with ExitStack() as stack:
        if make is full_disk:
            make = partial(make, disk=request.getfixturevalue("small_disk"))
        yield make(tmp_path, stack)


def test_a_closed_standard_error_is_no_place_to_log_to(tmp_path: Path) -> None:
    """What is opened next has its number: lines of the log must not come into a file of the data."""
    flags = ["--data-dir", str(tmp_path / "data"), "--bits", "8", "--log-level", "debug", "--port", "0"]
    command = ["bash", "-c", 'exec "$@" 2>&-', "bash", *COMMAND, "serve", *flags]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.kill)
        port = until(lambda: listening_port(process.pid))
        client = stack.enter_context(client_of(f"http://127.0.0.1:{port}"))
        until(lambda: process.poll() is not None or _is_ready(client))
        assert client.get("/nowhere").status_code == 404
        assert client.post(f"{MODEL}/update", json={"indices": [1], "label": 1}).status_code == 200
        process.terminate()
        assert process.wait(SECONDS) == 0
    found = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert found
    assert not [path for path in found if b'"event"' in path.read_bytes()]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("log", "workers"),
    [(unread, 1), (left, 1), (full_device, 1), (full_disk, 1), (left, 2)],
    indirect=["log"],
    ids=["nobody reads", "the reader goes", "a full device", "a full disk", "the reader of two goes"],
)
def test_what_is_answered_goes_on(serve: Serve, log: Log, tmp_path: Path, workers: int) -> None:
    """Also a trip of the breaker, whose log line comes between its rows and its answer."""
    service = serve(log.path, workers=workers)
    log.spoil()
    calm, jump = stream(12_000), labelled_all(stream(3000, seed=2), 1)
    trip, keyed = body(jump), NDJSON | {"idempotency-key": "jump"}
    with service.client() as client:
        for n in range(500):  # of 170 bytes each: more than a pipe holds
            if n % 2:
                assert client.post(f"{MODEL}/predict", json={"indices": [1, 60, 301]}).status_code == 200
            else:
                assert client.get("/nowhere").status_code == 404
        assert client.post(f"{MODEL}/update", content=body(calm), headers=NDJSON).status_code == 200
        first = client.post(f"{MODEL}/update", content=trip, headers=keyed)
        assert first.status_code == 202
        held = first.json()["held"]
        assert first.json()["accepted"] + held == 3000
        again = client.post(f"{MODEL}/update", content=trip, headers=keyed)
        assert again.status_code == 202
        assert again.json() == first.json() | {"replayed": 3000}
        assert client.get("/healthz").status_code == 200
        resumed = client.post(f"{MODEL}/resume").json()
        assert (resumed["applied"], resumed["sequence"]) == (held, 15_000)
        lost = re.search(r"^nonzero_log_lines_dropped_total (\S+)$", client.get("/metrics").text, re.M)
        assert lost is not None
        assert (float(lost[1]) > 100) is log.loses
    service.process.terminate()
    assert service.process.wait(SECONDS) == 0
    assert verify(tmp_path / "data/models/default", silent).faults == []

    (tmp_path / "log").touch()
    service = serve(tmp_path / "log")
    with service.client() as client:
        assert client.get(MODEL).json()["sequence"] == 15_000
        assert client.post(f"{MODEL}/update", content=trip, headers=keyed).json()["replayed"] == 3000
    service.process.terminate()
    assert service.process.wait(SECONDS) == 0
    assert "ready" in (tmp_path / "log").read_text()
