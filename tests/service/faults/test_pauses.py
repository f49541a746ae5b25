"""A kill after each step of a pause: no row goes that a start may need, and the model is what it would be."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.recovery import recover
from nonzero_service.models.verifying import verify
from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH
from service.faults.invariants import Oracle, silent
from service.uninterrupted import flip
from service.writer.test_breaker import NDJSON, body, labelled_all, stream

SETTINGS = {"bits": 12, "learning_rate": 0.1}

Step = Callable[[httpx.Client], object]


def update(n: int, seed: int) -> Step:
    content = body(stream(n, seed=seed))
    return lambda client: client.post(f"{PATH}/update", content=content, headers=NDJSON).raise_for_status()


def snapshot(client: httpx.Client) -> None:
    client.post(f"{PATH}/snapshots").raise_for_status()


def jump(client: httpx.Client) -> None:
    """Pause learning: first the breaker, which begins anew with the process, learns what is usual."""
    update(11_000, 1)(client)
    spoilt = body(labelled_all(stream(2500, seed=2), 1))
    assert client.post(f"{PATH}/update", content=spoilt, headers=NDJSON).status_code == 202


def resume(discard: bool) -> Step:
    return lambda client: client.post(f"{PATH}/resume", params={"discard": discard}).raise_for_status()


def steps_of(discard: bool) -> dict[str, Step]:
    """A pause, as it may go, and what comes after it."""
    return {
        "jump": jump,
        "snapshot in the pause": snapshot,
        "held": update(300, 3),
        "resume": resume(discard),
        "after": update(200, 4),
        "snapshot": snapshot,
        "more": update(100, 5),
        "snapshot again": snapshot,
        "end": update(50, 6),
    }


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a snapshot."""
    data_dir = tmp_path_factory.mktemp("calm") / "data"
    service = ServiceProcess(data_dir, **SETTINGS).until_ready()
    with service.client() as client:
        update(1000, 0)(client)
        snapshot(client)
    service.kill()
    return data_dir


def check(directory: Path, oracle: Oracle, copy: Path) -> None:
    """What was left is sound; and a start from it, and without its newest snapshot, gives the model."""
    assert verify(directory, silent).faults == []
    digest = oracle.fold().digest()
    newest = snapshots_in(directory / "snapshots")[0]
    for damaged in (False, True):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        if damaged:
            flip(copy / "snapshots" / newest.path.name)
        kept = recover(copy, SqliteJournal, silent)
        kept.journal.close()
        assert kept.model.digest() == digest


def interrupted(serve: Start, calm: Path, place: Path, discard: bool, killed: set[str]) -> None:
    """Go through a pause and kill the service after some of its steps."""
    data_dir = place / "data"
    shutil.copytree(calm, data_dir)
    directory = data_dir / "models" / "default"
    oracle = Oracle(directory)
    oracle.fold()
    service = serve(data_dir, **SETTINGS).until_ready()
    for name, step in steps_of(discard).items():
        with service.client() as client:
            oracle.fold()  # as long as all rows are there
            step(client)
            assert verify(directory, silent).faults == [], name
        if name in killed or name == "end":
            service.kill()
            check(directory, oracle, place / "copy")
            service = serve(data_dir, **SETTINGS).until_ready()
    service.kill()
    assert oracle.pruned()
    shutil.rmtree(place)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("killed", "discard"),
    [("each", False), ("resume", True)],
    ids=["each, and what was held is applied", "resume, and it is discarded"],
)
def test_a_kill_after_a_step(serve: Start, calm: Path, tmp_path: Path, killed: str, discard: bool) -> None:
    names = set(steps_of(discard))
    interrupted(serve, calm, tmp_path / "place", discard, names if killed == "each" else {killed})


@pytest.mark.soak
def test_kills_after_any_steps(serve: Start, calm: Path, tmp_path: Path, figure: Figure) -> None:
    names = list(steps_of(True))[:-1]
    every = [set(some) for n in range(len(names)) for some in itertools.combinations(names, n)]
    chosen = [(some, discard) for some in every for discard in (True, False)]
    random.Random(3).shuffle(chosen)
    for some, discard in chosen[:60]:
        interrupted(serve, calm, tmp_path / "place", discard, some)
    figure(
        "a pause, killed after any of its steps: soundness, starts without the newest snapshot",
        "60 of 60 right",
        "60 of 60",
    )
