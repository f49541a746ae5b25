"""Prometheus metrics: of requests as they end, of models as they are asked for.

What is counted in the course of a request is counted in plain numbers on the event loop, a tenth of what the
counters of prometheus_client take, which serve threads and so lock; its text is made of them when it is asked
for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.delayed_metrics import Delayed
from nonzero_service.models import Models

__all__ = ["Metrics"]

SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
BOUNDS: Final = (*map(str, map(float, SECONDS)), "+Inf")


class Metrics:
    """What one application counts; to be told on the event loop.

    Parameters
    ----------
    models
        The models whose state is told.
    """

    def __init__(self, models: Models) -> None:
        self._registry = CollectorRegistry()
        self._counted = _Counted()
        self._registry.register(self._counted)
        self._registry.register(_Learned(models))
        self._registry.register(Delayed(models))
        self._registry.register(_Sliced(models))
        ProcessCollector(registry=self._registry)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is its path's pattern, not its path."""
        self._counted.requests[route, method, str(status)] += 1
        durations = self._counted.durations[route]
        durations.total += seconds
        durations.counts[bisect_left(SECONDS, seconds)] += 1

    def predicted(self, model: str, examples: int) -> None:
        """Count predictions."""
        self._counted.predictions[model] += examples

    def rejected(self, model: str, lines: int) -> None:
        """Count lines of updates that could not be learned."""
        self._counted.rejected[model] += lines

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Durations:
    """How long requests took: how many fell up to each bound, and their sum in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        self.total = 0.0


class _Counted(Collector):
    """What was counted, by its labels."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.durations: defaultdict[str, _Durations] = defaultdict(_Durations)
        self.predictions: defaultdict[str, int] = defaultdict(int)
        self.rejected: defaultdict[str, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "nonzero_requests", "Requests answered.", labels=("route", "method", "status")
        )
        for labels, count in list(self.requests.items()):
            requests.add_metric(labels, count)
        yield requests
        seconds = HistogramMetricFamily(
            "nonzero_request_seconds",
            "Seconds from a request's head to its answer's end.",
            labels=("route",),
        )
        for route, durations in list(self.durations.items()):
            buckets = list(zip(BOUNDS, accumulate(durations.counts), strict=True))
            seconds.add_metric((route,), buckets, durations.total)
        yield seconds
        for name, text, counts in (
            ("nonzero_predictions", "Examples predicted.", self.predictions),
            ("nonzero_rejected_lines", "Lines of updates that could not be learned.", self.rejected),
        ):
            family = CounterMetricFamily(name, text, labels=("model",))
            for model, count in list(counts.items()):
                family.add_metric((model,), count)
            yield family


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


class _Sliced(Collector):
    """Predicted against observed clicks, by slice: at most 8 fields of 33 values a model."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        labels = ("model", "field", "value")
        examples, clicks, predicted = (
            CounterMetricFamily(f"nonzero_slice_{name}", text, labels=labels)
            for name, text in (
                ("examples", "Examples learned from, by the value of a field."),
                ("clicks", "Clicks among them, by importance weight."),
                ("predicted_clicks", "Clicks predicted just before, by importance weight."),
            )
        )
        for served in self._models.all():
            for field, slices in served.slices.all().items():
                for one in slices:
                    name = (served.name, field, "" if one.value is None else one.value)
                    examples.add_metric(name, one.examples)
                    clicks.add_metric(name, one.clicks)
                    predicted.add_metric(name, one.predicted)
        yield from (examples, clicks, predicted)
