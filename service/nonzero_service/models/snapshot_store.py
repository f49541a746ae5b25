"""Copies of a model's snapshots in an object store: what is left where a disk is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
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
        self._since = time.monotonic()
        self._not_before = 0.0
        self._ended = threading.Event()
        self.failures = 0
        """How many could not be copied, since the process started."""
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
        is_due = self._stored != self._snapshots.newest_position and time.monotonic() >= self._not_before
        return self._copy() if is_due else None

    async def _copy(self) -> None:
        try:
            async with self._gate:
                begun = time.monotonic() - self._snapshots.age_seconds
                newest = self._snapshots.newest
                if newest is None:  # before the first
                    self._stored = self._snapshots.newest_position
                    return
                await _beside(lambda: self._send(newest))
                self._stored, self._since = newest.position, begun
        except Exception as error:  # noqa: BLE001 - one that fails must not be the last that is tried
            self._not_before = time.monotonic() + RETRY_SECONDS
            self.failures += 1
            incidentally(self._log.warning, "no snapshot could be stored", model=self._name, **failure(error))

    def _send(self, snapshot: SnapshotFile) -> None:
        with snapshot.path.open("rb") as file, storing(self._folder.joined(snapshot.path.name)) as out:
            while part := file.read(_SENT_AT_ONCE):
                if self._ended.is_set():
                    raise StoreError(f"{self._folder}: the process ends; the next start copies the snapshot")
                out.write(part)
        self._prune(snapshot)
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


async def _beside(task: Callable[[], None]) -> None:
    """Run a task in a thread that keeps no process from its end: a store may not answer for minutes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failed = None
        try:
            task()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, failed)

    threading.Thread(target=run, name="storing", daemon=True).start()
    await done
