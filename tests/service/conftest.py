"""A service as users run it: a process of its own, on a free port of the loopback."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

SERVE = """
import json, sys
from nonzero_service.server import serve
from nonzero_service.settings import Settings
serve(Settings.load(**json.loads(sys.argv[1])))
"""

SECONDS = 120  # a machine without a cache of machine code compiles first


class ServiceProcess:
    """A running service: its address, its log, its end."""

    program = SERVE
    environment: Mapping[str, str] = {}

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        flags = {"data_dir": str(data_dir), "port": 0, "bits": 18, **settings}
        self.log: list[dict[str, Any]] = []
        self._listening = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.program, json.dumps(flags)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self.environment},
        )
        threading.Thread(target=self._read_log, daemon=True).start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"event": "text", "text": line.decode(errors="replace")})
                if self.log[-1].get("event") == "listening":
                    self._listening.set()
        self._listening.set()

    def until_listening(self) -> ServiceProcess:
        self._listening.wait(SECONDS)
        address = next((line for line in self.log if line.get("event") == "listening"), None)
        assert address is not None, self.log
        self.host, self.port = address["host"], address["port"]
        self.url = f"http://{self.host}:{self.port}"
        return self

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=SECONDS)

    def until_ready(self) -> ServiceProcess:
        self.until_listening()
        with self.client() as client:
            while client.get("/readyz").status_code != 200:
                assert self.process.poll() is None, self.log
                time.sleep(0.05)
        return self

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(SECONDS)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests that do not need their own."""
    running = ServiceProcess(
        tmp_path_factory.mktemp("service"), log_level="debug", slices="site"
    ).until_ready()
    yield running
    assert running.stop() == 0
    failures = [line for line in running.log if line.get("level") in ("error", "critical")]
    assert not failures, failures


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Start services of a test's own."""
    started: list[ServiceProcess] = []

    def start_service(data_dir: Path | None = None, **settings: Any) -> ServiceProcess:
        started.append(ServiceProcess(data_dir or tmp_path / "data", **settings))
        return started[-1]

    yield start_service
    for running in started:
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def client(service: ServiceProcess) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


_names = itertools.count()


@pytest.fixture
def model(client: httpx.Client) -> Iterator[str]:
    """Return the path of a new model of 2**12 slots and one lane; it is deleted after the test."""
    path = f"/v1/models/test-{next(_names)}"
    assert client.put(path, json={"bits": 12, "learning_rate": 0.1}).status_code == 201
    yield path
    assert client.delete(path).status_code in (204, 404)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: what a kill leaves is the same there, and sooner read."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="nonzero-") as directory:
        yield Path(directory)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "nonzero", str(place)],
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"a file system of 8 MB cannot be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
