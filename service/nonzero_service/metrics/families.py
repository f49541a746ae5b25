"""Families of metrics, each made of its samples in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["Samples", "counter", "gauge"]

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)

Samples = Iterable[tuple[tuple[str, ...], float | None]]
"""Values of the labels, and the metric's value; None for one that is not told."""


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> CounterMetricFamily:
    """Return a metric that only grows.

    Parameters
    ----------
    name
        Its name, without ``_total``.
    text
        What it is, for people.
    labels
        The names of its labels.
    samples
        Its values.
    """
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> GaugeMetricFamily:
    """Return a metric that goes up and down; the parameters are those of :func:`counter`."""
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _filled(family: F, samples: Samples) -> F:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value)
    return family
