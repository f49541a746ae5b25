"""Prometheus metrics of what comes late: impressions, labels, and what is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.metrics.counts import Counts
from nonzero_service.models.registry import Models

__all__ = ["Delayed"]

LABELS: Final = ("joined", "corrected", "unknown", "early", "duplicate", "conflicting", "gone")
UPDATES: Final[tuple[Verdict, ...]] = ("joined", "corrected", "duplicate", "conflicting", "gone")
IMPRESSIONS: Final = ("kept", "repeated", "expired", "thinned", "damaged", "lost", "refused")
QUANTILES: Final = (0.5, 0.9, 0.99)


class Delayed(Collector):
    """What has become of impressions and labels, and whether learning is paused, of every model.

    Parameters
    ----------
    models
        The models.
    counts
        What counts the predictions with an id that were not to be kept.
    """

    def __init__(self, models: Models, counts: Counts) -> None:
        self._models = models
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield all of it."""
        pending = GaugeMetricFamily(
            "nonzero_pending_labels", "Predictions with an id that wait for their label.", labels=("model",)
        )
        share = GaugeMetricFamily(
            "nonzero_joined_share",
            "Of the predictions that were labelled or whose window ended: the share that was labelled.",
            labels=("model",),
        )
        delay = GaugeMetricFamily(
            "nonzero_label_delay_seconds",
            "From prediction to label, of the last 10,000 labels that were learned from.",
            labels=("model", "quantile"),
        )
        labels = CounterMetricFamily(
            "nonzero_labels", "Labels, by what they met.", labels=("model", "verdict")
        )
        updates = CounterMetricFamily(
            "nonzero_update_labels",
            "Examples of updates whose id is that of a prediction, and so its label, by what they met; they "
            "are among nonzero_labels too.",
            labels=("model", "verdict"),
        )
        impressions = CounterMetricFamily(
            "nonzero_impressions",
            "Predictions with an id, by what became of them.",
            labels=("model", "outcome"),
        )
        paused = GaugeMetricFamily(
            "nonzero_learning_paused",
            "1 while the circuit breaker holds examples, by the figure that jumped.",
            labels=("model", "figure"),
        )
        held = GaugeMetricFamily("nonzero_held_examples", "Examples that are held.", labels=("model",))
        trips = CounterMetricFamily(
            "nonzero_breaker_trips", "How often learning was paused.", labels=("model",)
        )
        ahead = GaugeMetricFamily(
            "nonzero_journal_clock_ahead_seconds",
            "The journal's clock less the machine's.",
            labels=("model",),
        )
        for served in self._models.all():
            name, store, gate = served.name, served.attribution.impressions, served.learner.pause
            counts = {**store.counts, "refused": self._counts.refused_impressions.get(name, 0)}
            pending.add_metric((name,), store.pending)
            ended = counts.get("joined", 0) + counts.get("ended", 0)
            if ended:
                share.add_metric((name,), counts.get("joined", 0) / ended)
            delays = list(store.delays)
            for quantile in QUANTILES if delays else ():
                delay.add_metric((name, str(quantile)), float(np.quantile(delays, quantile)) / 1000)
            for verdict in LABELS:
                labels.add_metric((name, verdict), counts.get(verdict, 0))
            for verdict in UPDATES:
                updates.add_metric((name, verdict), served.attribution.updates[verdict])
            for outcome in IMPRESSIONS:
                impressions.add_metric((name, outcome), counts.get(outcome, 0))
            figure = str((gate.reason or {}).get("figure", "none"))
            paused.add_metric((name, figure), int(gate.since is not None))
            held.add_metric((name,), gate.examples)
            trips.add_metric((name,), gate.trips)
            ahead.add_metric((name,), served.stored.journal.clock.ahead_ms() / 1000)
        yield from (pending, share, delay, labels, updates, impressions, paused, held, trips, ahead)
