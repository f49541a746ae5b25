"""The limit of open files: raised at the start, shared out, and named where it is too small."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from machine import children, open_files
from nonzero import Batch, LogisticRegression
from nonzero.errors import NonzeroError
from nonzero_service.budget import OF_A_JOURNAL, check_descriptors
from nonzero_service.journal.descriptors import are_none_left
from nonzero_service.journal.errors import NoDescriptorsError
from nonzero_service.journal.sqlite import database
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.failures import leave_as_killed, no_failure

PROMISED = 2048

LIMITED = """
import json, resource, sys
from nonzero_service.server import serve
from nonzero_service.settings import Settings
flags = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (flags.pop("soft"), flags.pop("hard")))
serve(Settings.load(**flags))
"""


@contextmanager
def limits(soft: int) -> Iterator[None]:
    """Give this process a soft limit of its own for a while."""
    usual, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, hard))


class Limited(ServiceProcess):
    """A service whose process is begun with limits of its own."""

    program = LIMITED


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Start]:
    """Start such services."""
    started: list[Limited] = []

    def start(**settings: object) -> Limited:
        started.append(Limited(tmp_path / "data", **settings))
        return started[-1]

    yield start
    for running in started:
        running.stop(signal.SIGKILL)


def raised(least: int) -> int:
    """Return the hard limit; skip aloud where it is too low."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < least:
        pytest.skip(f"the hard limit of open files is {hard}, and {least} are needed")
    return hard


def test_the_promised_connections_are_there_whatever_the_soft_limit(limited: Start) -> None:
    """Two thousand clients that say nothing, and /healthz answers."""
    hard = raised(2 * PROMISED)
    running = limited(soft=1024, hard=hard, bits=4, keep_alive_seconds=60).until_ready()
    request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with limits(2 * PROMISED), ExitStack() as clients:
        for _ in range(PROMISED - 1):
            clients.enter_context(socket.create_connection((running.host, running.port)))
        last = clients.enter_context(socket.create_connection((running.host, running.port), timeout=10))
        last.sendall(request)
        assert b" 200 " in last.recv(1000).split(b"\r\n")[0]
        assert open_files(running.process.pid) > 1024
    assert not [line for line in running.log if line.get("level") == "warning"]


def test_a_limit_that_is_too_small_is_named(limited: Start) -> None:
    """Fewer connections are served, a start says how many, and a model too many harms nobody."""
    running = limited(soft=512, hard=512, bits=4).until_ready()
    [warning] = [line for line in running.log if line.get("level") == "warning"]
    assert warning["max_connections"] == PROMISED
    assert 0 < warning["connections"] < 512
    assert "RLIMIT_NOFILE" in warning["reason"]
    assert "512" in warning["reason"]
    assert "ulimit -n" in warning["reason"]
    with running.client() as client:
        answers = [client.put(f"/v1/models/m{j}", json={"bits": 4}) for j in range(40)]
        assert {answer.status_code for answer in answers} == {201}
        assert open_files(running.pid) < 512 - warning["connections"]
        with ExitStack() as idle:
            for _ in range(warning["connections"] - 2):
                idle.enter_context(socket.create_connection((running.host, running.port)))
            assert client.get("/healthz").status_code == 200
            assert client.post("/v1/models/m0/predict", json={"features": {}}).status_code == 200
        assert client.delete("/v1/models/m0").status_code == 204
        assert client.put("/v1/models/m0", json={"bits": 4}).status_code == 201
    assert running.stop() == 0


def test_a_model_too_many_for_workers_is_refused(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, workers=2, max_connections=64)
    with limits(1024):
        check_descriptors(settings, 40)
        with pytest.raises(NoDescriptorsError, match=r"there are 400 models, and .*RLIMIT_NOFILE"):
            check_descriptors(settings, 400)
        check_descriptors(settings.model_copy(update={"workers": 1}), 400)


def test_workers_have_the_limit_too(limited: Start) -> None:
    running = limited(soft=256, hard=raised(4096), bits=4, workers=2).until_ready()
    processes = [running.pid, *children(running.pid)]
    assert len(processes) > 1
    for pid in processes:
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] >= 4096
    assert running.stop() == 0


def test_what_a_model_takes_is_within_its_budget(tmp_path: Path) -> None:
    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure)
        await models.open()
        before = open_files()
        for name in "abcdefgh":
            await models.create(name)
            await models.get(name).snapshots.take()
        assert (open_files() - before) / 8 <= OF_A_JOURNAL
        for name in "abcdefgh":
            await models.delete(name)
        assert open_files() <= before
        await models.close()

    asyncio.run(run())


def test_a_service_without_a_free_descriptor_goes_on(tmp_path: Path) -> None:
    """What needs a descriptor fails and changes nothing; all else is done, and afterwards that too."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure)
        await models.open()
        await models.create("a")
        served = models.get("a")
        example = Batch([0, 1], [3], None, [1])
        await served.learner.submit(example)
        free = os.dup(0)
        os.close(free)
        with limits(free):
            with pytest.raises(NoDescriptorsError, match=r"'b' cannot be made.*RLIMIT_NOFILE"):
                await models.create("b")
            for change in (models.delete("a"), served.snapshots.take()):
                with pytest.raises((OSError, NonzeroError)):
                    await change
            assert (await served.learner.submit(example)).sequence == 2
            assert [one.name for one in models.all()] == ["a", "default"]
        # What was begun of b cannot be removed for want of a descriptor either: the next start does it.
        assert {path.name for path in (tmp_path / "models").glob("[!.]*")} == {"a", "default"}
        assert (await served.snapshots.take()).sequence == 2
        await models.create("b")
        await models.delete("a")
        await models.close()
        again = Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure)
        await again.open()
        assert {path.name for path in (tmp_path / "models").iterdir()} == {"b", "default"}
        await again.close()

    asyncio.run(run())


def test_a_start_that_runs_out_names_the_limit_and_harms_no_model(tmp_path: Path) -> None:
    """A snapshot that could not be opened for want of descriptors is not taken for a damaged one."""
    settings = Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1)

    async def begin() -> None:
        models = Models(settings, no_failure)
        await models.open()
        for name in ("a", "b"):
            await models.create(name)
        for served in models.all():
            await served.learner.submit(Batch([0, 1], [7], labels=[1]))
        await models.close()

    async def start() -> list[str]:
        models = Models(settings, no_failure)
        try:
            await models.open()
            return [served.name for served in models.all()]
        finally:
            models.failed = True
            await models.close()

    asyncio.run(begin())
    kept = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.safetensors*"))
    assert len(kept) == 3
    refused, tight = 0, open_files() + 4
    for room in range(34):
        leave_as_killed(tmp_path)
        with limits(tight + room):
            try:
                assert asyncio.run(start()) == ["a", "b", "default"]
            except NoDescriptorsError as error:
                refused += "RLIMIT_NOFILE" in str(error)
            except OSError as error:  # not even the event loop, or the lock
                if error.errno != errno.EMFILE:
                    raise
        assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.safetensors*")) == kept
    assert refused > 5
    assert asyncio.run(start()) == ["a", "b", "default"]


def test_a_shortage_that_has_passed_when_it_is_looked_for_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does not say why it cannot open a file, and another thread may close one in between."""
    path = tmp_path / "journal.sqlite"
    database.create(path)
    with ExitStack() as held, limits(open_files() + 3):

        def look_later() -> bool:
            held.close()
            return are_none_left()

        monkeypatch.setattr(database, "are_none_left", look_later)
        while not are_none_left():
            held.enter_context(Path(os.devnull).open())
        with pytest.raises(NoDescriptorsError, match="RLIMIT_NOFILE"):
            database.connect(path)
        database.connect(path).close()


def answer(client: httpx.Client, kind: str, file: bytes) -> int:
    """Make something fail through HTTP."""
    match kind:
        case "a file that is none":
            headers = {"content-type": "application/vnd.safetensors"}
            return client.put("/v1/models/x", content=b"none", headers=headers).status_code
        case "a file that is damaged":
            headers = {"content-type": "application/vnd.safetensors"}
            return client.put("/v1/models/x", content=file, headers=headers).status_code
        case "a model that is there":
            return client.put("/v1/models/default", json={"bits": 5}).status_code
        case "a model that is not there":
            return client.delete("/v1/models/x").status_code
        case "too large a model":
            return client.put("/v1/models/x", json={"bits": 30}).status_code
        case _:
            return client.post("/v1/models/default/update", json={"label": 1, "features": 7}).status_code


KINDS = {
    "a file that is none": 422,
    "a file that is damaged": 422,
    "a model that is there": 409,
    "a model that is not there": 404,
    "too large a model": 422,
    "a body that is none": 422,
}


def fail(client: httpx.Client, pid: int, times: int, file: bytes) -> None:
    """Fail in each way so many times; afterwards as much is open as before."""
    for kind, status in KINDS.items():
        answer(client, kind, file)
        before = open_files(pid)
        assert {answer(client, kind, file) for _ in range(times)} == {status}, kind
        assert open_files(pid) <= before, kind


@pytest.fixture
def damaged(tmp_path: Path) -> bytes:
    LogisticRegression(4).save(tmp_path / "model")
    content = bytearray((tmp_path / "model").read_bytes())
    content[-1] ^= 1
    return bytes(content)


def test_failures_leave_nothing_open(serve: Start, tmp_path: Path, damaged: bytes) -> None:
    service = serve(tmp_path / "data", bits=4).until_ready()
    with service.client() as client:
        fail(client, service.pid, 20, damaged)
    assert service.kill() == -9


@pytest.mark.soak
def test_a_thousand_failures_of_each_kind_leave_nothing_open(
    serve: Start, tmp_path: Path, damaged: bytes, figure: Figure
) -> None:
    service = serve(tmp_path / "data", bits=4).until_ready()
    with service.client() as client:
        fail(client, service.pid, 1000, damaged)
    figure("1,000 failures of each kind", "as many descriptors as before", f"{len(KINDS)} kinds, as many")
    assert service.kill() == -9


@pytest.mark.soak
def test_a_thousand_models(serve: Start, tmp_path: Path, figure: Figure) -> None:
    service = serve(tmp_path / "data", bits=4, learning_rate=0.1).until_ready()
    with service.client() as client:
        before = open_files(service.pid)
        for j in range(1000):
            assert client.put(f"/v1/models/m{j}", json={"bits": 4}).status_code == 201, j
        taken = open_files(service.pid) - before
        assert taken < 300
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/models/m999/predict", json={"features": {}}).status_code == 200
    assert service.kill() == -9
    again = serve(tmp_path / "data").until_ready()
    with again.client() as client:
        assert len(client.get("/v1/models").json()["models"]) == 1001
    figure(
        "1,000 models",
        "made, served and found again; 300 descriptors at most",
        f"{taken}",
    )
    assert again.kill() == -9
