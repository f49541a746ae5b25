"""Prometheus metrics: of requests as they end, of models and workers as they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from nonzero import LogisticRegression
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.metrics.counts import Counts, InFlight
from nonzero_service.metrics.families import Samples, family
from nonzero_service.metrics.process import Process
from nonzero_service.models.attribution import Attribution
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel

T = TypeVar("T")

LOOK_SECONDS: Final = 0.03
"""For so long recent figures are worked out before metrics are told."""

LABELS: Final = ("joined", "corrected", "unknown", "early", "duplicate", "conflicting", "gone")
UPDATES: Final[tuple[Verdict, ...]] = ("joined", "corrected", "duplicate", "conflicting", "gone")
IMPRESSIONS: Final = ("kept", "repeated", "expired", "thinned", "waited_out", "damaged", "lost", "refused")
LAST: Final = " of the last 100,000 examples, or of the predictions with an id that were answered"
QUANTILES: Final = (0.5, 0.9, 0.99)

Values = Callable[[ServedModel], Mapping[Any, float]]
"""Returns values of a model by another label."""


class WorkerStates(Protocol):
    """What is told of the workers."""

    replaced: int
    """How many have ended and were replaced, or are to be."""

    def states(self) -> dict[str, int]:
        """Return how many workers are in each state."""

    def in_flight(self) -> Iterable[InFlight]:
        """Return what each worker is answering."""


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
        self._recent = figures_of_learned()
        self._served = figures_of_served()
        self._process = Process()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format; that takes milliseconds, and any thread may ask."""
        models = self._models.all()
        self._recent.look([one.model for one in models])
        self._served.look([one.attribution for one in models if one.attribution.impressions.next_number])
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        models = self._models.all()
        yield from super().collect()
        yield from _in_flight([self.in_flight(), *self._workers.in_flight()])
        yield from _learned(models, self._recent, self._served)
        yield from _delayed(models, self.refused_impressions)
        yield from _served(models, self._served)
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
    """How good predictions were lately."""

    version: object
    """What of; another where there is more to look at."""
    at: float
    """When that was, by the monotonic clock."""
    figures: dict[str, Any]


class RecentFigures(Generic[T]):
    """How good the predictions of each model were lately.

    Parameters
    ----------
    version
        Returns of a model something that changes where its figures may.
    figures
        Works them out, which takes a millisecond.
    """

    def __init__(self, version: Callable[[T], object], figures: Callable[[T], dict[str, Any]]) -> None:
        self._version = version
        self._figures = figures
        self._known: WeakKeyDictionary[T, _Recent] = WeakKeyDictionary()
        self._looking = threading.Lock()

    def look(self, models: Iterable[T]) -> None:
        """Work out the figures of each model of which there is more to look at.

        Where that takes too long, the others' figures stay as they were, and those that have waited longest
        come first the next time.
        """
        with self._looking:
            until = time.monotonic() + LOOK_SECONDS
            for model in sorted(models, key=self._looked_at):
                known, version = self._known.get(model), self._version(model)
                if known is None or known.version != version:
                    now = time.monotonic()
                    self._known[model] = _Recent(version, now, self._figures(model))
                    if now > until:
                        break

    def of(self, model: T, figure: str) -> float | None:
        """Return a figure of a model; None where it is not known."""
        known = self._known.get(model)
        return None if known is None else known.figures[figure]

    def _looked_at(self, model: T) -> float:
        known = self._known.get(model)
        return 0.0 if known is None else known.at


def figures_of_learned() -> RecentFigures[LogisticRegression]:
    """Return what works out how good predictions were just before their examples were learned from."""
    return RecentFigures(lambda model: model.examples, lambda model: model.metrics()["recent"])


def figures_of_served() -> RecentFigures[Attribution]:
    """Return what works out how good predictions were that were answered."""
    return RecentFigures(lambda one: one.now_ms // 1000, Attribution.served)


class _Families:
    """Makes a family of metrics of a function that returns a model's value, or values by another label."""

    def __init__(self, models: list[ServedModel]) -> None:
        self._models = models

    def gauge(self, name: str, text: str, value: Callable[[ServedModel], float | None]) -> Metric:
        samples = (((one.name,), value(one)) for one in self._models)
        return family(GaugeMetricFamily, f"nonzero_{name}", text, ("model",), samples)

    def gauges(self, name: str, label: str, text: str, values: Values) -> Metric:
        return family(GaugeMetricFamily, f"nonzero_{name}", text, ("model", label), self._samples(values))

    def counters(self, name: str, label: str, text: str, values: Values) -> Metric:
        return family(CounterMetricFamily, f"nonzero_{name}", text, ("model", label), self._samples(values))

    def _samples(self, values: Values) -> Samples:
        return (((one.name, str(label)), n) for one in self._models for label, n in values(one).items())


def _learned(
    models: list[ServedModel],
    recent: RecentFigures[LogisticRegression],
    answered: RecentFigures[Attribution],
) -> Iterator[Metric]:
    """Yield how much every model has learned, and how well it predicts."""
    gauge = _Families(models).gauge

    def gain(figure: str) -> Callable[[ServedModel], float | None]:
        return lambda one: (one.model.recalibration() or {}).get(figure)

    def lately(figure: str) -> Callable[[ServedModel], float | None]:
        def value(one: ServedModel) -> float | None:
            # What a label policy teaches, and in which order, says nothing of what was answered.
            if one.attribution.is_usual:
                return answered.of(one.attribution, figure)
            return recent.of(one.model, figure)

        return value

    yield gauge(
        "model_examples", "Examples applied since the model was made.", lambda one: one.model.examples
    )
    yield gauge("model_bytes", "The memory of the table, in bytes.", lambda one: one.model.nbytes)
    waits = "What waits for the learner, in bytes."
    yield gauge("model_queued_bytes", waits, lambda one: one.learner.queued_bytes)
    for name, text, value in (
        ("recent_log_loss", f"Mean log loss{LAST}, in nats.", lately("log_loss")),
        ("recent_calibration", f"Predicted over observed clicks{LAST}.", lately("calibration")),
        ("recent_auc", f"Area under the ROC curve{LAST}.", lately("auc")),
        ("recalibration_gain", "Mean log loss that the map of the predictions saves, in nats.", gain("gain")),
        ("recalibration_gain_low", "1.96 standard errors below that.", gain("gain_low")),
    ):
        yield gauge(f"model_{name}", text, value)


def _delayed(models: list[ServedModel], refused: Mapping[str, int]) -> Iterator[Metric]:
    """Yield what has become of impressions and labels, and whether learning is paused."""
    of = _Families(models)

    def counted(names: Iterable[str]) -> Values:
        return lambda one: {
            name: {**one.attribution.impressions.counts, "refused": refused.get(one.name, 0)}.get(name, 0)
            for name in names
        }

    def share(one: ServedModel) -> float | None:
        joined, ended = counted(("joined", "ended"))(one).values()
        return joined / (joined + ended) if joined + ended else None

    def delays(one: ServedModel) -> dict[float, float]:
        found = list(one.attribution.impressions.delays)
        return {q: float(np.quantile(found, q)) / 1000 for q in QUANTILES} if found else {}

    def paused(one: ServedModel) -> dict[str, int]:
        pause = one.learner.pause
        return {(pause.reason or {}).get("figure", "none"): int(pause.since is not None)}

    text = "Predictions with an id that wait for their label."
    yield of.gauge("pending_labels", text, lambda one: one.attribution.impressions.pending)
    text = "Of the predictions that were labelled or whose window ended: the share that was labelled."
    yield of.gauge("joined_share", text, share)
    text = "From prediction to label, of the last 10,000 labels that were learned from."
    yield of.gauges("label_delay_seconds", "quantile", text, delays)
    yield of.counters("labels", "verdict", "Labels, by what they met.", counted(LABELS))
    text = (
        "Examples of updates whose id is that of a prediction, and so its label, by what they met; they "
        "are among nonzero_labels too."
    )
    verdicts: Values = lambda one: {name: one.attribution.impressions.updates[name] for name in UPDATES}  # noqa: E731
    yield of.counters("update_labels", "verdict", text, verdicts)
    text = "Predictions with an id, by what became of them."
    yield of.counters("impressions", "outcome", text, counted(IMPRESSIONS))
    text = "1 while the circuit breaker holds examples, by the figure that jumped."
    yield of.gauges("learning_paused", "figure", text, paused)
    yield of.gauge("held_examples", "Examples that are held.", lambda one: one.learner.pause.examples)
    trips = (((one.name,), one.learner.pause.trips) for one in models)
    text = "How often learning was paused."
    yield family(CounterMetricFamily, "nonzero_breaker_trips", text, ("model",), trips)
    text = "The journal's clock less the machine's."
    ahead: Callable[[ServedModel], float] = lambda one: one.stored.journal.clock.ahead_ms() / 1000  # noqa: E731
    yield of.gauge("journal_clock_ahead_seconds", text, ahead)


def _served(models: list[ServedModel], answered: RecentFigures[Attribution]) -> Iterator[Metric]:
    """Yield how good the predictions were that were answered, and whether labels come."""
    gauge = _Families(models).gauge

    def of(figure: str) -> Callable[[ServedModel], float | None]:
        return lambda one: answered.of(one.attribution, figure)

    silences = {one.name: one.attribution.silence() for one in models}
    text = "The last predictions with an id, 100,000 at most, whose clicks have come, mostly."
    yield gauge("served_impressions", text, of("examples"))
    text = "Predicted over observed clicks of these, by what was answered."
    yield gauge("served_calibration", text, of("calibration"))
    yield gauge("served_log_loss", "Mean log loss of what was answered for these, in nats.", of("log_loss"))
    text = "Predictions with an id that wait for clicks before they are learned from."
    yield gauge("waiting_impressions", text, lambda one: one.attribution.impressions.waiting_count)
    text = "Clicks expected of what was learned at once, less those that came."
    yield gauge("label_balance", text, lambda one: one.attribution.impressions.gate.balance)
    text = "Since the last label came, or the process started."
    yield gauge("label_silence_seconds", text, lambda one: silences[one.name].seconds)
    text = "The clicks that were predicted since."
    yield gauge("label_silence_clicks", text, lambda one: silences[one.name].predicted_clicks)
    text = "1 while no labels come for longer than usual, and than chance explains."
    yield gauge("label_outage", text, lambda one: int(silences[one.name].is_outage))


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
        labels = ("model", "field", "value")
        yield family(CounterMetricFamily, f"nonzero_slice_{name}", text, labels, samples)


def _in_flight(processes: list[InFlight]) -> Iterator[Metric]:
    """Yield what all processes are answering, against the limits ``max_requests`` and ``in_flight_bytes``."""
    text = "Requests that are being answered."
    yield GaugeMetricFamily("nonzero_requests_in_flight", text, sum(one.requests for one in processes))
    text = "Bytes that they may hold of their bodies."
    yield GaugeMetricFamily("nonzero_in_flight_bytes", text, sum(one.nbytes for one in processes))


def _worker_metrics(workers: WorkerStates) -> Iterator[Metric]:
    """Yield how the further processes of the service are."""
    states = (((state,), count) for state, count in workers.states().items())
    yield family(GaugeMetricFamily, "nonzero_workers", "Workers, by how they are.", ("state",), states)
    text = "Workers that ended, or could not be started, and are tried again."
    yield CounterMetricFamily("nonzero_workers_replaced", text, workers.replaced)


def _fields(models: list[ServedModel]) -> Iterator[Metric]:
    """Yield the conflicts of at most 101 fields a model, and the fields that settings name in vain."""
    of = _Families(models)
    text = "Values of another kind than their field's, by field."
    yield of.counters("schema_conflicts", "field", text, lambda one: one.fields.conflicts())
    text = "1 for each field that interactions or slices name, and that has not come."
    yield of.gauges(
        "schema_unseen", "field", text, lambda one: {field.field: 1 for field in one.fields.unseen()}
    )
