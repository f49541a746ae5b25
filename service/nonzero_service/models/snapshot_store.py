"""Copies of a model's snapshots in an object store: what is left where a disk is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from nonzero.persistence.store_writing import storing
from nonzero.sources.places import Remote
from nonzero.sources.store_errors import StoreError, explained
from nonzero.sources.stores import filesystem, found_by
from nonzero_service.incidental import incidentally
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.logs import failure
from nonzero_service.models.snapshot_scheduler import RETRY_SECONDS, SnapshotScheduler
from nonzero_service.models.storing import beside

KEPT: Final = 2
"""So many stay in the store: the second takes over where the first turns out to be damaged."""

_SENT_AT_ONCE: Final = 1 << 24


class SnapshotStore:
    """Copies the snapshots of one model to an object store, one at a time. Used on the event loop.

    Rounds look after it (:class:`~nonzero_service.models.rounds.Rounds`). The newest is copied when it was
    taken, and at a start, for the last one of the process before was taken at its end.

    Parameters
    ----------
    name
        The model's.
    snapshots
        What takes them.
    place
        Where the folders of all models are.
    gate
        Bounds how many are sent at a time.
    """

    def __init__(
        self, name: str, snapshots: SnapshotScheduler, place: Remote, gate: asyncio.Semaphore
    ) -> None:
        self._name = name
        self._snapshots = snapshots
        self._folder = place.joined(name)
        self._gate = gate
        self._stored = 0
        self._pruned = True  # a store that lets nothing be removed is not sent the same one again
        self._since = time.monotonic()
        self._not_before = 0.0
        self._ended = threading.Event()
        self.failures = 0
        """How often one could not be copied, or older ones not removed, since the process started."""
        self._log = structlog.get_logger("snapshots")

    @property
    def age_seconds(self) -> float:
        """How long ago what is in the store was begun to be taken; 0 where nothing has come since.

        Before the first, how long ago the process started. Any thread may ask.
        """
        is_whole = self._stored == self._snapshots.newest_position and not self._snapshots.age_seconds
        return 0.0 if is_whole else time.monotonic() - self._since

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what copies a snapshot, where there is one that is not in the store."""
        is_done = self._stored == self._snapshots.newest_position and self._pruned
        return None if is_done or time.monotonic() < self._not_before else self._copy()

    async def _copy(self) -> None:
        event = "no snapshot could be stored"
        try:
            async with self._gate:
                begun = time.monotonic() - self._snapshots.age_seconds
                newest = self._snapshots.newest
                if newest is None:  # before the first
                    self._stored = self._snapshots.newest_position
                    return
                if self._stored != newest.position:
                    await beside(lambda: self._send(newest))
                    self._stored, self._since, self._pruned = newest.position, begun, False
                event = "no snapshot could be removed"
                await beside(lambda: self._prune(newest))
                self._pruned = True
        except Exception as error:  # noqa: BLE001 - one that fails must not be the last that is tried
            self._not_before = time.monotonic() + RETRY_SECONDS
            self.failures += 1
            incidentally(self._log.warning, event, model=self._name, **failure(error))

    def _send(self, snapshot: SnapshotFile) -> None:
        with snapshot.path.open("rb") as file, storing(self._folder.joined(snapshot.path.name)) as out:
            while part := file.read(_SENT_AT_ONCE):
                if self._ended.is_set():
                    raise StoreError(f"{self._folder}: the process ends; the next start copies the snapshot")
                out.write(part)
        incidentally(
            self._log.info,
            "snapshot stored",
            model=self._name,
            position=snapshot.position,
            place=str(self._folder),
        )

    def end(self) -> None:
        """Let what is being sent be given up, and copy no more."""
        self._not_before = float("inf")
        self._ended.set()

    def _prune(self, snapshot: SnapshotFile) -> None:
        """Remove older ones. Those of later positions stay: they are of another life of the model."""
        found = sorted(found_by(self._folder.joined("*.safetensors")), key=lambda one: one.name)
        old = [one for one in found if one.name <= snapshot.path.name][:-KEPT]
        for one in old:
            with explained(one):
                files, path = filesystem(one)
                files.rm_file(path)
