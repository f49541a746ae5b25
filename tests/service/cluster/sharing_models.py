"""The models of nodes in one process, over a real database: a test gives each its role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from nonzero_service.cluster.journals import ClusterJournals
from nonzero_service.cluster.models import ClusterModels
from nonzero_service.cluster.shared_stores import SharedStores
from nonzero_service.journal.postgres.catalogue import Catalogue
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.ends import PostgresEnds
from nonzero_service.journal.postgres.leadership import Leadership
from nonzero_service.journal.postgres.snapshots import SharedSnapshots
from nonzero_service.models.registry import DEFAULT
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from service.failures import no_failure
from waiting import until_in_loop

__all__ = ["NodeModels", "nodes"]


class NodeModels(ClusterModels):
    """The models of a node, which takes the role that it is told."""

    def __init__(self, name: str, url: str, place: Path, **settings: Any) -> None:
        self.url, self.node = url, name
        self.database = Database(url, name, append_seconds=4)
        snapshots = SharedSnapshots(self.database)
        self.catalogue = Catalogue(self.database, snapshots)
        shared = SharedStores(
            ClusterJournals(self.database), PostgresEnds(self.database), self.catalogue, snapshots
        )
        flags = {"bits": 12, "journal": url, "node": name, **settings}
        super().__init__(Settings.load(data_dir=place / name, **flags), no_failure, shared)
        self.doubts: list[Exception] = []
        self.doubt = lambda error, _: self.doubts.append(error)
        self._opening: asyncio.Task[None] | None = None
        self.leadership = Leadership(url, name)

    def begin(self) -> None:
        """Begin to open them."""
        self.database.prepare()
        self.may_open.set()
        self._opening = asyncio.create_task(self.open())

    async def opened(self) -> NodeModels:
        assert self._opening is not None
        await self._opening
        return self

    async def write(self) -> int:
        """Take over, whoever writes; return the term."""
        seen = await asyncio.to_thread(self.leadership.observe)
        term = await asyncio.to_thread(self.leadership.take, seen, "", "", b"secret")
        assert term is not None
        await self.take_over(term)
        return term

    async def end(self) -> None:
        await self.close()
        self.leadership.close()
        self.database.close()

    @property
    def default(self) -> ServedModel:
        return self.get(DEFAULT)


@asynccontextmanager
async def nodes(url: str, place: Path, names: str = "ab", **settings: Any) -> AsyncIterator[list[NodeModels]]:
    """Have the models of some nodes; the first writes."""
    all_nodes = [NodeModels(name, url, place, **settings) for name in names]
    try:
        for one in all_nodes:
            one.begin()
        await all_nodes[0].write()
        for one in all_nodes:
            await one.opened()
        yield all_nodes
    finally:
        for one in all_nodes:
            await one.end()


async def met(*some: NodeModels) -> None:
    """Wait until all have folded all that is written."""

    def positions() -> list[int | None]:
        models = [
            one.find(DEFAULT) for one in some
        ]  # one that another node has just made may not be here yet
        return [None if served is None else served.learner.applier.position for served in models]

    def ends() -> int:
        with psycopg.connect(some[0].url) as connection:
            row = connection.execute(
                "SELECT max(position) FROM nonzero.rows JOIN nonzero.models ON model = id "
                "WHERE name = 'default' AND NOT removed"
            ).fetchone()
        assert row is not None
        return int(row[0])

    await until_in_loop(lambda: set(positions()) == {ends()}, lambda: (positions(), ends()))
