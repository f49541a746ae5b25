"""The lines of series are those that prometheus_client makes, and any label can be read again."""

from __future__ import annotations

from typing import Literal

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from nonzero_service.metrics.exposition import Series, Told

ODD = 'a "quoted\\ one"\nand é'
VALUES: dict[str, Told] = {
    "one": 1,
    "none": None,
    "small": 1.5e-9,
    "large": 123456789.5,
    "infinite": float("inf"),
    "not one": float("nan"),
}
LABELLED: dict[str, Told] = {
    "two": {("a", "z"): 2, (ODD, ""): 0.25},
    "nothing": {},
    ODD: {("b", "y"): -3e12},
}


class Library:
    """The same, told by the library."""

    def __init__(self, kind: type[GaugeMetricFamily | CounterMetricFamily], told: dict[str, Told]) -> None:
        self.kind = kind
        self.told = told

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        labels = ("model", "field", "at") if self.told is LABELLED else ("model",)
        made = self.kind("told", "What is told.", labels=labels)
        for name, value in self.told.items():
            if isinstance(value, dict):
                for others, number in value.items():
                    made.add_metric((name, *others), number)
            elif isinstance(value, float | int):
                made.add_metric((name,), value)
        return [made]


@pytest.mark.parametrize("told", [VALUES, LABELLED], ids=["plain", "labelled"])
@pytest.mark.parametrize("kind", ["gauge", "counter"])
def test_lines_are_those_of_the_library(kind: Literal["gauge", "counter"], told: dict[str, Told]) -> None:
    name = "told_total" if kind == "counter" else "told"
    labels = ("field", "at") if told is LABELLED else ()
    series: Series[str] = Series(name, kind, "What is told.", told.__getitem__, labels)
    text = series.head + "".join(series.lines("model", one, one) for one in told)
    registry = CollectorRegistry()
    registry.register(Library(CounterMetricFamily if kind == "counter" else GaugeMetricFamily, told))
    assert text == generate_latest(registry).decode()
    [family] = text_string_to_metric_families(text)
    assert ODD in {value for sample in family.samples for value in sample.labels.values()} or told is VALUES
