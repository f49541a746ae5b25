"""kill -9 at every step around the rows that say where others came from: each message is learned once."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from reporting import Figure
from service.faults.feeding import Place, check, forked
from service.journal.postgres_models import new_database, new_model
from service.straced import needs_strace, traced

IN_A_FILE = ("pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink")
IN_A_DATABASE = ("sendto", "fsync", "rename", "unlink")

NewPlace = Callable[[Path], Place]


@pytest.fixture
def shared(database: str) -> NewPlace:
    def made(directory: Path) -> Place:
        kept = new_database(database)
        try:
            return Place(directory, database, new_model(kept))
        finally:
            kept.close()

    return made


def kill_at_steps(new: NewPlace, memory_path: Path, calls: Sequence[str], share: int) -> int:
    """Kill a process that feeds a model at every `share`-th call of some kinds; return at how many."""
    whole, log = new(memory_path / "whole"), memory_path / "strace"
    whole.directory.mkdir()
    child = forked(whole)
    with traced(child, "-o", str(log), "-e", f"trace={','.join(calls)}"):
        assert child.run() == 0
    check(whole)
    made = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    points = [(call, n) for call in calls for n in range(1, made[call] + 1)]
    killed = 0
    for call, n in points[share // 2 :: share]:
        place = new(memory_path / f"{call}-{n}")
        place.directory.mkdir()
        child = forked(place)
        with traced(child, "-e", f"inject={call}:signal=SIGKILL:when={n}", "-e", f"trace={call}"):
            killed += child.run() == -9  # groups are of what gathers: the last calls need not come
        check(place)
        shutil.rmtree(place.directory)
    return killed


@needs_strace
def test_in_a_file(memory_path: Path) -> None:
    assert kill_at_steps(Place, memory_path, IN_A_FILE, 24) > 3


@needs_strace
def test_in_a_database(shared: NewPlace, memory_path: Path) -> None:
    assert kill_at_steps(shared, memory_path, IN_A_DATABASE, 32) > 3


@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("kept", ["a file", "a database"])
def test_every_step(kept: str, request: pytest.FixtureRequest, memory_path: Path, figure: Figure) -> None:
    new, calls = (
        (Place, IN_A_FILE) if kept == "a file" else (request.getfixturevalue("shared"), IN_A_DATABASE)
    )
    killed = kill_at_steps(new, memory_path, calls, 1)
    figure(
        f"`kill -9` of a process that is fed by a topic, its journal in {kept}, at each call that writes",
        "each message is learned once",
        f"{killed} points: each message once, positions and bits those of an uninterrupted run",
    )
    assert killed > 50
