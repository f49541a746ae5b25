"""Sharing a model's snapshots: when one is due its writer sends it, and gives up what no node needs any more.

A node whose disk is empty, or that was away for long, begins from a shared snapshot and reads the rows behind
it. So one is due when these rows take longer to read than the snapshot: the more the larger it is, so that
snapshots are a fifth of what is written at most.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import FencedError, JournalClosedError
from nonzero_service.journal.postgres.catalogue import Catalogue
from nonzero_service.journal.postgres.snapshots import SharedSnapshot, SharedSnapshots
from nonzero_service.journal.snapshots import SnapshotFile
from nonzero_service.logs import failure
from nonzero_service.models.served import ServedModel
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.snapshot_scheduler import RETRY_SECONDS

LEAST_BYTES: Final = 256 * 2**20
"""Bytes of rows before which the next is not due, for a small model: they are read in about a second."""

TIMES: Final = 4
"""Of a large model it is due after so many times its snapshot's bytes."""

OFTEN_SECONDS: Final = 60.0 * 60
"""After so long it is due where the rows come to a quarter of the snapshot's bytes."""

SELDOM_SECONDS: Final = 24 * 60.0 * 60
"""After so long it is due where there are any."""

SENT_AT_ONCE: Final = 2
"""So many are sent at a time."""

KEYS_SECONDS: Final = 60.0 * 60
"""So often expired keys are given up."""


class SnapshotSharing:
    """Shares the snapshots of one model, which this node writes. Used on the event loop.

    Rounds look after it (:class:`~nonzero_service.models.rounds.Rounds`).

    Parameters
    ----------
    served
        The model, opened for writing.
    model
        Its number in the catalogue.
    term
        Under which this node writes.
    catalogue, snapshots
        The cluster's.
    keeps_rows
        Whether the journal's rows stay, whatever snapshots there are.
    gate
        Bounds how many are sent at a time.
    """

    def __init__(
        self,
        served: ServedModel,
        model: int,
        term: int,
        catalogue: Catalogue,
        snapshots: SharedSnapshots,
        *,
        keeps_rows: bool,
        gate: asyncio.Semaphore,
    ) -> None:
        self._served = served
        self._model = model
        self._term = term
        self._catalogue = catalogue
        self._snapshots = snapshots
        self._keeps_rows = keeps_rows
        self._gate = gate
        self._newest: SharedSnapshot | None = None
        self._since = time.monotonic()
        self._bytes_then = 0
        self._has_begun = False
        self._not_before = 0.0
        self._keys_at = time.monotonic() + KEYS_SECONDS
        self._ended = threading.Event()
        self.failures = 0
        """How many were due and could not be shared, since this node writes."""
        self._log = structlog.get_logger("snapshots")

    async def begin(self) -> None:
        """Look how far what is shared is behind; the first look does it, so that no take-over waits for it.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        appended = self._served.learner.appended_bytes
        self._newest, behind = await asyncio.to_thread(self._look_behind)
        self._since = time.monotonic() - (0.0 if self._newest is None else self._newest.age_seconds)
        self._bytes_then = appended - behind
        self._has_begun = True

    def _look_behind(self) -> tuple[SharedSnapshot | None, int]:
        newest = self._snapshots.newest(self._model)
        return newest, self._catalogue.row_bytes(self._model, 0 if newest is None else newest.position)

    @property
    def age_seconds(self) -> float:
        """How long ago the newest one was shared; 0 where nothing has come since."""
        return time.monotonic() - self._since if self._is_behind else 0.0

    @property
    def _is_behind(self) -> bool:
        shared = 1 if self._newest is None else self._newest.position
        return self._served.learner.applier.position > shared

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what shares a snapshot, or gives up expired keys, where that is due."""
        now = time.monotonic()
        if now >= self._not_before and not self._has_begun:
            return self._tried(self.begin)
        if now >= self._not_before and self._is_due():
            return self._tried(self.share)
        if now >= self._keys_at:
            self._keys_at = now + KEYS_SECONDS
            return self._tried(lambda: asyncio.to_thread(self._served.stored.journal.expire_keys))
        return None

    def _is_due(self) -> bool:
        if not self._is_behind:
            return False
        grown = self._served.learner.appended_bytes - self._bytes_then
        size = 0 if self._newest is None else self._newest.nbytes
        age = time.monotonic() - self._since
        return (
            grown >= max(LEAST_BYTES, TIMES * size)
            or (age >= OFTEN_SECONDS and grown * TIMES >= size)
            or age >= SELDOM_SECONDS
        )

    async def _tried(self, do: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            async with self._gate:
                await asyncio.shield(do())
        except FencedError:  # this node is about to learn of it
            self.end()
        except JournalClosedError:  # it has ended
            return
        except Exception as error:  # noqa: BLE001 - one that fails must not be the last that is tried
            self._not_before = time.monotonic() + RETRY_SECONDS
            self.failures += 1
            incidentally(
                self._log.warning,
                "no snapshot could be shared",
                model=self._served.name,
                **failure(error),
            )

    async def share(self) -> SharedSnapshot:
        """Share the model as it is, and give up what no node needs then.

        Raises
        ------
        FencedError
            Where another node leads.
        JournalClosedError
            Where this has ended meanwhile.
        JournalUnreachableError, DiskFullError, OSError
            Where the disk or the database refuses.
        """
        learner = self._served.learner
        begun, appended = time.monotonic(), learner.appended_bytes
        taken = await self._served.snapshots.take()
        shared = await asyncio.to_thread(self._send, taken.snapshot)
        self._newest, self._since, self._bytes_then = shared, begun, appended
        return shared

    def _send(self, file: SnapshotFile) -> SharedSnapshot:
        shared = self._snapshots.put(
            self._term, self._model, file.position, file.path, needed_from(file), self._ended
        )
        incidentally(
            lambda: self._log.info(
                "snapshot shared", model=self._served.name, position=shared.position, bytes=shared.nbytes
            )
        )
        self._prune()
        return shared

    def _prune(self) -> None:
        """Give up older snapshots, the rows that no start from the others needs, and expired keys."""
        journal = self._served.stored.journal
        self._snapshots.prune(self._term, self._model)
        kept = self._snapshots.all(self._model)
        if len(kept) > 1 and not self._keeps_rows:  # the second takes over where the first is damaged
            also = self._served.dependents.needed_from()
            needed = [one.needed_from for one in kept]
            journal.truncate(min(needed if also is None else [*needed, also]))
        journal.expire_keys()

    def end(self) -> None:
        """Let what is being sent be broken off, before this node writes no more. It may be called again."""
        self._not_before = self._keys_at = float("inf")
        self._ended.set()
