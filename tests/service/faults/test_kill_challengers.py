"""kill -9 of a service under load whose model has challengers, some of which are promoted.

What a name's history tells goes on across each promotion, and each challenger has its own.
"""

from __future__ import annotations

import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.challenger_files import fold_challenger
from nonzero_service.models.model_config import config_of
from nonzero_service.models.verifying import verify
from nonzero_service.writer.entries import promotion_of
from service.conftest import ServiceProcess, Start
from service.faults.clients import Clients
from service.faults.invariants import silent
from service.history.test_promotion import check as check_history
from service.history.test_promotion import learned as figures_of
from service.models.test_challengers import (
    compared,
    digest,
    folded,
    follow,
    until_compared,
    update,
    without_names,
)
from service.straced import needs_strace, traced
from waiting import until

DEFAULT = "/v1/models/default"


class Meddler:
    """Makes, snapshots, deletes and promotes challengers at random, as long as the service lasts."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._number = 0
        self.promoted = 0

    def meddle(self, service: ServiceProcess, until_over: threading.Event) -> None:
        with suppress(httpx.TransportError), service.client() as client:
            while not until_over.is_set():
                self._once(client)

    def _once(self, client: httpx.Client) -> None:
        followers = client.get(DEFAULT).json()["followers"]
        what = self._chance.choice(["make", "make", "snapshot", "champion", "delete", "promote"])
        if what == "make" or not followers:
            self._number += 1
            body = {
                "follows": "default",
                "learning_rate": self._chance.choice([0.05, 0.3, "auto"]),
                "bits": self._chance.choice([8, 9]),
                "start": self._chance.choice(["nothing", "refold"]),
            }
            answer = client.put(f"/v1/models/c{self._number}", json=body)
            assert answer.status_code in (201, 200, 409), answer.text
            return
        name = self._chance.choice(followers)
        if what == "snapshot":
            assert client.post(f"/v1/models/{name}/snapshots").status_code in (201, 404)
        elif what == "champion":
            assert client.post(f"{DEFAULT}/snapshots").status_code == 201
        elif what == "delete" and len(followers) > 2:
            assert client.delete(f"/v1/models/{name}").status_code == 204
        elif what == "promote":
            answer = client.post(f"{DEFAULT}/promote", json={"with": name})
            assert answer.status_code in (200, 409), answer.text
            self.promoted += answer.status_code == 200


def check_folds(models: Path) -> None:
    """Hold all that is kept against folds of the rows alone, from each challenger's beginning on."""
    directory = models / "default"
    for path in models.iterdir():
        if not path.name.startswith("."):
            found = verify(path, silent_about)
            assert found.faults == [], (path, found.faults)
    with JournalReader(directory) as reader:
        promotions = [row for row in reader.read() if row.kind == "promotion"]
        gone = {promotion_of(row).origin.id for row in promotions}
        for path in models.iterdir():
            origin = config_of(path).origin if path.name[0] != "." else None
            if origin is None or origin.id in gone:
                continue
            for snapshot in snapshots_in(path / "snapshots"):
                model = fold_challenger(directory / "none", origin, reader, snapshot.position)
                assert model.digest() == LogisticRegression.load(snapshot.path).digest(), snapshot


def silent_about(_: str, last: int, end: int) -> None:
    silent(last, end)


def kill_at_random(serve: Start, data_dir: Path, kills: int) -> int:
    """Kill a busy service again and again; return how many challengers were promoted."""
    chance, clients, meddler = random.Random(kills), Clients(3), Meddler(kills)
    settings = {"journal_retention": "all", "breaker": "off", "slices": "site"}
    for _ in range(kills):
        service = serve(data_dir, **settings).until_ready()
        over = threading.Event()
        meddling = threading.Thread(target=meddler.meddle, args=(service, over))
        clients.start(service)
        meddling.start()
        answered = len(clients.acknowledged()) + 5 + chance.randrange(80)
        until(lambda answered=answered: len(clients.acknowledged()) >= answered)  # type: ignore[misc]
        assert service.kill() == -9
        over.set()
        clients.stop()
        meddling.join()
        check_folds(data_dir / "models")
        check_comparisons(serve, data_dir, settings)
    return meddler.promoted


def check_comparisons(serve: Start, data_dir: Path, settings: dict[str, str]) -> None:
    """Start, kill and start a service: what is compared is the same to the bit."""
    found = []
    for _ in range(2):
        service = serve(data_dir, **settings).until_ready()
        with service.client() as client:
            names = client.get(DEFAULT).json()["followers"]
            until(lambda: all(compared(client, name)["since"] for name in names))  # noqa: B023
            found.append([without_names(compared(client, name)) for name in names])
            told = client.get(f"{DEFAULT}/history", params={"step": "examples"}).json()["rows"]
            assert sum(row["examples"] for row in told) == client.get(DEFAULT).json()["sequence"]
            for name in names:
                rows = client.get(f"/v1/models/{name}/history", params={"step": "minute"}).json()["rows"]
                learned = client.get(f"/v1/models/{name}/metrics").json()["examples"]
                assert sum(row["examples"] for row in rows) == learned
            assert not service.lines("a challenger learns no more")
        assert service.kill() == -9
    assert found[0] == found[1]


def test_random_moments(serve: Start, tmp_path: Path) -> None:
    kill_at_random(serve, tmp_path / "data", 2)


@pytest.mark.soak
def test_random_moments_long(serve: Start, tmp_path: Path) -> None:
    assert kill_at_random(serve, tmp_path / "data", 60) > 10


def script(service: ServiceProcess) -> bool:
    """Promote a challenger between two updates, as far as the service lasts; return whether to the end."""
    if not service.is_ready():
        return False
    try:
        with service.client() as client:
            names = client.get(DEFAULT).json()["followers"]
            if client.get(DEFAULT).json()["sequence"] == 0:
                update(client, 0)
            if not names and client.get(DEFAULT).json()["settings"]["bits"] == 8:
                follow(client)
            sequence = client.get(DEFAULT).json()["sequence"]
            for seed in range(sequence // 40, 3):
                update(client, seed)
            if client.get(DEFAULT).json()["settings"]["bits"] == 8:
                until_compared(client)
                assert client.post(f"{DEFAULT}/promote?with=b").status_code == 200
            for seed in range(max(sequence // 40, 3), 5):
                update(client, seed)
    except (httpx.TransportError, AssertionError):
        if not service.has_ended() and service.until_ended() != -signal.SIGKILL:
            raise
        return False
    return True


def check_promoted(client: httpx.Client, directory: Path) -> None:
    check_history(client, figures_of([0, 1, 2, 3, 4], 3, 1), ["promotion"], 2)
    assert digest(client, "default", directory / "model") == folded([1, 2, 3, 4]).digest()


def kill_at(
    serve: Start,
    directory: Path,
    calls: tuple[str, ...],
    most: int,
    script: Callable[[ServiceProcess], bool] = script,
    check: Callable[[httpx.Client, Path], None] = check_promoted,
) -> int:
    """Kill the script at calls of its threads, the last of each first; return how often that was in it."""
    service = serve(directory / "whole", held=True)
    with traced(service.child, "-e", f"trace={','.join(calls)}", "-o", str(directory / "strace")):
        service.child.go()
        assert script(service)
        assert service.kill() == -signal.SIGKILL
    made = re.findall(r"^(\d+) +(\w+)\(", (directory / "strace").read_text(), re.MULTILINE)
    killed = 0
    for call in calls:  # strace counts the calls of each thread by itself
        count = max(Counter(thread for thread, name in made if name == call).values(), default=0)
        for n in range(max(count - most, 0) + 1, count + 1):
            data_dir = directory / f"{call}-{n}"
            service = serve(data_dir, held=True)
            with traced(service.child, "-e", f"inject={call}:signal=SIGKILL:when={n}", "-e", f"trace={call}"):
                service.child.go()
                killed += not script(service)
                service.kill()
            again = serve(data_dir)
            assert script(again), (call, n, again.log)
            with again.client() as client:
                check(client, directory)
            assert again.stop() == 0
            check_folds(data_dir / "models")
    return killed


@needs_strace
def test_renames(serve: Start, memory_path: Path) -> None:
    assert kill_at(serve, memory_path, ("rename",), 2) > 1


@needs_strace
@pytest.mark.soak
def test_every_write_of_a_promotion(serve: Start, memory_path: Path) -> None:
    assert kill_at(serve, memory_path, ("rename", "fsync", "fdatasync", "pwrite64"), 12) > 20
