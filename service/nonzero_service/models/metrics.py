"""Prometheus metrics: of requests as they end, of models and workers as they are asked for.

What is told of a model is kept as text, and made anew when the model has moved: of 1,000 models few have,
from one scrape to the next.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from nonzero import LogisticRegression, __version__
from nonzero.native.loading import target
from nonzero_service.metrics.counts import Counts, InFlight
from nonzero_service.metrics.families import family
from nonzero_service.metrics.pacing import Pace
from nonzero_service.metrics.process import Process
from nonzero_service.models import series
from nonzero_service.models.challenger_series import FollowedFigures, followed
from nonzero_service.models.recent_figures import figures_of_learned, figures_of_served
from nonzero_service.models.served import ServedModel
from nonzero_service.models.served_models import ServedModels


class WorkerStates(Protocol):
    """What is told of the workers."""

    replaced: int
    """How many have ended and were replaced, or are to be."""

    def states(self) -> dict[str, int]:
        """Return how many workers are in each state."""

    def in_flight(self) -> Iterable[InFlight]:
        """Return what each worker is answering."""


class _Kept(NamedTuple):
    """What is told of a model, as text."""

    version: object
    """What of; another where it has moved."""
    lines: list[str]
    """Those of each series."""


class ServiceMetrics(Counts):
    """What one application counts, and the state of its models and workers.

    Parameters
    ----------
    models
        The models whose state is told.
    workers
        The further processes of the service.
    """

    def __init__(self, models: ServedModels, workers: WorkerStates) -> None:
        super().__init__()
        self.conflicting = self._conflicting
        self.others: list[Callable[[], Iterable[Metric]]] = []
        """What tells of other things than requests, models and workers."""
        self._models = models
        self._workers = workers
        self._recent = figures_of_learned()
        self._answered = figures_of_served()
        self._process = Process()
        self._series = [
            *series.learned(self._recent, self._answered),
            *series.delayed(self),
            *series.paused(),
            *series.unsaved(),
            *series.served(self._answered),
            *series.sliced(),
        ]
        self._passing = [
            *series.requested(self),
            *series.passing(),
            *series.of_fields(),
        ]
        self._followed, self._followers = list(followed()), FollowedFigures()
        self._kept: WeakKeyDictionary[LogisticRegression, _Kept] = WeakKeyDictionary()
        self._telling = threading.Lock()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format; that takes milliseconds, and any thread may ask."""
        models = self._models.all()
        self._recent.look([one.model for one in models])
        attributions = [one.attribution for one in models]
        self._answered.look([one for one in attributions if one.impressions.segments.next_number])
        with self._telling:
            return b"".join([generate_latest(self), *self._of_models(models)])

    def collect(self) -> Iterator[Metric]:
        """Yield what is not of each model."""
        yield from _built()
        yield from super().collect()
        yield from _in_flight([self.in_flight(), *self._workers.in_flight()])
        yield from _worker_metrics(self._workers)
        yield from self._process.collect()
        for collect in self.others:
            yield from collect()

    def _of_models(self, models: list[ServedModel]) -> Iterator[bytes]:
        """Yield what is told of each model, series by series."""
        pace, steady, passing = Pace(), [], []
        for one in models:
            steady.append(self._lines_of(one))
            passing.append([each.lines("model", one.name, one) for each in self._passing])
            pace.breathe()
        for all_series, of_models in ((self._series, steady), (self._passing, passing)):
            for place, each in enumerate(all_series):
                yield (each.head + "".join([lines[place] for lines in of_models])).encode()
                pace.breathe()
        challengers = [self._followers.of(one) for served in models for one in served.dependents.challengers]
        for of_each in self._followed:
            lines = [of_each.lines("model", one.name, one) for one in challengers]
            yield (of_each.head + "".join(lines)).encode()

    def _lines_of(self, one: ServedModel) -> list[str]:
        """Return what is told of a model, made anew where it has moved."""
        version, kept = self._version(one), self._kept.get(one.model)
        if kept is None or kept.version != version:
            lines = [each.lines("model", one.name, one) for each in self._series]
            kept = self._kept[one.model] = _Kept(version, lines)
        return kept.lines

    def _version(self, one: ServedModel) -> object:
        """Return what changes whenever something does that is told of a model, but for what passes."""
        impressions, pause = one.attribution.impressions, one.learner.pause
        return (
            one.model.examples,
            one.learner.applier.position,
            self._recent.looked_at(one.model),
            self._answered.looked_at(one.attribution),
            impressions.changes,
            impressions.counts["lost"],
            self.refused_impressions.get(one.name),
            (pause.since, pause.examples, pause.trips),
            one.snapshots.failures,
            one.names.looks,
        )

    def _conflicting(self, model: str, conflicts: dict[str, int]) -> None:
        """Add what a worker has counted, unless the model was deleted meanwhile."""
        served = self._models.find(model)
        if served is not None:
            served.fields.conflicting(conflicts)


def _built() -> Iterator[Metric]:
    """Yield what runs: a dashboard shows it, and a change of it explains others."""
    labels = {"version": __version__, "python": platform.python_version(), "kernels": target()}
    yield family(
        GaugeMetricFamily,
        "nonzero_build_info",
        "1: what runs, by its labels.",
        tuple(labels),
        [(tuple(labels.values()), 1)],
    )


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
