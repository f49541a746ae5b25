"""Families of metrics, each made of its samples in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)

Samples = Iterable[tuple[tuple[str, ...], float | None]]
"""Values of the labels, and the metric's value; None for one that is not told."""


def family(kind: type[F], name: str, text: str, labels: tuple[str, ...], samples: Samples) -> F:
    """Return a family of metrics.

    Parameters
    ----------
    kind
        The class of prometheus_client for counters or gauges.
    name
        Its name, without ``_total``.
    text
        What it is, for people.
    labels
        The names of its labels.
    samples
        Its values.
    """
    made = kind(name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            made.add_metric(values, value)
    return made
