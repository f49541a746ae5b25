"""Prometheus metrics: of requests as they end, of models as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.counts import Counts
from nonzero_service.delayed_metrics import Delayed
from nonzero_service.models import Models

__all__ = ["Metrics"]


class Metrics(Counts):
    """What one application counts, and the state of its models.

    Parameters
    ----------
    models
        The models whose state is told.
    """

    def __init__(self, models: Models) -> None:
        super().__init__()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._registry.register(_Learned(models))
        self._registry.register(Delayed(models))
        self._registry.register(_Sliced(models))
        ProcessCollector(registry=self._registry)

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
                ("recalibration_gain", "Mean log loss that the map of the predictions saves, in nats."),
                ("recalibration_gain_low", "1.96 standard errors below that."),
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
            for name, value in (served.model.recalibration() or {}).items():
                if name in ("gain", "gain_low"):
                    values[f"recalibration_{name}"] = value
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
