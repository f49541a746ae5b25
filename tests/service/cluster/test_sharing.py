"""The writer shares snapshots when they are due, and gives up what no node needs behind them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.cluster import sharing as module
from nonzero_service.cluster.sharing import SnapshotSharing
from nonzero_service.journal.errors import JournalClosedError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.postgres.journal import PostgresJournal
from nonzero_service.models.common import Common
from nonzero_service.models.opening import open_model
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.writer.entries import batch_entry, clock_entry
from service.cluster.cached import Node, Writer
from service.failures import no_failure
from service.uninterrupted import batch
from shared_database import Hooked
from waiting import until_in_loop


@pytest.fixture
def writer(hooked: Hooked, tmp_path: Path) -> Writer:
    return Writer(hooked, tmp_path / "a")


class Journals:
    """Opens the journal of a writer's model under term 1."""

    is_crowded = False

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def open(self, directory: Path, *, reached: int = 0) -> PostgresJournal:
        return PostgresJournal(self.writer.database, self.writer.made.id, directory, term=1, reached=reached)

    def close_idle(self) -> None: ...

    def close(self) -> None: ...


@dataclasses.dataclass
class Writing:
    """A model that is written here, and what shares it."""

    served: ServedModel
    sharing: SnapshotSharing
    common: Common
    seed: int = 0

    async def learn(self, rows: int) -> None:
        for _ in range(rows):
            self.seed += 1
            await self.served.learner.submit(batch(self.seed))

    async def looked(self) -> bool:
        """Do what is due; return whether something was."""
        work = self.sharing.look()
        if work is not None:
            await work
        return work is not None


@asynccontextmanager
async def writing(writer: Writer, **settings: Any) -> AsyncIterator[Writing]:
    known = Settings.load(data_dir=writer.place.parent, snapshot_seconds=1e6, breaker="off", **settings)
    common = Common(known, no_failure)
    common.journals.close()
    common.journals = Journals(writer)
    served = await open_model("clicks", writer.directory, common, shared=False)
    sharing = SnapshotSharing(
        served,
        writer.made.id,
        1,
        writer.catalogue,
        writer.snapshots,
        keeps_rows=known.journal_retention == "all",
        gate=asyncio.Semaphore(1),
    )
    try:
        first = sharing.look()
        assert first is not None  # it looks how far what is shared is behind
        await first
        yield Writing(served, sharing, common)
    finally:
        sharing.end()
        await common.rounds.remove(sharing)
        await served.let_go()
        await common.close()


def shared(writer: Writer) -> list[int]:
    return [one.position for one in writer.snapshots.all(writer.made.id)]


def first_held(writer: Writer) -> int:
    return writer.catalogue.chain_at(writer.made.id, 0).pruned + 1


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next be due after few bytes."""
    monkeypatch.setattr(module, "LEAST_BYTES", 1000)
    monkeypatch.setattr(module, "TIMES", 0)


@pytest.mark.usefixtures("small")
def test_they_are_shared_when_due_and_rows_given_up_behind_two(writer: Writer, hooked: Hooked) -> None:
    async def run() -> None:
        async with writing(writer) as one:
            assert not await one.looked()
            one.common.rounds.add(one.sharing)
            await one.learn(3)
            await until_in_loop(lambda: shared(writer) == [4])
            assert first_held(writer) == 1  # the second takes over where the first is damaged
            await one.learn(3)
            await until_in_loop(lambda: shared(writer) == [7, 4])
            await one.learn(3)
            await until_in_loop(lambda: shared(writer) == [10, 7] and first_held(writer) == 8)
            assert one.sharing.failures == 0

    asyncio.run(run())
    node = Node(hooked, writer.place.parent / "b")
    writer.learn(0)
    reference = Node(hooked, writer.place)
    assert node.brought(writer.made).digest() == reference.brought(writer.made).digest()
    assert node.positions() == [10]


@pytest.mark.usefixtures("small")
def test_a_snapshot_of_ones_own_gives_up_nothing(writer: Writer) -> None:
    async def run() -> None:
        async with writing(writer) as one:
            for _ in range(3):
                await one.learn(2)
                await one.served.snapshots.take()
            assert writer.positions() == [7, 5]
            assert first_held(writer) == 1
            assert await one.looked()
            assert shared(writer) == [7]

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_all_rows_stay_where_asked_for(writer: Writer) -> None:
    async def run() -> None:
        async with writing(writer, journal_retention="all") as one:
            for _ in range(4):
                await one.learn(3)
                assert await one.looked()
            assert shared(writer) == [13, 10]
            assert first_held(writer) == 1

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_impressions_that_wait_stay(writer: Writer, hooked: Hooked) -> None:
    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(1)
            request = one.served.keeper
            request.keep(Batch([0, 1], [3], ids=["waits"]), np.array([0.5], np.float32))
            await request.synced()
            for _ in range(3):
                await one.learn(3)
                assert await one.looked()
            waits = hooked.ask("SELECT position FROM nonzero.rows WHERE kind = 'impression'")
            assert first_held(writer) == waits < 5

    asyncio.run(run())


def test_how_many_bytes(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 1000)

    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(1)
            assert not await one.looked()
            await one.learn(1)
            assert await one.looked()
            [newest] = writer.snapshots.all(writer.made.id)
            grown = 0
            while grown < 4 * newest.nbytes:  # a large model's are as large as a quarter of its rows
                assert not await one.looked()
                before = one.served.learner.appended_bytes
                await one.served.learner.submit(Batch([0, 9000], np.arange(9000) % 999, labels=[1]))
                grown += one.served.learner.appended_bytes - before
            assert await one.looked()

    asyncio.run(run())


def test_how_old(writer: Writer, monkeypatch: pytest.MonkeyPatch, hooked: Hooked) -> None:
    now = [float(round(time.monotonic()))]  # whole, so that an hour later is an hour later to the bit
    monkeypatch.setattr("nonzero_service.cluster.sharing.time.monotonic", lambda: now[0])

    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(3)
            now[0] += 3599
            assert not await one.looked()
            assert one.sharing.age_seconds == pytest.approx(3599, abs=1)
            now[0] += 1
            assert await one.looked()
            assert shared(writer) == [4]
            assert one.sharing.age_seconds == 0
            now[0] += 100_000
            assert await one.looked()  # keys
            assert not await one.looked()  # nothing has come since
            await one.learn(1)
            now[0] -= 100_000
            now[0] += 3600  # a row is too little for an hour
            assert not await one.looked()
            now[0] += 86_400
            assert await one.looked()
            assert shared(writer) == [5, 4]
            await one.learn(1)
        hooked.ask("UPDATE nonzero.snapshots SET taken_at = taken_at - interval '1 day'")
        async with writing(writer) as one:  # another node's
            assert one.sharing.age_seconds > 86_399
            assert await one.looked()
            assert shared(writer) == [6, 5]

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_rows_that_another_writer_wrote_count(writer: Writer) -> None:
    async def run() -> None:
        writer.learn(3)
        async with writing(writer) as one:
            assert await one.looked()
            assert shared(writer) == [4]

    asyncio.run(run())


def test_keys_are_given_up_by_age(writer: Writer, monkeypatch: pytest.MonkeyPatch, hooked: Hooked) -> None:
    record = KeyRecord("key", b"", 1, 0, 1, True, {})
    writer.journal.append([batch_entry(batch(1), [record])])
    now_ms = writer.journal.time_ms
    writer.journal.append([clock_entry(now_ms, now_ms + 25 * 60 * 60 * 1000)])
    monkeypatch.setattr(module, "KEYS_SECONDS", 0.0)

    async def run() -> None:
        async with writing(writer) as one:
            assert hooked.ask("SELECT count(*) FROM nonzero.keys") == 1
            assert await one.looked()
            assert hooked.ask("SELECT count(*) FROM nonzero.keys") == 0
            assert one.sharing.failures == 0

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_another_node_leads(writer: Writer, hooked: Hooked) -> None:
    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(3)
            hooked.ask("UPDATE nonzero.term SET term = 2")
            assert await one.looked()
            assert not await one.looked()
            assert one.sharing.failures == 0
            assert shared(writer) == []

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_one_that_fails_is_tried_again_later(
    writer: Writer, hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.3)

    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(3)
            kill = hooked.kill_next
            hooked.before_statement(lambda said: kill() if "snapshot_parts" in said else None)
            assert await one.looked()
            hooked.before_statement(None)
            assert one.sharing.failures == 1
            assert not await one.looked()
            await asyncio.sleep(0.4)
            assert await one.looked()
            assert shared(writer) == [4]

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_it_ends_while_it_sends(writer: Writer, hooked: Hooked) -> None:
    async def run() -> None:
        async with writing(writer) as one:
            await one.learn(3)
            hooked.before_statement(
                lambda said: one.sharing.end() if "INSERT INTO nonzero.snapshot_parts" in said else None
            )
            with pytest.raises(JournalClosedError):
                await one.sharing.share()
            assert not await one.looked()
            assert shared(writer) == []

    asyncio.run(run())
