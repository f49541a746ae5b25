"""The models of nodes over one database: who writes, who follows, and how one becomes the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psycopg
import pytest

from links import Link
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.formats.json_bodies import parse_body
from nonzero_service.cluster import tailing
from nonzero_service.cluster.caching import ModelCache
from nonzero_service.errors import ChallengerError, NotReadyError, NotWritingError
from nonzero_service.journal.errors import (
    FencedError,
    JournalDivergedError,
    JournalError,
    JournalUnreachableError,
    OutcomeUnknownError,
)
from nonzero_service.journal.postgres import journal as postgres_journal
from nonzero_service.journal.postgres.catalogue import CatalogueModel
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.models.served import ServedModel
from nonzero_service.writer import fold
from nonzero_service.writer.tail_learner import TailLearner
from postgres import Cluster
from service.cluster.sharing_models import NodeModels, met, nodes
from waiting import until_in_loop


def batch_of(size: int, seed: int = 5) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(np.arange(size + 1) * 3, rng.integers(0, 2**12, 3 * size), labels=rng.integers(0, 2, size))


async def learn(node: NodeModels, count: int = 5, size: int = 20) -> None:
    for seed in range(count):
        await node.default.learner.submit(batch_of(size, seed))


async def predict(served: ServedModel, *ids: str) -> None:
    """Predict with ids, as a request does."""
    for one in ids:
        batch = parse_body(b'{"features": {"site": "news"}, "id": "%s"}' % one.encode())
        keeper = served.keeper
        keeper.keep(batch, served.model.predict(batch))
        await keeper.synced()
    await served.learner.run(lambda: None)


def with_nodes(
    url: str, place: Path, use: Callable[..., Awaitable[None]], names: str = "ab", **settings: Any
) -> None:
    async def run() -> None:
        async with nodes(url, place, names, **settings) as some:
            await use(*some)

    asyncio.run(run())


async def until_follows(node: NodeModels) -> None:
    """Wait until a node's model is open in that role."""
    await until_in_loop(lambda: isinstance(node.default.learner, TailLearner))


class Reading:
    """Predicts all the time, as long as the block lasts; no prediction may fail."""

    def __init__(self, *some: NodeModels) -> None:
        self._some = some
        self.count = 0

    async def __aenter__(self) -> Reading:
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        batch = batch_of(1)
        while True:
            for node in self._some:
                assert node.get_readable("default").model.predict(batch).size == 1
                self.count += 1
            await asyncio.sleep(0.001)

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done(), self._task.exception()
        self._task.cancel()
        assert self.count


def test_two_nodes_have_the_same_bits_in_turn(database: str, tmp_path: Path) -> None:
    """The role goes from one to the other and back: nothing is loaded again, and predictions never stop."""

    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        await predict(a.default, "i1", "i2")
        await met(a, b)
        first = [one.default.model for one in (a, b)]
        assert [one.default.replica is None for one in (a, b)] == [True, False]
        async with Reading(a, b):
            for writes, follows in ((b, a), (a, b), (b, a)):
                await writes.write()
                await follows.step_down("another writes")
                await learn(writes)
                await until_follows(follows)
                await met(a, b)
                assert a.default.model.digest() == b.default.model.digest()
                with pytest.raises(NotWritingError):
                    await follows.default.learner.submit(batch_of(1))
        assert [one.default.model for one in (a, b)] == first
        assert a.default.sequence == b.default.sequence == 400 + 2  # both impressions are negatives at once
        labelled = await b.default.attribution.label(["i1"], [1])
        assert labelled.verdicts == ["joined"]
        await met(a, b)
        assert a.default.attribution.impressions.pending == b.default.attribution.impressions.pending == 1

    with_nodes(database, tmp_path, use)


def test_a_database_without_an_encoding(postgres: Cluster, tmp_path: Path) -> None:
    """As a server has that was set up where no language is set."""

    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        await met(a, b)
        assert a.leadership.observe().node == "a"
        await a.step_down("it is b's turn")
        await b.write()
        await b.create("other", interactions=["größe*字"])
        await until_in_loop(lambda: len(a.all()) == 2)
        assert a.get("other").config == b.get("other").config

    with_nodes(postgres.database(encoding="SQL_ASCII"), tmp_path, use)


def test_a_database_that_cannot_keep_every_text(postgres: Cluster) -> None:
    latin = postgres.database(encoding="LATIN1")
    with (
        closing(Database(latin, "a")) as database,
        pytest.raises(JournalError, match=r"has the encoding LATIN1.*ENCODING 'UTF8'"),
    ):
        database.prepare()


def test_models_come_and_go_on_all_nodes(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels, b: NodeModels) -> None:
        await a.create("one", bits=10)
        trained = LogisticRegression(12, AdaGrad(0.1))
        trained.learn(batch_of(30))
        trained.save(tmp_path / "trained.safetensors")
        await a.create_from_file("two", tmp_path / "trained.safetensors")
        await until_in_loop(lambda: [one.name for one in b.all()] == ["default", "one", "two"])
        assert b.get("two").model.digest() == trained.digest()
        assert b.get("two").sequence == 30
        identity = (tmp_path / "b" / "models" / "one" / "id").read_text()
        await a.delete("one")
        await a.create("one", bits=11)
        await until_in_loop(lambda: (found := b.find("one")) is not None and found.model.bits == 11)
        assert (tmp_path / "b" / "models" / "one" / "id").read_text() != identity
        await a.delete("two")
        await until_in_loop(lambda: b.find("two") is None)
        await until_in_loop(lambda: not (tmp_path / "b" / "models" / "two").exists())
        for refused in (b.create("three"), b.delete("one")):
            with pytest.raises(NotWritingError):
                await refused
        with pytest.raises(ChallengerError, match=r"journal of its own"):
            await a.create_challenger("four", "default", "nothing", {})
        await b.write()
        await a.step_down("another writes")
        assert [one.name for one in b.all()] == ["default", "one"]

    with_nodes(database, tmp_path, use)


def test_what_changes_while_models_are_listed_is_seen(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels, b: NodeModels) -> None:
        with listing_held(b) as held:
            await a.create("one", bits=10)
            await asyncio.to_thread(held.begun.wait)
            await a.delete("one")  # by what was listed it is there
            await a.create("two", bits=10)  # and this is not
            await until_in_loop(lambda: "two" in told_to(b))
            held.goes_on.set()
            await until_in_loop(lambda: [one.name for one in b.all()] == ["default", "two"])

    def told_to(node: NodeModels) -> list[str]:
        known = node._tail._known
        return [one.name for one in node.catalogue.models() if one.id in known]

    with_nodes(database, tmp_path, use)


@dataclass
class Held:
    """A listing of a node's models that takes long."""

    begun: threading.Event = field(default_factory=threading.Event)
    """Set when it has asked the database."""
    goes_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def listing_held(node: NodeModels) -> Iterator[Held]:
    """Hold the next listing of a node's models when it has its answer."""
    held, models = Held(), node.catalogue.models

    def slowly() -> list[CatalogueModel]:
        found = models()
        if not held.begun.is_set():
            held.begun.set()
            held.goes_on.wait()
        return found

    with patch.object(node.catalogue, "models", slowly):
        try:
            yield held
        finally:
            held.goes_on.set()


def test_a_node_comes_with_an_empty_disk(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels) -> None:
        await learn(a)
        await a.default.snapshots.take()
        b = NodeModels("b", database, tmp_path)
        b.begin()
        try:
            await b.opened()
            await met(a, b)
            assert b.default.model.digest() == a.default.model.digest()
            await b.write()
            await a.step_down("another writes")
            await learn(b)
            await met(a, b)
            assert b.default.model.digest() == a.default.model.digest()
        finally:
            await b.end()

    with_nodes(database, tmp_path, use, "a")


def test_what_was_queued_is_refused_and_what_is_durable_is_answered(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        # Each larger than what is committed as one group: the queue has several.
        waiting = [a.default.learner.submit(batch_of(20_000, seed)) for seed in range(20)]
        await waiting[1]
        await a.step_down("a test says so")
        results = await asyncio.gather(*waiting, return_exceptions=True)
        answered = [one for one in results if not isinstance(one, BaseException)]
        refused = [one for one in results if isinstance(one, BaseException)]
        assert answered + refused == results, "what comes later was answered, and what came earlier was not"
        assert all(isinstance(one, NotWritingError) for one in refused), refused
        assert refused
        await b.write()
        await met(a, b)
        assert b.default.sequence == 100 + 20_000 * len(answered)
        assert a.default.model.digest() == b.default.model.digest()

    with_nodes(database, tmp_path, use, queue_bytes=1 << 28)


def test_a_writer_that_was_fenced_says_so_and_goes_on_as_a_follower(database: str, tmp_path: Path) -> None:
    """It knows of nothing: its next append is refused, and the process does not end for it."""

    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        await b.write()
        with pytest.raises(FencedError):
            await a.default.learner.submit(batch_of(20))
        await until_in_loop(lambda: a.doubts)
        assert isinstance(a.doubts[0], FencedError)
        model = a.default.model
        await a.step_down("it was fenced")
        await learn(b)
        await until_follows(a)
        await met(a, b)
        assert a.default.model is model
        assert a.default.model.digest() == b.default.model.digest()

    with_nodes(database, tmp_path, use)


def test_a_fold_that_fails_in_the_middle_is_loaded_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        await met(a, b)
        spoiled = b.default.model
        real, failures = fold.apply, [MemoryError("no more")]

        def apply(model: LogisticRegression, *args: Any, **kwargs: Any) -> LogisticRegression:
            done = real(model, *args, **kwargs)
            if model is spoiled and failures:
                raise failures.pop()
            return done

        monkeypatch.setattr(fold, "apply", apply)
        async with Reading(b):
            await learn(a)
            await until_in_loop(lambda: b.default.model is not spoiled)
            await met(a, b)
        assert b.default.model.digest() == a.default.model.digest()

    with_nodes(database, tmp_path, use)


def test_a_database_that_has_lost_rows_is_noticed(database: str, tmp_path: Path) -> None:
    """As by a failover to a standby that had not got them all: who has read them reads all again."""

    async def use(a: NodeModels, b: NodeModels, c: NodeModels) -> None:
        await learn(a)
        await met(a, b, c)
        await b.default.snapshots.take()
        kept = b.default.learner.applier.position
        await learn(a)
        await met(a, b, c)
        await a.step_down("its database has failed over")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DELETE FROM nonzero.rows WHERE position > %s", (kept,))
        async with Reading(a, b, c):
            await c.write()
            await c.default.learner.submit(batch_of(7, 77))
            await met(a, b, c)
        assert len({one.default.model.digest() for one in (a, b, c)}) == 1
        assert a.default.sequence == 107

    with_nodes(database, tmp_path, use, "abc")


def test_rows_that_a_failover_has_lost_are_missed_though_nothing_is_written(
    breakable: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is not on the new primary, and a follower sees only one that stands by behind it."""
    monkeypatch.setattr(tailing, "DOUBT_SECONDS", 0.2)
    breakable.primary.configure(synchronous_standby_names="")
    standby, lost = breakable.standby, breakable.primary

    async def use(a: NodeModels, b: NodeModels) -> None:
        await learn(a)
        await met(a, b)
        await b.default.snapshots.take()
        standby.kill()
        await learn(a)
        await met(a, b)
        assert b.default.sequence == 200
        b._tail.rest()
        await asyncio.to_thread(fails_over)
        b._tail.wake()
        await until_in_loop(lambda: b.default.sequence == 100 and b.default.replica is not None)
        assert not a.doubts
        a.making_sure.ask()
        await until_in_loop(lambda: a.doubts)
        assert isinstance(a.doubts[0], JournalDivergedError)
        await a.step_down("its database has lost rows")
        await until_in_loop(lambda: a.default.sequence == 100)
        assert a.default.model.digest() == b.default.model.digest()

    def fails_over() -> None:
        lost.kill()
        standby.start()
        breakable.fail_over()
        breakable.rejoin()

    with_nodes(breakable.database(), tmp_path, use)


@pytest.mark.parametrize("at", ["open", "bring"])
def test_a_model_that_is_removed_while_a_node_starts(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Its rows are given up before the node has looked for them, or while it reads them."""

    async def run() -> None:
        async with nodes(database, tmp_path, "a") as [a]:
            await a.create("other")
            await a.get("other").learner.submit(batch_of(5))
            number, loop = a._members["other"].model.id, asyncio.get_running_loop()

            async def removed() -> None:
                await a.delete("other")
                await asyncio.to_thread(a.catalogue.sweep, a._term.required())

            def before(where: Any, name: str, model_of: Callable[..., int]) -> None:
                really = getattr(where, name)

                def do(*arguments: Any) -> Any:
                    if model_of(*arguments) == number and "other" in a._members:
                        asyncio.run_coroutine_threadsafe(removed(), loop).result()
                    return really(*arguments)

                monkeypatch.setattr(where, name, do)

            if at == "open":
                before(postgres_journal, "check_held", lambda journal, *_: journal.model)
            else:
                before(ModelCache, "bring", lambda _, model: model.id)
            b = NodeModels("b", database, tmp_path)
            b.begin()
            try:
                await b.opened()
                assert [one.name for one in b.all()] == ["default"]
            finally:
                await b.end()

    asyncio.run(run())


def linked(name: str, database: str, place: Path, **settings: Any) -> tuple[NodeModels, Link]:
    """Return the models of a node, and its way to the database."""
    parts = psycopg.conninfo.conninfo_to_dict(database)
    link = Link([int(str(parts["port"]))])
    url = f"postgresql://{parts['user']}@127.0.0.1:{link.ports[0]}/{parts['dbname']}"
    return NodeModels(name, url, place, **settings), link


def test_a_node_that_loses_its_term_while_it_begins_goes_on(database: str, tmp_path: Path) -> None:
    """It took over before its models were open, and could not open them in time."""

    async def use(a: NodeModels) -> None:
        await learn(a)
        b, link = linked("b", database, tmp_path)
        b.begin()
        link.stall()
        b.database.append_seconds = 0.5
        try:
            with pytest.raises(JournalUnreachableError):
                await b.take_over(99)
            stepping = asyncio.create_task(b.step_down("it could not take over"))
            link.heal()
            b.database.append_seconds = 4
            await stepping
            await b.opened()
            await met(a, b)
            assert a.default.model.digest() == b.default.model.digest()
        finally:
            await b.end()
            link.close()

    with_nodes(database, tmp_path, use, "a")


def test_a_node_that_is_cut_off_predicts_and_comes_back(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels) -> None:
        b, link = linked("b", database, tmp_path, max_lag_seconds=0.5)
        b.begin()
        try:
            await b.opened()
            await b.write()
            await a.step_down("another writes")
            await learn(b)
            link.cut()
            async with Reading(a, b):
                lost = b.default.learner.submit(batch_of(3))
                await b.step_down("no sign of life has reached the database")
                with pytest.raises((NotWritingError, JournalUnreachableError, OutcomeUnknownError)):
                    await lost
                await a.write()
                await learn(a)
                await until_in_loop(lambda: _is_behind(b))
                link.heal()
                await met(a, b)
            b.check_current()
            assert a.default.model.digest() == b.default.model.digest()
        finally:
            await b.end()
            link.close()

    with_nodes(database, tmp_path, use, "a")


def _is_behind(node: NodeModels) -> bool:
    try:
        node.check_current()
    except NotReadyError:
        return True
    return False
