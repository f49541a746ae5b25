"""A process that feeds a model of a topic and takes snapshots, to be killed at it; what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fork_server import Child, fork_server
from nonzero import AdaGrad, LogisticRegression
from nonzero_service.journal.journal import Journal, OpenJournal
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.recovery import StoredModel, recover
from nonzero_service.models.snapshot_files import needed_from, write_snapshot
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import partitions_of
from nonzero_service.writer.threads import WriterThreads
from service.failures import no_failure
from service.fed import BITS, fed, feed, positions, read_of
from service.journal.forking import Acknowledgements, acknowledged
from service.journal.postgres_models import new_database, take_over, written

PHASES = ({0: 18, 1: 6}, {0: 24, 1: 15}, {0: 31}, {1: 22, 2: 5})
"""How far each partition is read before a snapshot is taken."""


def new_model() -> LogisticRegression:
    return LogisticRegression(BITS, AdaGrad(0.1))


class Place:
    """Where a model is kept: a directory, and its journal there or in a database."""

    def __init__(self, directory: Path, url: str = "", number: int = 0) -> None:
        self.directory, self.url, self.number = directory, url, number

    def use(self, do: Callable[[StoredModel], Any]) -> Any:
        """Do something with what is kept, as a start finds it."""
        if not self.url:
            return self._with(SqliteJournal, do)
        database = new_database(self.url)
        term = take_over(database)

        def opened(directory: Path, *, reached: int = 0) -> Journal:  # noqa: ARG001
            return written(database, self.number, term, reached)

        try:
            return self._with(opened, do)
        finally:
            database.close()

    def _with(self, opened: OpenJournal, do: Callable[[StoredModel], Any]) -> Any:
        with opened(self.directory) as journal:
            if not journal.position:
                journal.append([settings_entry(new_model())])
        stored = recover(self.directory, opened, lambda *_: None)
        with stored.journal:
            return do(stored)


def feed_to_the_end(stored: StoredModel, acknowledge: Callable[[object], object]) -> None:
    """Feed a model from where it is, and take snapshots, of which each has rows given up."""

    async def run() -> None:
        threads = WriterThreads()
        learner = ModelLearner(stored.model, stored.journal, 2**24, no_failure, threads)
        try:
            for until in PHASES:
                await feed(learner, until, at_once=True)
                acknowledge(sum(positions(learner).values()))
                packed, place = await learner.run(lambda: (stored.model.packed(), learner.applier.place))
                digest = stored.journal.digest_at(place.position)
                if not (stored.snapshots.directory / f"{place.position:020d}.safetensors").exists():
                    write_snapshot(stored.snapshots, place.position, digest, packed)
                stored.snapshots.prune()
                stored.journal.truncate(min(map(needed_from, stored.snapshots.all())))
        finally:
            await learner.close()
            threads.close()

    asyncio.run(run())


def expected(read: dict[int, int]) -> LogisticRegression:
    """Return what a model must be that was fed so far, in the order of the phases."""
    at: dict[int, int] = {}
    order = []
    for until in PHASES:
        for partition, end in until.items():
            following = min(end, read.get(partition, 0))
            if following > at.get(partition, 0):
                order.append((partition, at.get(partition, 0), following))
                at[partition] = following
    assert at == read
    return fed(order, new_model())


def check(place: Place) -> None:
    """Check what a kill has left, and feed the model to its end."""

    def whole(stored: StoredModel) -> dict[int, int]:
        noted = partitions_of(stored.model.notes)
        read = {one.partition: one.next for one in noted}
        assert list(noted) == [read_of(partition, end) for partition, end in sorted(read.items())]
        assert stored.model.digest() == expected(read).digest()
        return read

    found = place.use(whole)
    assert sum(found.values()) >= acknowledged(place.directory)
    place.use(lambda stored: feed_to_the_end(stored, lambda _: None))
    assert place.use(whole) == {0: 31, 1: 22, 2: 5}
    assert len(SnapshotFolder(place.directory / "snapshots").all()) == 2


def forked(place: Place) -> Child:
    """Fork a process that feeds a model when it is let go."""
    return fork_server().fork(
        f"{__name__}:run", directory=str(place.directory), url=place.url, number=place.number
    )


def run(directory: str, url: str, number: int) -> None:
    """Be that process."""
    place = Place(Path(directory), url, number)
    acknowledge = Acknowledgements(place.directory / "acknowledged")
    place.use(lambda stored: feed_to_the_end(stored, acknowledge))
