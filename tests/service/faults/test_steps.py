"""Every change of a data directory, failed at each of its steps: the old state or the new one, no other.

Then the same request again has its normal answer, a restart finds the same, nothing is left on the disk, and
no descriptor or thread is left in the process.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.journal.errors import OutcomeUnknownError
from nonzero_service.journal.sqlite.open_journals import CHECKPOINTERS
from nonzero_service.journal.sqlite.store import SqliteJournals
from nonzero_service.models.registry import Models
from nonzero_service.problems import problem_of
from nonzero_service.settings import Settings
from nonzero_service.writer.threads import APPLIERS, COMMITTERS
from reporting import Figure
from service.failures import leave_as_killed
from service.faults.steps import WANTS, failing

BATCH = Batch([0, 1, 2], [3, 5], labels=[0, 1])


def nobody(error: Exception) -> None:
    raise AssertionError(error)


def descriptors() -> list[str]:
    """What files this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return sorted(target for target in found if target.startswith("/"))


async def opened(data_dir: Path, **settings: Any) -> Models:
    models = Models(Settings.load(data_dir=data_dir, bits=4, learning_rate=0.1, **settings), nobody)
    await models.open()
    return models


async def killed(models: Models) -> None:
    """Close everything, and save nothing."""
    models.failed = True
    await models.close()


class Bench:
    """A data directory with the models a and b, and what is to hold of it after every fault."""

    def __init__(self, data_dir: Path, trained: Path) -> None:
        self.data_dir = data_dir
        self.trained = trained
        self.before = threading.enumerate()
        """What runs whatever is done here: other tests may have left a journal open."""
        self.models: Models
        self.started: Callable[[dict[str, str]], object] = lambda _: None

    async def begin(self) -> None:
        self.models = await opened(self.data_dir)
        for name in ("a", "b"):
            await self.models.create(name)
            await self.models.get(name).learner.submit(BATCH)
            await self.models.get(name).snapshots.take()
        await self.restart()

    def left_open(self) -> list[str]:
        return [path for path in descriptors() if str(self.data_dir) in path]

    def workers(self) -> list[str]:
        """The threads that work for models."""
        names = (thread.name for thread in threading.enumerate() if thread not in self.before)
        return sorted(name for name in names if name.startswith(("committer", "applier", "journal-")))

    def state(self) -> dict[str, str]:
        return {served.name: served.model.digest() for served in self.models.all()}

    def on_disk(self) -> list[str]:
        return sorted(path.name for path in (self.data_dir / "models").iterdir())

    async def restart(self) -> None:
        await killed(self.models)
        assert self.left_open() == []
        assert self.workers() == []
        leave_as_killed(self.data_dir)
        self.models = await opened(self.data_dir)

    async def holds(self, *, undone: bool = True) -> None:
        """What is served is what is on disk, before a restart and after it; then nothing is left over.

        Where a fault lasted and let nothing be `undone`, a restart may find what had been made.
        """
        before = self.state()
        served = [served.name for served in self.models.all()]
        there = [name for name in self.on_disk() if not name.startswith(".")]
        assert there == served or (not undone and there == [*served, "x"])
        assert len(self.workers()) <= COMMITTERS + APPLIERS + CHECKPOINTERS
        for name in served:
            assert (await self.models.get(name).learner.submit(Batch.empty())).sequence >= 0
            list(self.models.get(name).stored.journal.read())  # which opens it, where nothing has
        journals = self.models._shared.journals
        assert isinstance(journals, SqliteJournals)
        assert len(journals.opened) == len(served)
        await self.restart()
        after = self.state()
        assert sorted(after) == there
        assert {name: after[name] for name in before} == before
        assert self.on_disk() == sorted(after)
        assert not list(self.data_dir.rglob("*.damaged"))
        assert sorted(path.name for path in self.data_dir.iterdir()) == ["format", "lock", "models"]


async def put(bench: Bench) -> None:
    await bench.models.create("x")


async def put_file(bench: Bench) -> None:
    await bench.models.create_from_file("x", bench.trained)


async def delete(bench: Bench) -> None:
    await bench.models.delete("b")


async def snapshot(bench: Bench) -> None:
    await bench.models.get("a").snapshots.take()


async def nothing(bench: Bench) -> None:
    """Leave all as it is."""
    assert bench


async def delete_x(bench: Bench) -> None:
    await bench.models.delete("x")


async def put_b(bench: Bench) -> None:
    await bench.models.create("b")
    await bench.models.get("b").learner.submit(BATCH)
    await bench.models.get("b").snapshots.take()


async def learn(bench: Bench) -> None:
    await bench.models.get("a").learner.submit(BATCH)


Step = Callable[[Bench], Awaitable[None]]

CHANGES: dict[str, tuple[Step, Step, Step]] = {
    "put": (nothing, put, delete_x),
    "put a file": (nothing, put_file, delete_x),
    "delete": (nothing, delete, put_b),
    "snapshot": (learn, snapshot, nothing),
}
"""What comes before a change, the change, and what undoes it."""

STRIDES = {"put": 5, "put a file": 6, "delete": 2, "snapshot": 2}
"""In the short form so many steps are made at once from fault to fault."""


COMBINATIONS = list(itertools.product(WANTS, (False, True), (False, True)))
"""What is wanting, whether for long, and whether the request comes again before a restart."""


async def attempt(bench: Bench, change: Step, at: int, want: str, lasting: bool, at_once: bool) -> bool:
    """Make a change that fails at some step, and again without a fault; return whether there is such a step.

    It is made again at once, or after a restart.
    """
    before = set(bench.state())
    error: Exception | None = None
    with failing(at, want, lasting=lasting) as fault:
        try:
            await change(bench)
        except Exception as raised:  # noqa: BLE001 - how it is answered is looked at
            error = raised
    after = set(bench.state())
    if error is not None:
        assert problem_of(error).status in (503, 507), repr(error)
        assert after == before, "what failed has changed something"
        if isinstance(error, OutcomeUnknownError):  # of a sync of the journal: the process has to end
            await bench.restart()
        if at_once and not set(bench.state()) - before:
            await change(bench)
    if fault.failed:
        await bench.holds(undone=not lasting)
    if error is not None and not at_once and not set(bench.state()) - before:
        await change(bench)
    return fault.failed


async def walk(bench: Bench, name: str, stride: int) -> int:
    """Fail a change at each of its steps, or each so many, in turn; return how many faults that were."""
    prepare, change, undo = CHANGES[name]
    await bench.begin()
    faults, at = 0, 1
    while True:
        failed = False
        for want, lasting, at_once in COMBINATIONS if stride == 1 else [combination(at // stride)]:
            await prepare(bench)
            try:
                failed |= await attempt(bench, change, at, want, lasting, at_once)
            except BaseException as error:
                error.add_note(f"{name}: {want} at call {at}{' and after it' if lasting else ''}")
                raise
            faults += 1
            await undo(bench)
        if not failed:
            break
        at += stride
    await killed(bench.models)
    assert not bench.left_open()
    return faults


def combination(number: int) -> tuple[str, bool, bool]:
    return COMBINATIONS[5 * number % len(COMBINATIONS)]


@pytest.fixture
def bench(memory_path: Path, tmp_path: Path) -> Bench:
    trained = LogisticRegression(5, AdaGrad(0.2))
    trained.learn(BATCH)
    trained.save(tmp_path / "trained")
    return Bench(memory_path / "data", tmp_path / "trained")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_fails_at_any_step_is_undone(bench: Bench, name: str) -> None:
    assert asyncio.run(walk(bench, name, STRIDES[name])) > 5


@pytest.mark.soak
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_fails_at_any_step_for_any_want(bench: Bench, name: str, figure: Figure) -> None:
    faults = asyncio.run(walk(bench, name, 1))
    figure(
        f"{name}, failed at each step", "old state or new, the same again, nothing left", f"{faults} faults"
    )


async def start(bench: Bench, stride: int, **settings: Any) -> int:
    """Fail a start at steps of it in turn; return how many faults that were."""
    faults, at = 0, 1
    while True:
        want, lasting, _ = combination(at // stride)
        leave_as_killed(bench.data_dir)
        with failing(at, want, lasting=lasting) as fault:
            try:
                bench.models = await opened(bench.data_dir, **settings)
            except Exception:  # noqa: BLE001 - whatever it is, nothing stays open
                assert not bench.left_open(), (at, want, lasting)
                assert bench.workers() == []
            else:
                await killed(bench.models)
        if not fault.failed:
            return faults
        faults += 1
        bench.models = await opened(bench.data_dir, **settings)
        await bench.holds()
        state = bench.state()
        await killed(bench.models)
        bench.started(state)
        at += stride


def test_a_first_start_that_fails_at_any_step_is_made_up_for(bench: Bench) -> None:
    def started(state: dict[str, str]) -> None:
        assert list(state) == ["default"]
        shutil.rmtree(bench.data_dir)

    bench.started = started
    assert asyncio.run(start(bench, 6)) > 5
    bench.trained.with_name("again").write_bytes(bench.trained.read_bytes())
    shutil.rmtree(bench.data_dir, ignore_errors=True)
    assert asyncio.run(start(bench, 6, import_file=bench.trained)) > 5


def test_a_start_that_fails_at_any_step_harms_nothing(bench: Bench) -> None:
    async def run() -> int:
        await bench.begin()
        usual = bench.state()
        await killed(bench.models)
        bench.started = lambda state: check(state == usual)
        return await start(bench, 1)

    assert asyncio.run(run()) > 20


def check(holds: bool) -> None:
    assert holds
