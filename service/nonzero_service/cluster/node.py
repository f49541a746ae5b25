"""One node among several: all that a service has beside what it has alone, wired."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

import structlog
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from nonzero_service.bodies.reading import Bodies
from nonzero_service.cluster.asking import Asking
from nonzero_service.cluster.journals import ClusterJournals
from nonzero_service.cluster.membership import Membership, asked_why
from nonzero_service.cluster.metrics import cluster_metrics
from nonzero_service.cluster.models import ClusterModels
from nonzero_service.cluster.node_listener import NodeListener, host_and_port
from nonzero_service.cluster.noting import Noting
from nonzero_service.cluster.passing_on import PassingOn
from nonzero_service.cluster.roles import NodeRoles
from nonzero_service.cluster.shared_stores import SharedStores
from nonzero_service.errors import StartError
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.catalogue import Catalogue
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.ends import PostgresEnds
from nonzero_service.journal.postgres.leadership import Leadership
from nonzero_service.journal.postgres.register import NodeRegister, Reached
from nonzero_service.journal.postgres.snapshots import SharedSnapshots
from nonzero_service.logs import failure
from nonzero_service.models.metrics import ServiceMetrics
from nonzero_service.settings import Settings
from nonzero_service.workers.forward_server import ForwardServer
from nonzero_service.writer.sequences import sequence_of

AGAIN_SECONDS: Final = 1.0
"""So long after the database could not be reached it is tried again."""

ANY: Final = ("0.0.0.0", "::", "")  # noqa: S104 - any address, of which others need one


class Shares(Protocol):
    """An application that may be one of several nodes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

    def share(self, roles: NodeRoles, passing: PassingOn, leave: Callable[[], Awaitable[object]]) -> None:
        """Answer as things stand; `leave` is called at a stop, before the models are closed."""


class ClusterNode:
    """A node: its database, its models, its role, and what passes between nodes. Used on the event loop.

    Parameters
    ----------
    settings
        The service's.
    fail
        Told where the process is to be started anew.

    Attributes
    ----------
    models : ClusterModels
        Its models.
    membership : Membership
        Its role.
    """

    def __init__(self, settings: Settings, fail: Callable[[Exception], None]) -> None:
        assert settings.journal is not None and settings.node is not None  # noqa: S101, PT018 - both go together
        url, node = _plain(settings.journal), settings.node
        self._settings = settings
        self._fail = fail
        self._database = Database(url, node)
        snapshots = SharedSnapshots(self._database)
        shared = SharedStores(
            ClusterJournals(self._database),
            PostgresEnds(self._database),
            Catalogue(self._database, snapshots),
            snapshots,
        )
        self.models = ClusterModels(settings, fail, shared)
        self._leadership = Leadership(url, node)
        self.membership = Membership(settings, self._leadership, self.models, fail)
        self.models.doubt = self.membership.doubt
        self.membership.on_another_line(self.models.making_sure.ask)
        self.models.is_over = lambda: self.membership.is_over
        self.noting = Noting(self.membership, NodeRegister(url, node), self._reached)
        self._listener: NodeListener | None = None
        self._stopping = False
        self._preparing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("cluster")

    def join(
        self, app: Shares, bodies: Bodies, metrics: ServiceMetrics, tasks: set[asyncio.Task[None]]
    ) -> None:
        """Have an application answer as this node, as things stand.

        Parameters
        ----------
        app
            The application.
        bodies, metrics
            What it reads bodies by, and counts by.
        tasks
            The requests that are being answered.
        """
        membership, settings = self.membership, self._settings

        def writes() -> bool:
            return membership.role == "writing" and not self._stopping

        def secret() -> bytes | None:
            leader = membership.leader
            return leader.secret if writes() and leader is not None else None

        forwarded = ForwardServer(app, self.models, bodies, tasks, settings, writes)
        durable = settings.impressions == "durable"
        self._listener = NodeListener(forwarded, secret)
        passing = PassingOn(self.models, metrics, forwarded, durable=durable)
        app.share(membership, passing, self._leave)
        metrics.others.append(partial(cluster_metrics, membership, self.noting))

    def listen(self) -> None:
        """Listen for other nodes.

        Raises
        ------
        AddressError
            Where the address cannot be bound.
        """
        assert self._listener is not None  # noqa: S101 - it has joined
        self.membership.address = _reachable(self._listener.listen(self._settings.node_address))

    def begin(self, url: str) -> None:
        """Take part: let others in, and look who writes.

        Parameters
        ----------
        url
            Where clients reach this node.
        """
        assert self._listener is not None  # noqa: S101 - it has joined
        self.membership.url = url
        self._listener.begin()
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        """Have the tables there, and then take part; the database may not be there yet."""
        said = False
        asking = Asking("prepare", self._leadership.cut)
        while True:
            try:
                await asyncio.to_thread(self._database.prepare)
                break
            except JournalUnreachableError as error:
                if not said:
                    said = True
                    if why := await asked_why(asking, self._leadership):
                        self._log.error("the database answers, and commits nothing", reason=why)
                    else:
                        reason = str(error)
                        self._log.error("the database cannot be reached; it is tried again", reason=reason)
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is
                incidentally(self._log.error, "the database cannot be used", **failure(error))
                self._fail(StartError("the database cannot be used"))
                return
        asking.close()
        self.models.may_open.set()
        await self.membership.begin()
        await self.noting.begin()

    def stop(self) -> None:
        """Take no more from other nodes: they tell their clients to come again, and soon another writes."""
        self._stopping = True

    async def _leave(self) -> None:
        """Write no more, and let another node take over at once."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self.membership.close()
        await self.noting.close()

    def _reached(self) -> dict[str, Reached]:
        """Return how far this node is with each model."""
        return {
            one.name: Reached(one.learner.applier.position, sequence_of(one.model))
            for one in self.models.all()
        }

    async def close(self) -> None:
        """End all, when the models are closed."""
        if self._listener is not None:
            await self._listener.close()
        await asyncio.to_thread(self._database.close)


def _plain(url: SecretStr | str) -> str:
    return url.get_secret_value() if isinstance(url, SecretStr) else url


def _reachable(address: str) -> str:
    """Return an address under which other machines find this one."""
    host, port = host_and_port(address)
    return f"{socket.gethostname()}:{port}" if host in ANY else address
