"""PassingOn: what a node that follows does not answer itself, answered by the one that writes.

A request is passed on once: the node that it comes to answers it, or says that it does not write just now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import Receive, Scope, Send

from nonzero_service.cluster.followed_models import FollowedModels
from nonzero_service.cluster.handing_on import HandingOn
from nonzero_service.cluster.roles import Leader
from nonzero_service.cluster.writer_link import WriterLink
from nonzero_service.errors import WriterLostError
from nonzero_service.http.accounting import Accounting
from nonzero_service.http.routing import Need
from nonzero_service.metrics.counts import Counts
from nonzero_service.models.served_models import ServedModels
from nonzero_service.workers.request_messages import ImpressionsKept, KeepImpressions

NOBODY: Final = "nobody writes just now: a node is to take over within seconds; nothing was done, try again"
TAKING_OVER: Final = "this node is taking over, and does not write yet; nothing was done, try again"

PATIENCE: Final = 1.0
"""Seconds for which a label waits for impressions that were predicted before it."""


class Keeping(Protocol):
    """What keeps impressions where this node writes itself."""

    async def keep(self, impressions: KeepImpressions) -> ImpressionsKept:
        """Keep impressions."""


class PassingOn:
    """An ASGI application that has the node that writes answer; used on the event loop.

    Parameters
    ----------
    models
        This node's.
    counts
        Where requests are counted that the node that writes does not answer; it counts the others.
    here
        Keeps impressions where this node writes: those that wait when it takes over.
    durable
        Whether a prediction waits until its impression is durable.

    Attributes
    ----------
    impressions : HandingOn
        What was predicted here with an id, on its way.
    models : FollowedModels
        The models, as predictions read them while this node follows.
    """

    def __init__(self, models: ServedModels, counts: Counts, here: Keeping, *, durable: bool) -> None:
        def lost(name: str, count: int, error: BaseException) -> None:
            served = models.find(name)
            if served is not None:
                served.impressions.lost(count, error)

        self.impressions = HandingOn(self._keep, lost, durable=durable)
        self.models = FollowedModels(models, self.impressions.keep)
        self._counts = counts
        self._accounting = Accounting(counts)
        self._here = here
        self._link: WriterLink | None = None
        self._writes = False
        self._why = NOBODY
        self._retiring: dict[asyncio.Task[None], WriterLink] = {}
        self._passed_on = 0

    def follow(self, leader: Leader | None, why: str = NOBODY) -> None:
        """Pass on to a leader from now on; to None: refuse, and tell why."""
        self._writes = False
        self._why = why
        link = self._link
        if link is not None and leader is not None and link.leader == leader:
            return
        self._link = None if leader is None else WriterLink(leader, self._counts)
        if link is not None:  # what it has under way it may answer still
            self._passed_on += link.forwarder.passed_on
            task = link.retire()
            self._retiring[task] = link
            task.add_done_callback(lambda task: self._retiring.pop(task, None))

    def write(self) -> None:
        """Take it that this node writes: nothing is passed on, and what waits is kept here."""
        self.follow(None)
        self._writes = True

    async def close(self, seconds: float) -> None:
        """Hand on what waits, for so long at most; then end all connections."""
        await self.impressions.close(seconds)
        links = [*self._retiring.values(), *filter(None, [self._link])]
        for task in list(self._retiring):
            task.cancel()
        self._link = None
        for link in links:
            await link.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have one request answered."""
        if (
            scope["target"].need is Need.UPDATE
            and self._link is not None
            and not self._link.forwarder.refuses
        ):
            await self.impressions.passed(PATIENCE)
        link = self._link
        if link is None:
            await self._accounting.refuse(WriterLostError(self._why), scope, receive, send)
        else:
            await link.forwarder(scope, receive, send)

    async def _keep(self, *impressions: KeepImpressions) -> list[ImpressionsKept]:
        """Have whoever writes keep impressions."""
        if self._writes:
            return await asyncio.gather(*map(self._here.keep, impressions))
        if self._link is None:
            raise WriterLostError(self._why)
        return await self._link.forwarder.keep(*impressions)

    def collect(self) -> Iterator[Metric]:
        """Yield what was passed on, as Prometheus names it."""
        yield CounterMetricFamily(
            "nonzero_passed_on_requests",
            "Requests that were passed on to the node that writes, which counts those that it answers.",
            self._passed_on + (0 if self._link is None else self._link.forwarder.passed_on),
        )
        yield CounterMetricFamily(
            "nonzero_handed_on_impressions",
            "Predictions with an id of this node that the node that writes has taken.",
            self.impressions.handed_on,
        )
        yield GaugeMetricFamily(
            "nonzero_waiting_to_be_handed_on_bytes",
            "Bytes of predictions with an id that wait for a node that writes.",
            self.impressions.nbytes,
        )
