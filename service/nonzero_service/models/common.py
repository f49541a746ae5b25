"""What all models of a process share: threads, where journals are kept, and who looks after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from nonzero.sources.places import Remote
from nonzero.sources.stores import filesystem
from nonzero_service.journal.journal import JournalStore
from nonzero_service.journal.sqlite.store import SqliteJournals
from nonzero_service.models.rounds import Rounds
from nonzero_service.models.store_check import StoreCheck
from nonzero_service.settings import Settings
from nonzero_service.writer.threads import WriterThreads

SNAPSHOTS_AT_ONCE: Final = 2
"""So many snapshots are taken at a time because they are due: each takes the memory of a table."""


def _store(url: str) -> Remote:
    """Return where snapshots are copied to, if what is needed for it is installed."""
    store = Remote(url)
    filesystem(store)
    return store


class Common:
    """What all models of a process share. Made on the event loop.

    Parameters
    ----------
    settings
        The service's.
    on_failure
        Told when a model can learn no more until the process is started anew.
    journals
        Where journals are kept that other processes share; None: they are in the models' directories.

    Raises
    ------
    StoreError
        Where snapshots are to be copied to a store that nothing installed can write to.
    """

    def __init__(
        self,
        settings: Settings,
        on_failure: Callable[[Exception], None],
        journals: JournalStore | None = None,
    ) -> None:
        self.settings = settings
        self.on_failure = on_failure
        self.threads = WriterThreads()
        self.journals: JournalStore = journals or SqliteJournals(settings.durability)
        self.rounds = Rounds()
        self.rounds.add(self)
        self.snapshotting = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self.store = None if settings.snapshot_store is None else _store(settings.snapshot_store)
        self.storing = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._store_check = None if self.store is None else StoreCheck(self.store)
        if self._store_check is not None:
            self.rounds.add(self._store_check)

    async def close(self) -> None:
        """End it all, when no model needs it any more."""
        await self.rounds.remove(self)
        if self._store_check is not None:
            await self.rounds.remove(self._store_check)
        await asyncio.to_thread(self._end_threads)

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what closes journals that are idle, where there may be some."""
        return asyncio.to_thread(self.journals.close_idle) if self.journals.is_crowded else None

    def _end_threads(self) -> None:
        self.threads.close()
        self.journals.close()
