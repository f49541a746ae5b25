"""What Prometheus is told of each model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.metrics.counts import Counts
from nonzero_service.metrics.exposition import Series, Told
from nonzero_service.models.recent_figures import RecentFigures
from nonzero_service.models.replica import ReplicaState
from nonzero_service.models.served import ServedModel, SharingState
from nonzero_service.models.snapshot_store import SnapshotStore

LABELS: Final = ("joined", "corrected", "unknown", "early", "duplicate", "conflicting", "gone")
UPDATES: Final[tuple[Verdict, ...]] = ("joined", "corrected", "duplicate", "conflicting", "gone")
WAITED: Final = {"joined": "joined_after_waiting", "in_vain": "waited_in_vain"}
IMPRESSIONS: Final = ("kept", "repeated", "expired", "thinned", "waited_out", "damaged", "lost", "refused")
LAST: Final = " of the last 100,000 examples, or of the predictions with an id that were answered"
QUANTILES: Final = (0.5, 0.9, 0.99)

ModelSeries = Series[ServedModel]


def gauge(name: str, text: str, told: Callable[[ServedModel], Told], *labels: str) -> ModelSeries:
    """Return a series of what goes up and down."""
    return Series(f"nonzero_{name}", "gauge", text, told, labels)


def counter(name: str, text: str, told: Callable[[ServedModel], Told], *labels: str) -> ModelSeries:
    """Return a series of what only goes up."""
    return Series(f"nonzero_{name}_total", "counter", text, told, labels)


def requested(counts: Counts) -> Iterator[ModelSeries]:
    """Yield what requests have counted."""
    yield counter("predictions", "Examples predicted.", lambda one: counts.predictions.get(one.name))
    text = "Lines of updates that could not be learned."
    yield counter("rejected_lines", text, lambda one: counts.rejected_lines.get(one.name))


def learned(recent: RecentFigures[Any], answered: RecentFigures[Any]) -> Iterator[ModelSeries]:
    """Yield how much every model has learned, and how well it predicts."""

    def gain(figure: str) -> Callable[[ServedModel], Told]:
        return lambda one: (one.model.recalibration() or {}).get(figure)

    def lately(figure: str) -> Callable[[ServedModel], Told]:
        def value(one: ServedModel) -> float | None:
            # What a label policy teaches, and in which order, says nothing of what was answered.
            if one.attribution.is_usual:
                return answered.of(one.attribution, figure)
            return recent.of(one.model, figure)

        return value

    yield gauge("model_examples", "Examples applied since the model was made.", lambda one: one.sequence)
    yield gauge("model_bytes", "The memory of the table, in bytes.", lambda one: one.model.nbytes)
    for name, text, value in (
        ("recent_log_loss", f"Mean log loss{LAST}, in nats.", lately("log_loss")),
        ("recent_calibration", f"Predicted over observed clicks{LAST}.", lately("calibration")),
        ("recent_auc", f"Area under the ROC curve{LAST}.", lately("auc")),
        ("recent_clicks", f"The importance weight of the clicks{LAST}.", lately("clicks")),
        ("recalibration_gain", "Mean log loss that the map of the predictions saves, in nats.", gain("gain")),
        ("recalibration_gain_low", "1.96 standard errors below that.", gain("gain_low")),
    ):
        yield gauge(f"model_{name}", text, value)


def delayed(requests: Counts) -> Iterator[ModelSeries]:
    """Yield what has become of impressions and labels."""

    def counted(names: Iterable[str]) -> Callable[[ServedModel], Told]:
        def told(one: ServedModel) -> Told:
            counts = one.attribution.impressions.counts
            refused = requests.refused_impressions[one.name]
            return {(name,): refused if name == "refused" else counts[name] for name in names}

        return told

    def share(one: ServedModel) -> float | None:
        counts = one.attribution.impressions.counts
        joined, ended = counts["joined"], counts["ended"]
        return joined / (joined + ended) if joined + ended else None

    def delays(one: ServedModel) -> Told:
        found = list(one.attribution.impressions.arrivals.delays)
        return {(str(q),): float(np.quantile(found, q)) / 1000 for q in QUANTILES} if found else None

    def updates(one: ServedModel) -> Told:
        found = one.attribution.impressions.updates
        return {(name,): found[name] for name in UPDATES}

    def waited(one: ServedModel) -> Told:
        counts = one.attribution.impressions.counts
        return {(outcome,): counts[name] for outcome, name in WAITED.items()}

    text = "Predictions with an id that wait for their label."
    yield gauge("pending_labels", text, lambda one: one.attribution.impressions.pending)
    text = "Of the predictions that were labelled or whose window ended: the share that was labelled."
    yield gauge("joined_share", text, share)
    text = "From prediction to label, of the last 10,000 labels that were learned from."
    yield gauge("label_delay_seconds", text, delays, "quantile")
    yield counter("labels", "Labels, by what they met.", counted(LABELS), "verdict")
    text = (
        "Examples of updates whose id is that of a prediction, and so its label, by what they met; they "
        "are among nonzero_labels too."
    )
    yield counter("update_labels", text, updates, "verdict")
    text = "Labels of topics that wait for their impressions."
    yield gauge("waiting_labels", text, lambda one: len(one.attribution.impressions.waiting_labels))
    text = "Labels of topics that came before their impressions, by what became of them."
    yield counter("waited_labels", text, waited, "outcome")
    text = "Predictions with an id, by what became of them."
    yield counter("impressions", text, counted(IMPRESSIONS), "outcome")


def paused() -> Iterator[ModelSeries]:
    """Yield whether learning is paused."""

    def now(one: ServedModel) -> Told:
        pause = one.learner.pause
        return {((pause.reason or {}).get("figure", "none"),): int(pause.since is not None)}

    text = "1 while the circuit breaker holds examples, by the figure that jumped."
    yield gauge("learning_paused", text, now, "figure")
    yield gauge("held_examples", "Examples that are held.", lambda one: one.learner.pause.examples)
    text = "How often learning was paused."
    yield counter("breaker_trips", text, lambda one: one.learner.pause.trips)


def unsaved() -> Iterator[ModelSeries]:
    """Yield whether models could not be saved."""
    text = "Snapshots that were due and could not be taken."
    yield counter("snapshot_failures", text, lambda one: one.snapshots.failures)


def served(answered: RecentFigures[Any]) -> Iterator[ModelSeries]:
    """Yield how good the predictions were that were answered."""

    def of(figure: str) -> Callable[[ServedModel], Told]:
        return lambda one: answered.of(one.attribution, figure)

    text = "The last predictions with an id, 100,000 at most, whose clicks have come, mostly."
    yield gauge("served_impressions", text, of("examples"))
    text = "Predicted over observed clicks of these, by what was answered."
    yield gauge("served_calibration", text, of("calibration"))
    yield gauge("served_log_loss", "Mean log loss of what was answered for these, in nats.", of("log_loss"))
    text = "Predictions with an id that wait for clicks before they are learned from."
    yield gauge("waiting_impressions", text, lambda one: one.attribution.impressions.waiting_count)
    text = "Clicks expected of what was learned at once, less those that came."
    yield gauge(
        "label_balance", text, lambda one: one.attribution.impressions.waiting_impressions.gate.balance
    )


def passing() -> Iterator[ModelSeries]:
    """Yield what changes though nothing comes: by the clock, or from one moment to the next."""
    waits = "What waits for the learner, in bytes."
    yield gauge("model_queued_bytes", waits, lambda one: one.learner.queued_bytes)
    text = "The journal's clock less the machine's."
    yield gauge("journal_clock_ahead_seconds", text, lambda one: one.stored.journal.clock.ahead_ms() / 1000)
    text = "How far behind the journal's clock the event time is that topics have reached."
    yield gauge("event_time_lag_seconds", text, lambda one: one.attribution.behind_seconds)
    text = "Since the newest snapshot, or the first row, in seconds; 0 where nothing has come since."
    yield gauge("snapshot_age_seconds", text, lambda one: one.snapshots.age_seconds)
    text = "The journal's file and its WAL, in bytes."
    yield gauge("journal_bytes", text, lambda one: one.stored.journal.nbytes)
    text = "Since the last label came, or the process started."
    yield gauge("label_silence_seconds", text, lambda one: one.attribution.silence().seconds)
    text = "The clicks that were predicted since."
    yield gauge("label_silence_clicks", text, lambda one: one.attribution.silence().predicted_clicks)
    text = "Examples that the node which writes has learned from and this one, which follows, has not."
    yield gauge("replica_lag_examples", text, _of_replica(lambda one: one.lag_examples))
    text = "How long ago a node that follows was sure to have learned all that was written."
    yield gauge("replica_lag_seconds", text, _of_replica(lambda one: one.lag_seconds))
    text = "How long ago the newest snapshot was shared with other nodes; 0 where nothing has come since."
    yield gauge("shared_snapshot_age_seconds", text, _of_shared(lambda one: one.age_seconds))
    text = "Snapshots that were due and could not be shared with other nodes."
    yield counter("shared_snapshot_failures", text, _of_shared(lambda one: one.failures))
    text = "How long ago the newest snapshot in the object store was taken; 0 where nothing has come since."
    yield gauge("snapshot_store_age_seconds", text, _of_store(lambda one: one.age_seconds))
    text = "Snapshots that could not be copied to the object store."
    yield counter("snapshot_store_failures", text, _of_store(lambda one: one.failures))
    text = "1 while no labels come for longer than usual, and than chance explains."
    yield gauge("label_outage", text, lambda one: int(one.attribution.silence().is_outage))


def _of_replica(figure: Callable[[ReplicaState], float]) -> Callable[[ServedModel], Told]:
    """Return what tells a figure of a model that follows, and nothing of one that is written here."""
    return lambda one: None if one.replica is None else figure(one.replica)


def _of_shared(figure: Callable[[SharingState], float]) -> Callable[[ServedModel], Told]:
    """Return what tells a figure of the node that shares a model's snapshots, and nothing of the others."""
    return lambda one: None if one.shares is None else figure(one.shares)


def _of_store(figure: Callable[[SnapshotStore], float]) -> Callable[[ServedModel], Told]:
    """Return what tells a figure of who copies a model's snapshots, and nothing where nobody does."""
    return lambda one: None if one.store is None else figure(one.store)


def sliced() -> Iterator[ModelSeries]:
    """Yield predicted against observed clicks, by slice: at most 8 fields of 33 values a model."""

    def told(attribute: str) -> Callable[[ServedModel], Told]:
        return lambda one: {
            (field, found.value or ""): float(getattr(found, attribute))
            for field, slices in one.slices.all().items()
            for found in slices
        }

    for name, text, attribute in (
        ("examples", "Examples learned from, by the value of a field.", "examples"),
        ("clicks", "Clicks among them, by importance weight.", "clicks"),
        ("predicted_clicks", "Clicks predicted just before, by importance weight.", "predicted"),
    ):
        yield counter(f"slice_{name}", text, told(attribute), "field", "value")


def of_fields() -> Iterator[ModelSeries]:
    """Yield the conflicts of at most 101 fields a model, and the fields that settings name in vain."""

    def conflicts(one: ServedModel) -> Told:
        return {(field,): n for field, n in one.fields.conflicts().items()}

    def unseen(one: ServedModel) -> Told:
        return {(field.field,): 1 for field in one.fields.unseen()}

    text = "Values of another kind than their field's, by field."
    yield counter("schema_conflicts", text, conflicts, "field")
    text = "1 for each field that interactions or slices name, and that has not come."
    yield gauge("schema_unseen", text, unseen, "field")
