"""Snapshots while serving: when they are due, and how they are taken without holding up an update for long.

The applier copies what was touched of a small model at once. A large one it copies a part after each group of
updates (:mod:`nonzero.model.gradual_copy`), into a spare one whose memory is there already. Another thread
writes the copy then. So the memory of the touched rows, at most that of one further table, is in use for as
long as that takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog

from nonzero import LogisticRegression
from nonzero.model.gradual_copy import spare_for
from nonzero.model.packed import Packed
from nonzero_service.incidental import incidentally
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.snapshot_files import write_snapshot
from nonzero_service.settings import Settings
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.sequences import sequence_by, sequence_of
from nonzero_service.writer.work import Copied

T = TypeVar("T")

RETRY_SECONDS: Final = 60.0
"""So long after one that failed the next is tried: it takes a table's memory, and a disk's room."""


AT_ONCE: Final = 1 << 20
"""Bytes of the largest table of which what was touched is copied at once: that takes half a millisecond."""


class Copies(Protocol):
    """Who learns, and copies what it has learned."""

    model: LogisticRegression

    @property
    def applier(self) -> Applier:
        """What learns."""

    @property
    def appended_bytes(self) -> int:
        """The bytes of the rows that it has learned from, in this process."""

    def run(self, task: Callable[[], T]) -> asyncio.Future[T]:
        """Run a task after all that is queued: it sees the model at rest."""

    def copy(self, into: LogisticRegression) -> asyncio.Future[Copied]:
        """Copy the model as it is after all that is queued, or a little later."""


class Taken(NamedTuple):
    """A snapshot that was taken."""

    snapshot: SnapshotFile
    sequence: int
    """The examples that it holds."""


async def _nothing() -> None:
    """Do nothing."""


class SnapshotScheduler:
    """Takes the snapshots of one model, one at a time.

    Parameters
    ----------
    name
        The model's, for the log.
    stored
        The model and what is kept of it on disk.
    learner
        Whose applier copies the model.
    settings
        They say when a snapshot is due.
    gate
        Bounds how many are taken at a time because they are due.
    prune
        Gives up what a new snapshot makes useless, told whether the process ends then; on another thread.
    before
        Is to be done before a snapshot takes the place of rows: a start does not read them again.
    """

    def __init__(
        self,
        name: str,
        stored: StoredModel,
        learner: Copies,
        settings: Settings,
        gate: AbstractAsyncContextManager[Any],
        prune: Callable[[bool], object],
        before: Callable[[], Awaitable[object]] = _nothing,
    ) -> None:
        self.stored = stored
        self._name = name
        self._learner = learner
        self._settings = settings
        self._prune = prune
        self._before = before
        self._since = time.monotonic() - stored.tail_seconds
        self._bytes_then = -stored.tail_bytes
        self._not_before = 0.0
        newest = self.newest
        self._newest = 1 if newest is None else newest.position
        self.failures = 0
        """How many were due and could not be taken, since the process started."""
        self.taking = asyncio.Lock()
        """Held while one is taken; whoever holds it keeps all that there are, and the journal's rows."""
        self._gate = gate
        self._log = structlog.get_logger("snapshots")

    @property
    def newest(self) -> SnapshotFile | None:
        """The newest snapshot; None before the first."""
        return next(iter(self.stored.snapshots.all()), None)

    @property
    def newest_position(self) -> int:
        """The position of the newest; 1, that of the first row, before the first. Any thread may ask."""
        return self._newest

    @property
    def age_seconds(self) -> float:
        """How long ago the newest was begun, over restarts too; 0 where nothing has come since.

        Before the first, how long ago the first row came. Any thread may ask.
        """
        since, newest = self._since, self._newest
        return 0.0 if self._learner.applier.position == newest else time.monotonic() - since

    @property
    def grown_bytes(self) -> int:
        """The bytes of the rows that came after the newest."""
        return self._learner.appended_bytes - self._bytes_then

    async def take(self, *, last: bool = False) -> Taken:
        """Take a snapshot of all that was queued before; the last one, where nothing has come since.

        Parameters
        ----------
        last
            Whether the process ends then: what can wait for the next one, waits.

        Raises
        ------
        StorageError, OSError
            Where it cannot be written; the older ones stay.
        """
        async with self.taking:
            return await self.take_held(last=last)

    async def take_held(self, *, last: bool = False) -> Taken:
        """Take a snapshot as :meth:`take` does; `taking` is held."""
        newest, learner = self.newest, self._learner
        position = await learner.run(lambda: learner.applier.position)
        if newest is not None and newest.position == position:
            return Taken(newest, sequence_of(learner.model))
        begun, bytes_then = time.monotonic(), learner.appended_bytes
        packed, copied = await self._packed()
        await self._before()
        snapshot = await asyncio.to_thread(self._write, copied, packed, last)
        self._since, self._bytes_then, self._newest = begun, bytes_then, snapshot.position
        return Taken(snapshot, sequence_by(packed.notes, packed.examples))

    async def _packed(self) -> tuple[Packed, Copied]:
        """Return the model as it is after all that is queued, or a little later, and where that was."""
        model, applier = self._learner.model, self._learner.applier
        if model.nbytes <= AT_ONCE:
            return await self._learner.run(lambda: (self._learner.model.packed(), applier.place))
        spare = await asyncio.to_thread(spare_for, model)
        copied = await self._learner.copy(spare)
        return spare.packed(copied=False), copied

    async def close(self) -> None:
        """Return when what is being taken is finished."""
        async with self.taking:
            pass

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what takes a snapshot, where one is due."""
        return self._take_due() if time.monotonic() >= self._not_before and self._due() else None

    async def _take_due(self) -> None:
        try:
            async with self._gate:
                await asyncio.shield(self.take())
        except Exception:  # noqa: BLE001 - one that fails must not be the last that is tried
            self._not_before = time.monotonic() + RETRY_SECONDS
            self.failures += 1
            incidentally(self._log.exception, "no snapshot could be taken", model=self._name)

    def _due(self) -> bool:
        if self._learner.applier.position == self._newest:
            return False
        grown, age = self.grown_bytes, time.monotonic() - self._since
        return grown >= self._settings.snapshot_bytes or age >= self._settings.snapshot_seconds

    def _write(self, copied: Copied, packed: Packed, last: bool) -> SnapshotFile:
        journal, position = self.stored.journal, copied.position
        journal.sync()  # a snapshot must not know of rows that a power cut could take
        digest = journal.digest_at(position)
        packed.notes |= copied.notes
        snapshot = write_snapshot(self.stored.snapshots, position, digest, packed, copied.held_since)
        self._prune(last)
        incidentally(
            lambda: self._log.info(
                "snapshot taken", model=self._name, position=position, bytes=snapshot.path.stat().st_size
            )
        )
        return snapshot
