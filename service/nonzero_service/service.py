"""Service: what every route needs, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.bodies.reading import Bodies
from nonzero_service.bodies.spool import Spool
from nonzero_service.journal.postgres.extra import check_journal
from nonzero_service.metrics.counts import Counts
from nonzero_service.models.metrics import ServiceMetrics
from nonzero_service.models.names import Looker
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from nonzero_service.workers.pool import WorkerPool

if TYPE_CHECKING:
    from nonzero_service.cluster.node import ClusterNode


class Keeper(Protocol):
    """Keeps predictions that have ids: :mod:`nonzero_service.models.impression_keeper` says how."""

    def keep(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        """Keep what was predicted with an id; from any thread."""

    async def synced(self) -> None:
        """Return when all that was kept before is as durable as was asked for."""


class Predictable(Protocol):
    """What predicting needs of a model."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def model(self) -> LogisticRegression:
        """The model itself, to be read."""

    @property
    def keeps(self) -> bool:
        """Whether predictions that have ids may teach it."""

    @property
    def keeper(self) -> Keeper:
        """What keeps predictions that have ids."""

    @property
    def names(self) -> Looker:
        """What learns the names of fields."""


class Findable(Protocol):
    """Where models are found."""

    def get_readable(self, name: str) -> Predictable:
        """Return a model by its name, to be read."""


M = TypeVar("M", bound=Findable, covariant=True)
C = TypeVar("C", bound=Counts, covariant=True)


@dataclass(frozen=True)
class ServiceParts(Generic[M, C]):
    """What predicting needs, in whichever process.

    Its models are those of the service or, in a worker, those that it has mapped.
    """

    settings: Settings
    models: M
    bodies: Bodies
    metrics: C

    def spool(self) -> Spool:
        """Make room for a streamed answer."""
        return Spool(self.settings.answer_bytes, self.settings.data_dir)


@dataclass(frozen=True)
class Service(ServiceParts[Models, ServiceMetrics]):
    """The parts of the application that learns."""

    pool: WorkerPool
    """The workers."""
    node: ClusterNode | None = None
    """What it is among others; None where it has a journal of its own."""

    @classmethod
    def of(
        cls, settings: Settings, on_failure: Callable[[Exception], None], pool: WorkerPool | None = None
    ) -> Service:
        """Make the parts; `on_failure` is told when the process must be started anew."""
        pool = pool or WorkerPool(settings.model_copy(update={"workers": 1}))
        if settings.journal is None:
            models, node = Models(settings, on_failure, pool if pool.sharing else None), None
        else:
            check_journal(settings.journal.get_secret_value())
            from nonzero_service.cluster.node import ClusterNode  # with it comes the database's client

            node = ClusterNode(settings, on_failure)
            models = node.models
        bodies, metrics = Bodies(settings), ServiceMetrics(models, pool)
        if settings.source:
            from nonzero_service.streams.metrics import source_metrics
            from nonzero_service.streams.sources import TopicSources  # with it comes the client of Kafka

            models.feeding = TopicSources(settings, bodies).feed
            metrics.others.append(partial(source_metrics, models))
        return cls(settings, models, bodies, metrics, pool, node)
