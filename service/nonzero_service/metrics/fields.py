"""Prometheus metrics of fields: what contradicted the schema, and what never came."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service.models.registry import Models

__all__ = ["FieldMetrics"]


class FieldMetrics(Collector):
    """The conflicts of at most 101 fields a model, and the fields that settings name in vain.

    Parameters
    ----------
    models
        The models.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield all of it."""
        conflicts = CounterMetricFamily(
            "nonzero_schema_conflicts",
            "Values of another kind than their field's, by field.",
            labels=("model", "field"),
        )
        unseen = GaugeMetricFamily(
            "nonzero_schema_unseen",
            "1 for each field that interactions or slices name, and that has not come.",
            labels=("model", "field"),
        )
        for served in self._models.all():
            for field, count in served.fields.conflicts().items():
                conflicts.add_metric((served.name, field), count)
            for one in served.fields.unseen():
                unseen.add_metric((served.name, one.field), 1)
        yield from (conflicts, unseen)
