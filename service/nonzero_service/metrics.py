"""Prometheus metrics: of requests as they end, of models as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.models import Models

__all__ = ["Metrics"]

SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


# When a series began is of no use here, and doubles the text.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What one application counts.

    Parameters
    ----------
    models
        The models whose state is told.
    """

    def __init__(self, models: Models) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "nonzero_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "nonzero_request_seconds",
            "Seconds from a request's head to its answer's end.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._predictions = Counter(
            "nonzero_predictions", "Examples predicted.", ("model",), registry=self._registry
        )
        self._rejected = Counter(
            "nonzero_rejected_lines",
            "Lines of updates that could not be learned.",
            ("model",),
            registry=self._registry,
        )
        self._registry.register(_Learned(models))
        ProcessCollector(registry=self._registry)
        # Finding a labelled child costs more than counting; models, routes, methods and statuses are few.
        self._predicted: dict[str, Callable[[float], None]] = {}
        self._children: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is its path's pattern, not its path."""
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:
            counter = self._requests.labels(route, method, str(status))
            child = self._children[key] = (counter.inc, self._seconds.labels(route).observe)
        child[0]()
        child[1](seconds)

    def predicted(self, model: str, examples: int) -> None:
        """Count predictions."""
        count = self._predicted.get(model)
        if count is None:
            count = self._predicted[model] = self._predictions.labels(model).inc
        count(examples)

    def rejected(self, model: str, lines: int) -> None:
        """Count lines of updates that could not be learned."""
        self._rejected.labels(model).inc(lines)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Learned(Collector):
    """The state of every model."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        families = {
            name: GaugeMetricFamily(f"nonzero_model_{name}", text, labels=("model",))
            for name, text in (
                ("examples", "Examples applied since the model was made."),
                ("bytes", "The memory of the table, in bytes."),
                ("queued_bytes", "What waits for the learner, in bytes."),
                ("recent_log_loss", "Mean log loss over the last 100,000 examples, in nats."),
                (
                    "recent_calibration",
                    "Mean predicted over mean observed rate, over the last 100,000 examples.",
                ),
                ("recent_auc", "Area under the ROC curve over the last 100,000 examples."),
            )
        }
        for served in self._models.all():
            recent = served.model.metrics()["recent"]
            values = {
                "examples": served.model.examples,
                "bytes": served.model.nbytes,
                "queued_bytes": served.learner.queued_bytes,
                **{f"recent_{key}": recent[key] for key in ("log_loss", "calibration", "auc")},
            }
            for name, value in values.items():
                if value is not None:
                    families[name].add_metric((served.name,), value)
        yield from families.values()
