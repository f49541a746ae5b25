"""Nodes that take over from each other go on from where topics were read, as their shared journal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonzero import LogisticRegression
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.errors import NotWritingError
from nonzero_service.writer.origins import Origin, partitions_of
from service.cluster.sharing_models import NodeModels, met
from service.cluster.test_models import until_follows, with_nodes
from service.fed import feed, piece_of, positions, read_of


def test_whoever_writes_goes_on_from_there(database: str, tmp_path: Path) -> None:
    async def use(a: NodeModels, b: NodeModels) -> None:
        await feed(a.default.learner, {0: 40, 1: 7}, at_once=True)
        await met(a, b)
        assert positions(b.default.learner) == {0: 40, 1: 7}
        for end, writes, follows in ((50, b, a), (60, a, b)):
            await writes.write()
            await follows.step_down("another writes")
            await until_follows(follows)
            batch, origin = piece_of([(0, end - 10, end - 9)])
            with pytest.raises(NotWritingError):
                await follows.default.learner.submit(batch, origin=origin)
            await feed(writes.default.learner, {0: end}, at_once=True)
            await writes.default.learner.submit(batch.rows(0, 0), origin=Origin((), end))
            await met(a, b)
            ours, theirs = (one.default.model for one in (a, b))
            assert ours.notes[SOURCES_NOTE] == theirs.notes[SOURCES_NOTE]
            assert ours.digest() == theirs.digest()
        assert list(partitions_of(b.default.model.notes)) == [read_of(0, 60), read_of(1, 7)]

    with_nodes(database, tmp_path, use)


def test_a_snapshot_and_the_rows_after_it(database: str, tmp_path: Path) -> None:
    """Of what was pruned nothing is needed."""

    async def use(a: NodeModels) -> None:
        await feed(a.default.learner, {0: 20})
        taken = await a.default.snapshots.take()
        assert (
            LogisticRegression.load(taken.snapshot.path).notes[SOURCES_NOTE]
            == (a.default.model.notes[SOURCES_NOTE])
        )
        a.default.stored.journal.truncate(taken.snapshot.position + 1)
        await feed(a.default.learner, {0: 30, 2: 3})

    async def again(a: NodeModels) -> None:
        assert a.default.stored.journal.first_position > 2
        assert list(partitions_of(a.default.model.notes)) == [read_of(0, 30), read_of(2, 3)]
        await feed(a.default.learner, {2: 9})

    with_nodes(database, tmp_path, use, "a")
    with_nodes(database, tmp_path, again, "a")
