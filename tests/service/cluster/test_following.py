"""A model that follows another's journal: the same bits, history, impressions, pauses; and its next role."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero.formats.json_bodies import parse_body
from nonzero_service.errors import NotWritingError
from nonzero_service.models.common import Common
from nonzero_service.models.handing_over import folded
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from service.cluster.followed import Follower, ReadJournals
from service.failures import no_failure
from waiting import until_in_loop


def batch_of(size: int, seed: int = 5) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(np.arange(size + 1) * 3, rng.integers(0, 2**12, 3 * size), labels=rng.integers(0, 2, size))


async def predict(served: ServedModel, *ids: str) -> None:
    """Predict with ids, as a request does."""
    for one in ids:
        batch = parse_body(b'{"features": {"site": "s%s"}, "id": "%s"}' % (one[-1].encode(), one.encode()))
        keeper = served.keeper
        keeper.keep(batch, served.model.predict(batch))
        await keeper.synced()
    await served.learner.run(lambda: None)


async def met(writes: ServedModel, follows: ServedModel) -> None:
    """Wait until a follower has folded all that is written."""
    await until_in_loop(
        lambda: follows.learner.applier.position == writes.stored.journal.position,
        lambda: (follows.learner.applier.position, writes.stored.journal.position),
    )


class Pair:
    """A model that is written, and one that follows it."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        flags = {"bits": 12, **settings}
        self.writer = Models(Settings.load(data_dir=tmp_path / "a", **flags), no_failure)
        self.settings = Settings.load(data_dir=tmp_path / "b", **flags)
        self.here = tmp_path / "b"

    async def __aenter__(self) -> Pair:
        await self.writer.open()
        self.writes = self.writer.get("default")
        folder = self.writer.folder.directory
        self.common = Common(self.settings, no_failure, ReadJournals(folder))
        self.follower = Follower(folder / "default", self.here, self.common)
        self.follows = await self.follower.open()
        self.follower.tail.begin()
        return self

    async def met(self) -> None:
        await met(self.writes, self.follows)

    async def __aexit__(self, *_: object) -> None:
        self.follower.close()
        await self.follows.let_go()
        await self.writer.close()
        await self.common.close()


def with_pair(tmp_path: Path, use: Callable[[Pair], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        async with Pair(tmp_path, **settings) as pair:
            await use(pair)
            assert pair.follower.failures == []

    asyncio.run(run())


def test_the_same_rows_give_the_same_bits(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        for seed in range(20):
            await pair.writes.learner.submit(batch_of(50, seed))
        await pair.met()
        assert pair.follows.model.digest() == pair.writes.model.digest()
        assert pair.follows.sequence == 1000
        replica = pair.follows.replica
        assert replica is not None
        assert (replica.sequence, replica.lag_examples) == (1000, 0)
        assert replica.lag_seconds < 10
        await pair.writes.history.capture()
        await pair.follows.history.capture()
        ours, theirs = (one.history.history.records("examples") for one in (pair.writes, pair.follows))
        assert ours.points["position"].tolist() == theirs.points["position"].tolist()
        assert ours.points["sequence"].tolist() == theirs.points["sequence"].tolist()

    with_pair(tmp_path, use)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("negatives", ["at_once", "window", "at_end"])
def test_impressions_are_told_alike(tmp_path: Path, negatives: str) -> None:
    async def use(pair: Pair) -> None:
        names = [f"i{number}" for number in range(40)]
        await predict(pair.writes, *names[:20])
        await pair.writes.attribution.label(names[:5], [1] * 5)
        await predict(pair.writes, *names[20:])
        await pair.writes.attribution.label(names[18:25], [0, 1] * 3 + [0])
        await pair.met()
        ours, theirs = pair.writes.attribution.impressions, pair.follows.attribution.impressions
        assert theirs.pending == ours.pending
        assert theirs.waiting_count == ours.waiting_count
        assert theirs.segments.next_number == ours.segments.next_number == 40
        numbers = np.arange(40)
        assert theirs.segments.states(numbers).tolist() == ours.segments.states(numbers).tolist()
        assert pair.follows.model.digest() == pair.writes.model.digest()
        with pytest.raises(NotWritingError):
            await pair.follows.attribution.label(names[:1], [1])

    with_pair(tmp_path, use, negatives=negatives)


def test_windows_that_end_by_the_clock_end_here_too(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        await predict(pair.writes, *(f"i{number}" for number in range(10)))
        await pair.met()
        theirs = pair.follows.attribution.impressions
        await until_in_loop(lambda: theirs.pending == 0)
        await until_in_loop(lambda: pair.writes.attribution.impressions.pending == 0)
        await pair.met()
        assert pair.follows.model.digest() == pair.writes.model.digest()

    with_pair(tmp_path, use, attribution_seconds=0.3, correction_seconds=0)


def test_a_pause_is_told_and_what_is_held_is_learned_at_its_end(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        learner = pair.writes.learner
        for seed in range(30):
            await learner.submit(batch_of(200, seed))
        rng = np.random.default_rng(1)
        odd = Batch(np.arange(5001), rng.integers(2**11, 2**12, 5000), labels=np.ones(5000))
        await learner.submit(odd)
        assert learner.pause.since is not None
        await pair.met()
        told = pair.follows.learner.pause
        assert (told.since, told.examples, told.reason) == (
            learner.pause.since,
            learner.pause.examples,
            learner.pause.reason,
        )
        await learner.resume(discard=False)
        await pair.met()
        assert (told.since, told.examples) == (None, 0)
        assert pair.follows.model.digest() == pair.writes.model.digest()

    with_pair(tmp_path, use)


def test_a_snapshot_is_taken_here_while_rows_come(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        await pair.writes.learner.submit(batch_of(500))
        await pair.met()
        before = pair.writes.model.digest()
        writing = asyncio.ensure_future(_write(pair, 40))
        taken = await pair.follows.snapshots.take()
        await writing
        kept = LogisticRegression.load(taken.snapshot.path)
        assert kept.examples == taken.sequence >= 500
        if taken.sequence == 500:
            assert kept.digest() == before
        await pair.met()
        assert pair.follows.model.digest() == pair.writes.model.digest()

    with_pair(tmp_path, use, bits=18)


async def _write(pair: Pair, count: int) -> None:
    for seed in range(count):
        await pair.writes.learner.submit(batch_of(50, seed))


def test_a_model_changes_its_role_without_being_loaded(tmp_path: Path) -> None:
    """What follows is handed over and goes on following: the same object, and the same bits."""

    async def use(pair: Pair) -> None:
        await _write(pair, 5)
        await predict(pair.writes, "i1", "i2")
        await pair.met()
        model = pair.follows.model
        pair.follower.tail.leave(0)
        await pair.follows.let_go()
        await _write(pair, 5)
        hand = folded(pair.follows)
        assert hand is not None
        pair.follows = await pair.follower.open(hand)
        assert pair.follows.model is model
        await _write(pair, 5)
        await pair.met()
        assert pair.follows.model.digest() == pair.writes.model.digest()
        assert pair.follows.attribution.impressions.pending == 2

    with_pair(tmp_path, use)


def test_a_follower_that_opens_from_nothing_reads_all(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        await _write(pair, 5)
        await pair.met()
        await pair.follows.snapshots.take()
        pair.follower.tail.leave(0)
        await pair.follows.let_go()
        await _write(pair, 5)
        pair.follows = await pair.follower.open()
        await pair.met()
        assert pair.follows.model.digest() == pair.writes.model.digest()

    with_pair(tmp_path, use)
