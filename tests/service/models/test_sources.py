"""How far topics were read is known after a start, by those who follow, and after a promotion."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import nonzero
from nonzero import Batch, LogisticRegression, formats
from nonzero.batches.ids import Ids
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.errors import OriginError
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.handing_over import folded
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel
from nonzero_service.models.verifying import verify
from nonzero_service.settings import Settings
from nonzero_service.writer.origins import Origin, Run, partitions_of, watermark_of
from nonzero_service.writer.source_rows import SourceBody, source_entry
from nonzero_service.writer.work import StreamState
from service.cluster.test_following import Pair, with_pair
from service.failures import no_failure
from service.fed import BITS, ID, feed, positions, read_of, run_of
from waiting import until_in_loop


class Living:
    """Opens the models of one directory again and again."""

    def __init__(self, tmp_path: Path, **flags: Any) -> None:
        self.place = tmp_path / "data"
        self.flags = {"bits": BITS, "learning_rate": 0.1, "breaker": "off", **flags}

    @property
    def directory(self) -> Path:
        return self.place / "models/default"

    def __call__(self, use: Callable[[ServedModel, Models], Awaitable[object]]) -> None:
        async def live() -> None:
            models = Models(Settings.load(data_dir=self.place, **self.flags), no_failure)
            await models.open()
            try:
                await use(models.get("default"), models)
            finally:
                await models.close()

        asyncio.run(live())
        found = verify(self.directory, lambda *_: None)
        assert found.faults == [], found.faults


@pytest.fixture
def living(tmp_path: Path) -> Living:
    return Living(tmp_path)


def test_positions_are_those_of_before_after_a_start(living: Living) -> None:
    """From the rows alone, from a snapshot alone, and from both."""

    async def begin(served: ServedModel, _: Models) -> None:
        await feed(served.learner, {0: 30, 2: 7})

    async def snapshot(served: ServedModel, _: Models) -> None:
        assert positions(served.learner) == {0: 30, 2: 7}
        assert list(partitions_of(served.model.notes)) == [read_of(0, 30), read_of(2, 7)]
        await served.snapshots.take()

    async def go_on(served: ServedModel, _: Models) -> None:
        assert list(partitions_of(served.model.notes)) == [read_of(0, 30), read_of(2, 7)]
        await feed(served.learner, {0: 41, 1: 9})

    async def end(served: ServedModel, _: Models) -> None:
        assert list(partitions_of(served.model.notes)) == [read_of(0, 41), read_of(1, 9), read_of(2, 7)]
        assert watermark_of(served.model.notes) == 41

    living(begin)
    for path in (living.directory / "snapshots").iterdir():  # that of the stop
        path.unlink()
    for use in (snapshot, go_on, end):
        living(use)


def test_rows_may_be_pruned(living: Living) -> None:
    async def use(served: ServedModel, _: Models) -> None:
        for end in (10, 20, 30, 40):
            await feed(served.learner, {0: end, 1: 5})
            await served.snapshots.take()
        assert served.stored.journal.first_position > 10
        await feed(served.learner, {1: 8})

    async def again(served: ServedModel, _: Models) -> None:
        assert list(partitions_of(served.model.notes)) == [read_of(0, 40), read_of(1, 8)]
        await feed(served.learner, {1: 12})

    living(use)
    living(again)
    assert list(verify(living.directory, lambda *_: None).sources) == [read_of(0, 40), read_of(1, 12)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("bits", [BITS, 18])
def test_a_snapshot_has_the_notes_of_its_position(tmp_path: Path, bits: int) -> None:
    """Also where the model learns on while it is copied."""
    living = Living(tmp_path, bits=bits, journal_retention="all")
    found = {}

    async def use(served: ServedModel, _: Models) -> None:
        await feed(served.learner, {0: 9})
        feeding = asyncio.ensure_future(feed(served.learner, {0: 900}, 3))
        while not feeding.done():
            taken = await served.snapshots.take()
            found[taken.snapshot.position] = LogisticRegression.load(taken.snapshot.path).notes[SOURCES_NOTE]
        await feeding

    living(use)
    assert len(found) > 2
    with JournalReader(living.directory) as reader:
        told = 0
        for row in reader.read(1):
            if row.kind == "source":
                told = json.loads(row.body)["runs"][-1][4]
            if row.position in found:
                assert found.pop(row.position)["topics"][ID]["partitions"]["0"][0] == told
    assert not found


def test_a_trip_half_way_moves_positions_too(tmp_path: Path) -> None:
    living = Living(tmp_path, breaker="on")
    rng = np.random.default_rng(3)

    def piece(first: int, n: int, *, ones: bool) -> tuple[Batch, Origin]:
        labels = np.ones(n) if ones else rng.random(n) < 0.1
        batch = Batch(np.arange(n + 1) * 2, rng.integers(0, 2**BITS, 2 * n), labels=labels)
        return batch, Origin((Run("clicks", ID, 0, first, first + n, 1, n, 0, n),))

    async def use(served: ServedModel, _: Models) -> None:
        learner = served.learner
        batch, origin = piece(0, 12_000, ones=False)
        await learner.submit(batch, origin=origin)
        batch, origin = piece(12_000, 2500, ones=True)
        applied = await learner.submit(batch, origin=origin)
        assert 0 < applied.examples < 2500
        assert applied.held == 2500 - applied.examples
        kinds = [row.kind for row in served.stored.journal.read(1)]
        assert kinds[-4:] == ["batch", "trip", "held", "source"]
        assert positions(learner) == {0: 14_500}
        batch, origin = piece(14_500, 10, ones=True)
        assert (await learner.submit(batch, origin=origin)).held == 10

    async def again(served: ServedModel, _: Models) -> None:
        assert positions(served.learner) == {0: 14_510}
        await served.snapshots.take()
        await served.learner.resume(discard=False)
        assert positions(served.learner) == {0: 14_510}
        assert served.model.examples == 14_510

    living(use)
    living(again)


@pytest.mark.parametrize("negatives", ["at_once", "window"])
@pytest.mark.parametrize("waits", [True, False])
def test_impressions_and_labels_have_origins_too(tmp_path: Path, negatives: str, waits: bool) -> None:
    living = Living(tmp_path, negatives=negatives)

    def predicted(served: ServedModel, names: Sequence[str]) -> PredictedRows:
        lines = [b'{"features": {"site": "s"}, "id": "%s"}' % name.encode() for name in names]
        batch = formats.parse(b"\n".join(lines), "ndjson")
        ids, rows = Ids.of(batch.ids or ()), np.arange(len(names))
        now_ms = served.stored.journal.clock.now_ms()
        fresh = np.ones(rows.size, np.uint8)
        return PredictedRows(
            batch, ids, served.model.predict(batch), rows, hashes_of(ids, rows), fresh, now_ms
        )

    def origin(partition: int, first: int, n: int) -> Origin:
        return Origin((Run("t", ID, partition, first, first + n, 1, n, 0, n),), 1000 + first)

    async def use(served: ServedModel, _: Models) -> None:
        learner, stream = served.learner, StreamState()
        first = learner.impress(predicted(served, "abc"), waits=waits, stream=stream, origin=origin(0, 0, 3))
        again = learner.impress(predicted(served, "cd"), waits=waits, stream=stream, origin=origin(0, 3, 2))
        clicks = learner.label(["a", "x"], [1, 1], StreamState(), origin(1, 0, 2))
        await asyncio.gather(first, again)
        assert (await clicks).verdicts == ["joined", "unknown"]
        rows = list(served.stored.journal.read(2))
        assert rows[-1].kind == "source"
        assert {row.kind for row in rows} <= {"impression", "label", "joined", "source"}
        wrong = learner.impress(predicted(served, "e"), waits=waits, stream=stream, origin=origin(0, 4, 1))
        late = learner.label(["b"], [1], stream, origin(1, 2, 1))
        for refused in (wrong, late):
            with pytest.raises(OriginError):
                await refused
        # Nothing is noted of what was refused.
        assert served.attribution.impressions.segments.next_number == 4
        assert positions(learner) == {0: 5, 1: 2}

    async def again(served: ServedModel, _: Models) -> None:
        assert positions(served.learner) == {0: 5, 1: 2}
        assert watermark_of(served.model.notes) == 1003
        assert served.attribution.impressions.segments.next_number == 4

    living(use)
    living(again)


# -- those who follow ------------------------------------------------------------------------------------


def test_who_follows_has_the_same_notes_at_the_same_position(tmp_path: Path) -> None:
    async def use(pair: Pair) -> None:
        await feed(pair.writes.learner, {0: 20, 1: 9})
        await pair.met()
        assert pair.follows.model.notes[SOURCES_NOTE] == pair.writes.model.notes[SOURCES_NOTE]
        assert positions(pair.follows.learner) == {0: 20, 1: 9}
        await pair.follows.snapshots.take()
        pair.follower.tail.leave(0)
        await pair.follows.let_go()
        await feed(pair.writes.learner, {0: 30})
        hand = folded(pair.follows)
        pair.follows = await pair.follower.open(hand)  # what is in hand is brought on
        assert positions(pair.follows.learner) == {0: 30, 1: 9}
        pair.follower.tail.leave(0)
        await pair.follows.let_go()
        pair.follows = await pair.follower.open()  # it is loaded again, of its snapshot
        await feed(pair.writes.learner, {1: 14})
        await pair.met()
        assert positions(pair.follows.learner) == {0: 30, 1: 14}
        assert pair.follows.model.notes[SOURCES_NOTE] == pair.writes.model.notes[SOURCES_NOTE]
        assert pair.follows.model.digest() == pair.writes.model.digest()

    with_pair(tmp_path, use)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("start", "own"),
    [
        ("nothing", {"learning_rate": 0.3}),
        ("refold", {"learning_rate": 0.3}),
        ("nothing", {"learning_rate": 0.3, "negatives": "window"}),
    ],
)
def test_a_promotion_goes_on_from_where_its_champion_was(living: Living, start: Any, own: Any) -> None:
    async def use(served: ServedModel, models: Models) -> None:
        await feed(served.learner, {0: 20})
        challenger = await models.create_challenger("b", "default", start, own)
        await feed(served.learner, {0: 31, 1: 4})
        await until_in_loop(lambda: challenger.learner.applier.position == served.stored.journal.position)
        assert SOURCES_NOTE not in challenger.model.notes
        await challenger.snapshots.take()
        await feed(served.learner, {1: 6})
        done = await models.promote("default", "b")
        assert served.model is challenger.model
        assert positions(served.learner) == {0: 31, 1: 6}
        assert list(partitions_of(served.model.notes)) == [read_of(0, 31), read_of(1, 6)]
        await feed(served.learner, {0: 40})
        assert done.position < served.stored.journal.position

    async def again(served: ServedModel, _: Models) -> None:
        assert list(partitions_of(served.model.notes)) == [read_of(0, 40), read_of(1, 6)]
        await feed(served.learner, {1: 9})
        assert len(served.model.settings["lanes"]) == 1

    living(use)
    for snapshot in (living.directory / "snapshots").glob("*.safetensors"):
        snapshot.unlink()  # the rows are folded across the promotion
    living(again)


# -- files -----------------------------------------------------------------------------------------------


def test_what_is_made_of_a_file_was_not_read_of_topics(living: Living, tmp_path: Path) -> None:
    file, other = tmp_path / "m.safetensors", tmp_path / "n.safetensors"

    async def use(served: ServedModel, models: Models) -> None:
        await feed(served.learner, {0: 20})
        taken = await served.snapshots.take()
        file.write_bytes(taken.snapshot.path.read_bytes())
        made = await models.create_from_file("copy", file)
        assert positions(made.learner) == {}
        await feed(made.learner, {0: 3})
        assert list(partitions_of(made.model.notes)) == [read_of(0, 3)]

    living(use)
    assert LogisticRegression.load(file).notes[SOURCES_NOTE]["topics"]
    (tmp_path / "more.vw").write_text("1 |f a\n")
    done = nonzero("train", tmp_path / "more.vw", "--from", file, "--model", other)
    assert done.returncode == 0, done.stderr
    assert SOURCES_NOTE not in LogisticRegression.load(other).notes


# -- commands --------------------------------------------------------------------------------------------


def test_commands_say_how_far_topics_were_read(living: Living) -> None:
    async def use(served: ServedModel, _: Models) -> None:
        await feed(served.learner, {0: 30, 1: 20})
        await served.snapshots.take()
        await feed(served.learner, {1: 25, **dict.fromkeys(range(2, 20), 2)})

    living(use)
    # The newest snapshot is of the end: without it rows have to be read too.
    sorted((living.directory / "snapshots").glob("*.safetensors"))[-1].unlink()
    expected = [read_of(0, 30)._asdict(), read_of(1, 25)._asdict()]
    messages, refused, examples = (
        sum(one[key] for one in expected) + sum(read_of(j, 2)._asdict()[key] for j in range(2, 20))
        for key in ("messages", "refused", "examples")
    )
    said = (
        f"topic clicks (id {ID}): {messages} messages, {refused} of them refused, {examples} examples; "
        "to be read on from 0: 30, 1: 25, 2: 2, "
    )
    for command in ("inspect", "verify"):
        told = json.loads(nonzero(command, living.place, "--json").stdout)["default"]["sources"]
        assert told[:2] == expected
        assert len(told) == 20
        text = nonzero(command, living.place).stdout
        assert said in text
        assert "15: 2, and 4 more partitions" in text


def test_a_hole_in_the_journal_is_named(living: Living) -> None:
    async def use(served: ServedModel, _: Models) -> None:
        await feed(served.learner, {0: 10})
        await served.snapshots.take()

    living(use)
    _, run = run_of(0, 12, 14)
    with SqliteJournal(living.directory) as journal:
        position = journal.append([source_entry(SourceBody((run,)))])
    [fault] = verify(living.directory, lambda *_: None).faults
    said = f"position {position} does not follow the rows before it: topic 'clicks' (id {ID}), partition 0: "
    assert said + "the offsets 10 to 12 are missing, before 12 to 14" in fault
    done = nonzero("verify", living.place)
    assert done.returncode == 1
    assert "start      would be refused" in done.stdout


def test_a_snapshot_that_notes_something_else_is_named(living: Living) -> None:
    async def use(served: ServedModel, _: Models) -> None:
        await feed(served.learner, {0: 10})
        await served.snapshots.take()
        await feed(served.learner, {0: 12})

    living(use)
    path = sorted((living.directory / "snapshots").glob("*.safetensors"))[0]
    model = LogisticRegression.load(path)
    model.notes[SOURCES_NOTE]["topics"][ID]["partitions"]["0"][0] = 9
    model.save(path)
    faults = verify(living.directory, lambda *_: None).faults
    assert any("say that partition 0 of the topic 'clicks'" in fault for fault in faults), faults
