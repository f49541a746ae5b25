"""Prometheus metrics: of requests as they end, of models as they are asked for."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero import LogisticRegression
from nonzero_service.metrics.counts import Counts
from nonzero_service.metrics.delayed import Delayed
from nonzero_service.metrics.fields import FieldMetrics
from nonzero_service.metrics.process import Process
from nonzero_service.models.registry import Models

__all__ = ["Metrics"]

LOOK_SECONDS: Final = 0.03
"""For so long recent figures are worked out before metrics are told."""


class Metrics(Counts):
    """What one application counts, and the state of its models.

    Parameters
    ----------
    models
        The models whose state is told.
    *others
        What else is told.
    """

    def __init__(self, models: Models, *others: Collector) -> None:
        super().__init__()
        self._models = models
        self.conflicting = self._conflicting
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._learned = _Learned(models)
        self._registry.register(self._learned)
        self._registry.register(Delayed(models, self))
        self._registry.register(_Sliced(models))
        for collector in others:
            self._registry.register(collector)
        self._registry.register(FieldMetrics(models))
        self._registry.register(Process())

    def text(self) -> bytes:
        """Return everything in Prometheus' text format; that takes milliseconds, and any thread may ask."""
        self._learned.look()
        return generate_latest(self._registry)

    def _conflicting(self, model: str, conflicts: dict[str, int]) -> None:
        """Add what a worker has counted, unless the model was deleted meanwhile."""
        served = self._models.find(model)
        if served is not None:
            served.fields.conflicting(conflicts)


class _Recent(NamedTuple):
    """How well a model predicted lately."""

    model: weakref.ref[LogisticRegression]
    """The model: another one may have its name."""
    examples: int
    """What it had learned from."""
    at: float
    """When that was, by the monotonic clock."""
    figures: dict[str, Any]
    """Of its metrics, those of the last examples."""


def _at(known: _Recent | None) -> float:
    return 0.0 if known is None else known.at


class _Learned(Collector):
    """The state of every model."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._recent: dict[str, _Recent] = {}
        self._looking = threading.Lock()

    def look(self) -> None:
        """Work out how well each model that has learned since has predicted lately.

        It takes a millisecond of each. Where that is too long, the others' figures stay as they were, and
        those that have waited longest come first the next time.
        """
        with self._looking:
            until, late = time.monotonic() + LOOK_SECONDS, False
            before, found = self._recent, {}
            for served in sorted(self._models.all(), key=lambda one: _at(before.get(one.name))):
                known, model = before.get(served.name), served.model
                fresh = known is not None and known.model() is model and known.examples == model.examples
                if not fresh and not late:
                    now = time.monotonic()
                    late = now > until
                    known = _Recent(weakref.ref(model), model.examples, now, model.metrics()["recent"])
                if known is not None:
                    found[served.name] = known
            self._recent = found

    def collect(self) -> Iterator[Metric]:
        """Yield all of it."""
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
            values = {
                "examples": served.model.examples,
                "bytes": served.model.nbytes,
                "queued_bytes": served.learner.queued_bytes,
            }
            known = self._recent.get(served.name)
            if known is not None and known.model() is served.model:
                values |= {f"recent_{key}": known.figures[key] for key in ("log_loss", "calibration", "auc")}
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
