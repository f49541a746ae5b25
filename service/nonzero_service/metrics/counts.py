"""What is counted in the course of requests, in plain numbers on the event loop.

That takes a tenth of what the counters of prometheus_client take, which serve threads and so lock; their text
is made when it is asked for. What one process counted another can take over.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final, TypeVar

import msgspec
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service import logs

__all__ = ["Counts"]

SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
MOST_ITEMS: Final = 200
"""Of a part. Each takes less than 300 bytes: names of models have up to 64, those of routes as many."""

BOUNDS: Final = (*map(str, map(float, SECONDS)), "+Inf")


K = TypeVar("K")
V = TypeVar("V")


class Durations(msgspec.Struct):
    """How long requests took."""

    counts: list[int]
    """How many fell up to each bound."""
    total: float = 0.0
    """Their sum, in seconds."""


class Counted(msgspec.Struct):
    """A part of what was counted, by its labels."""

    requests: dict[tuple[str, str, str], int] = {}
    durations: dict[str, Durations] = {}
    predictions: dict[str, int] = {}
    rejected: dict[str, int] = {}
    refused: dict[str, int] = {}
    lost_lines: int = 0
    conflicts: dict[str, dict[str, int]] = {}
    """Of each model, by field."""


class Counts(Collector):
    """Counts requests, predictions and rejected lines; to be told on the event loop."""

    def __init__(self) -> None:
        self.conflicts: Callable[[], dict[str, dict[str, int]]] = dict
        """Takes the conflicts with the models' schemas that this process has counted, by model and field."""
        self.conflicting: Callable[[str, dict[str, int]], object] = lambda _, __: None
        """Told of those of another process, of a model, by field."""
        self._lines_taken = 0
        self._begin()

    def _begin(self) -> None:
        self._requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._durations: defaultdict[str, Durations] = defaultdict(lambda: Durations([0] * len(BOUNDS)))
        self._predictions: defaultdict[str, int] = defaultdict(int)
        self._rejected: defaultdict[str, int] = defaultdict(int)
        self.refused_impressions: defaultdict[str, int] = defaultdict(int)
        """Predictions with an id that were not kept for want of a scope, by model."""
        self._lines_elsewhere = 0

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is its path's pattern, not its path."""
        self._requests[route, method, str(status)] += 1
        durations = self._durations[route]
        durations.total += seconds
        durations.counts[bisect_left(SECONDS, seconds)] += 1

    def predicted(self, model: str, examples: int) -> None:
        """Count predictions."""
        self._predictions[model] += examples

    def rejected(self, model: str, lines: int) -> None:
        """Count lines of updates that could not be learned."""
        self._rejected[model] += lines

    def refused(self, model: str, predictions: int) -> None:
        """Count predictions with an id that are not kept, because their token may not teach."""
        self.refused_impressions[model] += predictions

    def take(self) -> list[bytes]:
        """Return all that was counted, for :meth:`add` in another process, and begin anew.

        It comes in parts of less than 64 KB; in none, where nothing was counted.
        """
        lost = logs.dropped()
        lines = self._lines_elsewhere + lost - self._lines_taken
        parts = [Counted(lost_lines=lines)] if lines else []
        parts += [Counted(requests=some) for some in _parts(self._requests)]
        parts += [Counted(durations=some) for some in _parts(self._durations)]
        parts += [Counted(predictions=some) for some in _parts(self._predictions)]
        parts += [Counted(rejected=some) for some in _parts(self._rejected)]
        parts += [Counted(refused=some) for some in _parts(self.refused_impressions)]
        parts += [
            Counted(conflicts={model: some})
            for model, fields in self.conflicts().items()
            for some in _parts(fields)
        ]
        self._begin()
        self._lines_taken = lost
        return [msgspec.msgpack.encode(part) for part in parts]

    def add(self, taken: bytes) -> None:
        """Add one part of what :meth:`take` returned elsewhere."""
        counted = msgspec.msgpack.decode(taken, type=Counted)
        for key, count in counted.requests.items():
            self._requests[key] += count
        for route, durations in counted.durations.items():
            mine = self._durations[route]
            mine.total += durations.total
            mine.counts = [a + b for a, b in zip(mine.counts, durations.counts, strict=True)]
        for model, examples in counted.predictions.items():
            self._predictions[model] += examples
        for model, lines in counted.rejected.items():
            self._rejected[model] += lines
        for model, predictions in counted.refused.items():
            self.refused_impressions[model] += predictions
        self._lines_elsewhere += counted.lost_lines
        for model, conflicts in counted.conflicts.items():
            self.conflicting(model, conflicts)

    def collect(self) -> Iterator[Metric]:
        """Return what was counted, as Prometheus names it."""
        requests = CounterMetricFamily(
            "nonzero_requests", "Requests answered.", labels=("route", "method", "status")
        )
        for labels, count in list(self._requests.items()):
            requests.add_metric(labels, count)
        yield requests
        seconds = HistogramMetricFamily(
            "nonzero_request_seconds",
            "Seconds from a request's head to its answer's end.",
            labels=("route",),
        )
        for route, durations in list(self._durations.items()):
            buckets = list(zip(BOUNDS, accumulate(durations.counts), strict=True))
            seconds.add_metric((route,), buckets, durations.total)
        yield seconds
        for name, text, counts in (
            ("nonzero_predictions", "Examples predicted.", self._predictions),
            ("nonzero_rejected_lines", "Lines of updates that could not be learned.", self._rejected),
        ):
            family = CounterMetricFamily(name, text, labels=("model",))
            for model, count in list(counts.items()):
                family.add_metric((model,), count)
            yield family
        yield CounterMetricFamily(
            "nonzero_log_lines_dropped",
            "Lines of the log that were lost, because nobody took them or they could not be written.",
            self._lines_elsewhere + logs.dropped() - self._lines_taken,
        )


def _parts(counts: dict[K, V]) -> list[dict[K, V]]:
    items = list(counts.items())
    return [dict(items[i : i + MOST_ITEMS]) for i in range(0, len(items), MOST_ITEMS)]
