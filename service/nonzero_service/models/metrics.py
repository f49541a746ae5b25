"""Prometheus metrics: of requests as they end, of models and workers as they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, Metric

from nonzero import LogisticRegression
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.metrics.counts import Counts
from nonzero_service.metrics.families import Samples, counter, gauge
from nonzero_service.metrics.process import Process
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel

__all__ = ["RecentFigures", "ServiceMetrics", "WorkerStates"]

LOOK_SECONDS: Final = 0.03
"""For so long recent figures are worked out before metrics are told."""

LABELS: Final = ("joined", "corrected", "unknown", "early", "duplicate", "conflicting", "gone")
UPDATES: Final[tuple[Verdict, ...]] = ("joined", "corrected", "duplicate", "conflicting", "gone")
IMPRESSIONS: Final = ("kept", "repeated", "expired", "thinned", "damaged", "lost", "refused")
QUANTILES: Final = (0.5, 0.9, 0.99)


class WorkerStates(Protocol):
    """What is told of the workers."""

    replaced: int
    """How many have ended and were replaced, or are to be."""

    def states(self) -> dict[str, int]:
        """Return how many workers are in each state."""


class ServiceMetrics(Counts):
    """What one application counts, and the state of its models and workers.

    Parameters
    ----------
    models
        The models whose state is told.
    workers
        The further processes of the service.
    """

    def __init__(self, models: Models, workers: WorkerStates) -> None:
        super().__init__()
        self.conflicting = self._conflicting
        self._models = models
        self._workers = workers
        self._recent = RecentFigures()
        self._process = Process()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format; that takes milliseconds, and any thread may ask."""
        self._recent.look([served.model for served in self._models.all()])
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        models = self._models.all()
        yield from super().collect()
        yield from _learned(models, self._recent)
        yield from _delayed(models, self.refused_impressions)
        yield from _sliced(models)
        yield from _worker_metrics(self._workers)
        yield from _fields(models)
        yield from self._process.collect()

    def _conflicting(self, model: str, conflicts: dict[str, int]) -> None:
        """Add what a worker has counted, unless the model was deleted meanwhile."""
        served = self._models.find(model)
        if served is not None:
            served.fields.conflicting(conflicts)


class _Recent(NamedTuple):
    """How well a model predicted lately."""

    examples: int
    """What it had learned from."""
    at: float
    """When that was, by the monotonic clock."""
    figures: dict[str, Any]
    """Of its metrics, those of the last examples."""


class RecentFigures:
    """How well each model predicted lately."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[LogisticRegression, _Recent] = WeakKeyDictionary()
        self._looking = threading.Lock()

    def look(self, models: Iterable[LogisticRegression]) -> None:
        """Work out how well each model that has learned since has predicted lately.

        It takes a millisecond of each. Where that is too long, the others' figures stay as they were, and
        those that have waited longest come first the next time.
        """
        with self._looking:
            until = time.monotonic() + LOOK_SECONDS
            for model in sorted(models, key=self._looked_at):
                known = self._known.get(model)
                if known is None or known.examples != model.examples:
                    now = time.monotonic()
                    self._known[model] = _Recent(model.examples, now, model.metrics()["recent"])
                    if now > until:
                        break

    def of(self, model: LogisticRegression, figure: str) -> float | None:
        """Return a figure of a model; None where it is not known."""
        known = self._known.get(model)
        return None if known is None else known.figures[figure]

    def _looked_at(self, model: LogisticRegression) -> float:
        known = self._known.get(model)
        return 0.0 if known is None else known.at


def _each(models: list[ServedModel], value: Callable[[ServedModel], float | None]) -> Samples:
    """Yield one value of each model."""
    return (((served.name,), value(served)) for served in models)


def _by_label(models: list[ServedModel], values: Callable[[ServedModel], Mapping[Any, float]]) -> Samples:
    """Yield several values of each model, by another label."""
    return (
        ((served.name, str(label)), value) for served in models for label, value in values(served).items()
    )


def _learned(models: list[ServedModel], recent: RecentFigures) -> Iterator[Metric]:
    """Yield how much every model has learned, and how well it predicts."""

    def gain(served: ServedModel, figure: str) -> float | None:
        return (served.model.recalibration() or {}).get(figure)

    told: tuple[tuple[str, str, Callable[[ServedModel], float | None]], ...] = (
        ("examples", "Examples applied since the model was made.", lambda one: one.model.examples),
        ("bytes", "The memory of the table, in bytes.", lambda one: one.model.nbytes),
        ("queued_bytes", "What waits for the learner, in bytes.", lambda one: one.learner.queued_bytes),
        (
            "recent_log_loss",
            "Mean log loss over the last 100,000 examples, in nats.",
            lambda one: recent.of(one.model, "log_loss"),
        ),
        (
            "recent_calibration",
            "Mean predicted over mean observed rate, over the last 100,000 examples.",
            lambda one: recent.of(one.model, "calibration"),
        ),
        (
            "recent_auc",
            "Area under the ROC curve over the last 100,000 examples.",
            lambda one: recent.of(one.model, "auc"),
        ),
        (
            "recalibration_gain",
            "Mean log loss that the map of the predictions saves, in nats.",
            lambda one: gain(one, "gain"),
        ),
        (
            "recalibration_gain_low",
            "1.96 standard errors below that.",
            lambda one: gain(one, "gain_low"),
        ),
    )
    for name, text, value in told:
        yield gauge(f"nonzero_model_{name}", text, ("model",), _each(models, value))


def _delayed(models: list[ServedModel], refused: Mapping[str, int]) -> Iterator[Metric]:
    """Yield what has become of impressions and labels, and whether learning is paused."""

    def counts(served: ServedModel) -> dict[str, int]:
        return {**served.attribution.impressions.counts, "refused": refused.get(served.name, 0)}

    def share(served: ServedModel) -> float | None:
        joined, ended = (counts(served).get(name, 0) for name in ("joined", "ended"))
        return joined / (joined + ended) if joined + ended else None

    def delays(served: ServedModel) -> dict[float, float]:
        found = list(served.attribution.impressions.delays)
        return {q: float(np.quantile(found, q)) / 1000 for q in QUANTILES} if found else {}

    def paused(served: ServedModel) -> dict[str, int]:
        pause = served.learner.pause
        return {(pause.reason or {}).get("figure", "none"): int(pause.since is not None)}

    yield gauge(
        "nonzero_pending_labels",
        "Predictions with an id that wait for their label.",
        ("model",),
        _each(models, lambda served: served.attribution.impressions.pending),
    )
    yield gauge(
        "nonzero_joined_share",
        "Of the predictions that were labelled or whose window ended: the share that was labelled.",
        ("model",),
        _each(models, share),
    )
    yield gauge(
        "nonzero_label_delay_seconds",
        "From prediction to label, of the last 10,000 labels that were learned from.",
        ("model", "quantile"),
        _by_label(models, delays),
    )
    yield counter(
        "nonzero_labels",
        "Labels, by what they met.",
        ("model", "verdict"),
        _by_label(models, lambda served: {one: counts(served).get(one, 0) for one in LABELS}),
    )
    yield counter(
        "nonzero_update_labels",
        "Examples of updates whose id is that of a prediction, and so its label, by what they met; they "
        "are among nonzero_labels too.",
        ("model", "verdict"),
        _by_label(models, lambda served: {one: served.attribution.updates[one] for one in UPDATES}),
    )
    yield counter(
        "nonzero_impressions",
        "Predictions with an id, by what became of them.",
        ("model", "outcome"),
        _by_label(models, lambda served: {one: counts(served).get(one, 0) for one in IMPRESSIONS}),
    )
    yield gauge(
        "nonzero_learning_paused",
        "1 while the circuit breaker holds examples, by the figure that jumped.",
        ("model", "figure"),
        _by_label(models, paused),
    )
    yield gauge(
        "nonzero_held_examples",
        "Examples that are held.",
        ("model",),
        _each(models, lambda served: served.learner.pause.examples),
    )
    yield counter(
        "nonzero_breaker_trips",
        "How often learning was paused.",
        ("model",),
        _each(models, lambda served: served.learner.pause.trips),
    )
    yield gauge(
        "nonzero_journal_clock_ahead_seconds",
        "The journal's clock less the machine's.",
        ("model",),
        _each(models, lambda served: served.stored.journal.clock.ahead_ms() / 1000),
    )


def _sliced(models: list[ServedModel]) -> Iterator[Metric]:
    """Yield predicted against observed clicks, by slice: at most 8 fields of 33 values a model."""
    found = [
        ((served.name, field, one.value or ""), one)
        for served in models
        for field, slices in served.slices.all().items()
        for one in slices
    ]
    for name, text, attribute in (
        ("examples", "Examples learned from, by the value of a field.", "examples"),
        ("clicks", "Clicks among them, by importance weight.", "clicks"),
        ("predicted_clicks", "Clicks predicted just before, by importance weight.", "predicted"),
    ):
        samples = ((labels, float(getattr(one, attribute))) for labels, one in found)
        yield counter(f"nonzero_slice_{name}", text, ("model", "field", "value"), samples)


def _worker_metrics(workers: WorkerStates) -> Iterator[Metric]:
    """Yield how the further processes of the service are."""
    states = (((state,), count) for state, count in workers.states().items())
    yield gauge("nonzero_workers", "Workers, by how they are.", ("state",), states)
    yield CounterMetricFamily(
        "nonzero_workers_replaced",
        "Workers that ended, or could not be started, and are tried again.",
        workers.replaced,
    )


def _fields(models: list[ServedModel]) -> Iterator[Metric]:
    """Yield the conflicts of at most 101 fields a model, and the fields that settings name in vain."""
    yield counter(
        "nonzero_schema_conflicts",
        "Values of another kind than their field's, by field.",
        ("model", "field"),
        _by_label(models, lambda served: served.fields.conflicts()),
    )
    yield gauge(
        "nonzero_schema_unseen",
        "1 for each field that interactions or slices name, and that has not come.",
        ("model", "field"),
        _by_label(models, lambda served: {one.field: 1 for one in served.fields.unseen()}),
    )
