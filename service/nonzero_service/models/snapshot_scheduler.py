"""Snapshots while serving: when they are due, and how they are taken without holding up an update for long.

The applier copies what was touched of a small model at once. A large one it copies a part after each group of
updates (:mod:`nonzero.model.gradual_copy`), into a spare one whose memory is there already. Another thread
writes the copy then. So the memory of the touched rows, at most that of one further table, is in use for as
long as that takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog

from nonzero import LogisticRegression, SnapshotError
from nonzero.model.gradual_copy import spare_for
from nonzero.model.packed import Packed
from nonzero_service.incidental import incidentally
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.models.recovery import StoredModel
from nonzero_service.models.snapshot_files import needed_from, write_snapshot
from nonzero_service.settings import Settings
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.following import sequence_by, sequence_of
from nonzero_service.writer.work import Copied

T = TypeVar("T")

RETRY_SECONDS: Final = 60.0
"""So long after one that failed the next is tried: it takes a table's memory, and a disk's room."""


AT_ONCE: Final = 1 << 20
"""Bytes of the largest table of which what was touched is copied at once: that takes half a millisecond."""

LARGE: Final = 1 << 22
"""Bytes of a journal's file that may hold rows which nobody needs from one start to the next."""


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
        They say when a snapshot is due, and which rows of the journal stay.
    gate
        Bounds how many are taken at a time because they are due.
    also_from
        Returns the first position of the journal that is of use beside snapshots; None where none is.
    also_at
        Returns a position of which a snapshot that is not after it stays; None where none is.
    gave_up
        Told which snapshots are left, when others were given up.
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
        also_from: Callable[[], int | None] = lambda: None,
        also_at: Callable[[], int | None] = lambda: None,
        gave_up: Callable[[Sequence[SnapshotFile]], object] = lambda _: None,
        before: Callable[[], Awaitable[object]] = _nothing,
    ) -> None:
        self.stored = stored
        self._name = name
        self._learner = learner
        self._settings = settings
        self._also_from = also_from
        self._also_at = also_at
        self._gave_up = gave_up
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
    def age_seconds(self) -> float:
        """How long ago the newest was begun, over restarts too; 0 where nothing has come since.

        Before the first, how long ago the first row came. Any thread may ask.
        """
        since, newest = self._since, self._newest
        return 0.0 if self._learner.applier.position == newest else time.monotonic() - since

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
        grown, age = self._learner.appended_bytes - self._bytes_then, time.monotonic() - self._since
        return grown >= self._settings.snapshot_bytes or age >= self._settings.snapshot_seconds

    def _truncate(self, kept: Sequence[SnapshotFile]) -> None:
        """Give up the rows that a start from any of these snapshots does not need, nor anybody else."""
        also = self._also_from()
        try:
            first = min([*map(needed_from, kept), *([] if also is None else [also])])
        except SnapshotError as error:
            self._log.error(
                "a snapshot is damaged; no rows are given up until another has its place",
                model=self._name,
                reason=str(error),
            )
        else:
            self.stored.journal.truncate(first)

    def _write(self, copied: Copied, packed: Packed, last: bool) -> SnapshotFile:
        journal, position = self.stored.journal, copied.position
        journal.sync()  # a snapshot must not know of rows that a power cut could take
        digest = journal.digest_at(position)
        packed.notes |= copied.notes
        snapshot = write_snapshot(self.stored.snapshots, position, digest, packed, copied.held_since)
        self._give_up(last)
        incidentally(
            lambda: self._log.info(
                "snapshot taken", model=self._name, position=position, bytes=snapshot.path.stat().st_size
            )
        )
        return snapshot

    def _give_up(self, last: bool) -> None:
        """Give up older snapshots and the rows that no start needs; when all ends, only what is much."""
        journal, snapshots = self.stored.journal, self.stored.snapshots
        pruned = snapshots.prune(also=self._also_at()) is not None
        if pruned:
            self._gave_up(snapshots.all())
        if not last or journal.path.stat().st_size >= LARGE:
            if pruned and self._settings.journal_retention == "snapshots":
                self._truncate(snapshots.all())
            journal.expire_keys()
