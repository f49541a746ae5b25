"""What the metrics tell of the workers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.workers.pool import WorkerPool

__all__ = ["WorkerMetrics"]


class WorkerMetrics(Collector):
    """The further processes of the service."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Return how many there are of each state, and how many were replaced."""
        workers = GaugeMetricFamily("nonzero_workers", "Workers, by how they are.", labels=("state",))
        for state, count in self._pool.states().items():
            workers.add_metric((state,), count)
        yield workers
        yield CounterMetricFamily(
            "nonzero_workers_replaced",
            "Workers that ended, or could not be started, and are tried again.",
            self._pool.replaced,
        )
