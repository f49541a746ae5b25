"""A service as users run it: a process of its own, on a free port of the loopback."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import httpx
import pytest

from disks import mounted
from fork_server import Child, fork_server
from forked_workers import BEGIN
from kafka import Broker, kafka
from plain_http import client_of
from postgres import Cluster, postgresql
from service.certificates import certificate
from service.clock import Clock
from shared_database import Hooked
from waiting import SECONDS, until

SERVE = """
import json, sys
from nonzero_service.structlog_import import import_structlog
import_structlog()
from nonzero_service.server import serve
from nonzero_service.settings import Settings
serve(Settings.load(**json.loads(sys.argv[1])))
"""


class ServiceProcess:
    """A running service: its address, its log, its end.

    Parameters
    ----------
    data_dir
        Where its data are.
    settings
        The service's; ``held``: whether it waits for :meth:`Child.go` before it begins.
    """

    program = SERVE
    environment: Mapping[str, str] = {}
    fresh = False
    """Whether Python is started for it; otherwise it is forked, and has imported all when it begins."""
    forks_workers = True
    """Whether its workers are forked, where it is; otherwise it starts Python for each."""

    process: subprocess.Popen[bytes] | Child

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        held = settings.pop("held", False)
        flags = {"data_dir": str(data_dir), "port": 0, "bits": 18, **settings}
        self.log: list[dict[str, Any]] = []
        self._listening = threading.Event()
        path = os.pathsep.join(filter(None, sys.path))
        stderr = self._begin(json.dumps(flags), {**os.environ, "PYTHONPATH": path, **self.environment})
        self._reader = threading.Thread(target=self._read_log, args=(stderr,), daemon=True)
        self._reader.start()
        if not held and not self.fresh:
            self.child.go()

    def _begin(self, argument: str, environment: dict[str, str]) -> IO[bytes]:
        """Begin the process; return what it writes to its standard error."""
        if self.fresh:
            command = [sys.executable, "-c", self.program, argument]
            self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
            assert self.process.stderr is not None
            return self.process.stderr
        several = self.forks_workers and int(json.loads(argument).get("workers", 1)) > 1
        with tempfile.TemporaryDirectory() as place:
            pipe = Path(place, "stderr")
            os.mkfifo(pipe)
            reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            self.process = fork_server().fork(
                "fork_server:run_program",
                ["/dev/null", "/dev/null", pipe],
                environment,
                program=(BEGIN if several else "") + self.program,
                arguments=[argument],
            )
        os.set_blocking(reading, True)
        return os.fdopen(reading, "rb")

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def child(self) -> Child:
        """The process, where it was forked."""
        assert isinstance(self.process, Child)
        return self.process

    def _read_log(self, stderr: IO[bytes]) -> None:
        with stderr as lines:
            for line in lines:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"event": "text", "text": line.decode(errors="replace")})
                if self.log[-1].get("event") == "listening":
                    self._listening.set()
        self._listening.set()

    def until_listening(self) -> Self:
        self._listening.wait(SECONDS)
        address = next((line for line in self.log if line.get("event") == "listening"), None)
        assert address is not None, self.log
        self.host, self.port = address["host"], address["port"]
        self.url = f"http://{self.host}:{self.port}"
        return self

    def client(self) -> httpx.Client:
        return client_of(self.url)

    def until_ready(self) -> Self:
        assert self.is_ready(), self.log
        return self

    def is_ready(self) -> bool:
        """Wait until it is ready, or has ended; tell which."""
        self._listening.wait(SECONDS)
        if not self.lines("listening"):
            self.until_ended()
            return False
        self.until_listening()
        with self.client() as client, suppress(httpx.TransportError):
            until(lambda: self.has_ended() or client.get("/readyz").status_code == 200)
        return not self.has_ended()

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit status."""
        if not self.has_ended():
            self.process.send_signal(sig)
        return self.until_ended() if sig != signal.SIGKILL else self.process.wait(SECONDS)

    def kill(self) -> int:
        """End it at once, as a power cut would; return its exit status."""
        return self.stop(signal.SIGKILL)

    def until_ended(self) -> int:
        """Wait until it has ended by itself, and its log is read; return its exit status."""
        status = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return status

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what the log says of an event so far."""
        return [line for line in list(self.log) if line.get("event") == event]

    def failures(self) -> list[dict[str, Any]]:
        """Return the log's errors so far."""
        return [line for line in list(self.log) if line.get("level") in ("error", "critical")]


class FreshService(ServiceProcess):
    """One for which Python is started, as users do."""

    fresh = True


Start = Callable[..., ServiceProcess]

FOLLOW = """
import os
from pathlib import Path
from service.clock import follow
follow(Path(os.environ["CLOCK"]))
"""


class Clocked(ServiceProcess):
    """One on a machine whose clock a test turns.

    Parameters
    ----------
    place
        An empty directory, or that of a service before it.
    ahead
        By how many seconds the machine's clock is wrong.
    """

    program = FOLLOW + SERVE

    def __init__(self, place: Path, ahead: int = 0, **settings: Any) -> None:
        self.clock = Clock(place / "clock", ahead)
        self.environment = {"CLOCK": str(self.clock.path)}
        super().__init__(place / "data", **settings)

    def until_looked(self, what: str = "windows", times: int = 1) -> None:
        """Wait until what is due by now would have been found: windows that have ended, or snapshots."""
        seen = self.clock.looks(what)
        until(lambda: self.clock.looks(what) > seen + times)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests that do not need their own."""
    place = tmp_path_factory.mktemp("service")
    running = FreshService(place, log_level="debug", slices="site").until_ready()
    yield running
    assert running.stop() == 0
    assert not running.failures()


@contextmanager
def starting(kind: type[ServiceProcess], place: Path) -> Iterator[Start]:
    """Start services, and end them."""
    started: list[ServiceProcess] = []

    def start_service(data_dir: Path | None = None, **settings: Any) -> ServiceProcess:
        started.append(kind(data_dir or place / "data", **settings))
        return started[-1]

    yield start_service
    for running in started:
        running.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start services of a test's own."""
    with starting(ServiceProcess, tmp_path) as start_service:
        yield start_service


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Start]:
    """Start such for which Python is started: what they have loaded, and what memory they take, is theirs."""
    with starting(FreshService, tmp_path) as start_service:
        yield start_service


@pytest.fixture
def serve(start: Start) -> Start:
    """Start services of small models."""
    return partial(start, bits=8)


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[Callable[..., Clocked]]:
    """Start services of a test's own, on a machine whose clock it turns."""
    started: list[Clocked] = []

    def start_service(ahead: int = 0, **settings: Any) -> Clocked:
        started.append(Clocked(tmp_path, ahead, **settings))
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
def negatives() -> str:
    """When the model learns from impressions."""
    return "at_once"


@pytest.fixture
def model(client: httpx.Client, negatives: str) -> Iterator[str]:
    """Return the path of a new model of 2**12 slots and one lane; it is deleted after the test."""
    path = f"/v1/models/test-{next(_names)}"
    settings = {"bits": 12, "learning_rate": 0.1, "negatives": negatives}
    assert client.put(path, json=settings).status_code == 201
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
    with mounted(tmp_path / "disk", 8) as place:
        yield place


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """PostgreSQL, one server for all tests that leave it as it is: each has databases of its own."""
    with postgresql() as cluster:
        yield cluster


@pytest.fixture
def database(postgres: Cluster) -> str:
    """The address of an empty database."""
    return postgres.database()


@pytest.fixture(scope="module")
def hooked_url(postgres: Cluster) -> str:
    """The address of a database for all tests of a file: each begins a cluster there anew."""
    return postgres.database()


@pytest.fixture
def hooked(hooked_url: str) -> Iterator[Hooked]:
    """The database of a new cluster, which a test steps into."""
    with closing(Hooked(hooked_url)) as database:
        yield database


@pytest.fixture(scope="session")
def replicated() -> Iterator[Cluster]:
    """A primary and its synchronous standby, for all tests that leave both as they are."""
    with postgresql(standby=True) as cluster:
        yield cluster


@pytest.fixture
def breakable() -> Iterator[Cluster]:
    """A primary and its synchronous standby, of a test's own: it may kill, stop and promote them."""
    with postgresql(standby=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = certificate(tmp_path_factory.mktemp("certificate")) if shutil.which("openssl") else None
    with kafka(certificate=made) as broker:
        yield broker


@pytest.fixture
def broker(shared_broker: Broker) -> Broker:
    """Kafka, one broker for all tests: each has topics of its own, and may kill it and begin it again."""
    shared_broker.be_up()
    return shared_broker
