"""Nodes without the rest of a service: what one writes and shares, another has on its own disk."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fork_server import Child, fork_server
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.cluster.caching import ModelCache
from nonzero_service.journal.postgres.catalogue import Catalogue, CatalogueModel
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.journal import PostgresJournal
from nonzero_service.journal.postgres.snapshots import SharedSnapshot, SharedSnapshots
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.models.folder import ModelFolder
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.recovery import recover
from nonzero_service.models.snapshot_files import needed_from, write_snapshot
from nonzero_service.writer.entries import batch_entry
from service.uninterrupted import batch, silent
from shared_database import Hooked

STEPS = {"os.rename", "os.mkdir", "open", "os.remove", "os.rmdir", "shutil.rmtree"}
"""What a kill may come before."""


def bringing(url: str, place: Path, last: int) -> Child:
    """Return a process that has a model on a node's disk, and is killed at a step."""
    return fork_server().fork(f"{__name__}:bring_until", url=url, place=str(place), last=last)


def bring_until(url: str, place: str, last: int) -> None:
    """Have the model on the disk, and be killed before a step of it."""
    database = Database(url, "b")
    snapshots = SharedSnapshots(database)
    catalogue = Catalogue(database, snapshots)
    model = catalogue.find("clicks")
    assert model is not None
    cache = ModelCache(ModelFolder(Path(place)), catalogue, snapshots)
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in STEPS and place in str(arguments[0]):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    cache.bring(model)


class Node:
    """A node's disk."""

    def __init__(self, database: Hooked, place: Path) -> None:
        self.database = database
        self.place = place
        self.snapshots = SharedSnapshots(database, share=1.0)
        self.catalogue = Catalogue(database, self.snapshots)
        self.cache = ModelCache(ModelFolder(place), self.catalogue, self.snapshots)

    def brought(self, model: CatalogueModel) -> LogisticRegression:
        """Return a model as this node has it when it has opened it."""
        directory = self.cache.bring(model)

        def follow(directory: Path, *, reached: int = 0) -> PostgresJournal:
            return PostgresJournal(self.database, model.id, directory, term=None, reached=reached)

        stored = recover(directory, follow, silent)
        stored.journal.close()
        return stored.model

    def positions(self, name: str = "clicks") -> list[int]:
        """Return the positions of the snapshots here, the newest first."""
        return [one.position for one in SnapshotFolder(self.place / name / "snapshots").all()]


class Writer(Node):
    """The node that writes, and the model that was never interrupted."""

    def __init__(
        self, database: Hooked, place: Path, name: str = "clicks", model: LogisticRegression | None = None
    ) -> None:
        super().__init__(database, place)
        self.model = model or LogisticRegression(10, AdaGrad(0.1))
        self.seed = 0
        config = ModelConfig(created=datetime.now(UTC), bits=self.model.bits)
        place.mkdir(exist_ok=True)
        with self.cache.folder.workplace() as made:
            self.made = self.cache.begin(1, name, made, config, self.model)
            self.directory = self.cache.folder.install(made, name)
        self.journal = PostgresJournal(database, self.made.id, self.directory, term=1)
        self.folder = SnapshotFolder(self.directory / "snapshots")

    def learn(self, rows: int, nonzeros: int = 0) -> None:
        """Write and learn some rows; where it is said, of one example with so many nonzeros."""
        for _ in range(rows):
            self.seed += 1
            examples = batch(self.seed)
            if nonzeros:
                indices = np.random.default_rng(self.seed).integers(0, 2**10, nonzeros)
                examples = Batch([0, nonzeros], indices, labels=[1])
            self.journal.append([batch_entry(examples)])
            self.model.learn(examples)

    def share(self) -> SharedSnapshot:
        """Take a snapshot and share it."""
        position = self.journal.position
        file = write_snapshot(self.folder, position, self.journal.digest_at(position), self.model.packed())
        return self.snapshots.put(1, self.made.id, position, file.path, needed_from(file))
