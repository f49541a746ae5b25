"""What is counted in the course of requests, in plain numbers on the event loop.

That takes a tenth of what the counters of prometheus_client take, which serve threads and so lock; their text
is made when it is asked for. What one process counted another can take over.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import accumulate
from operator import add
from typing import Any, Final, NamedTuple

import msgspec
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nonzero_service import logs
from nonzero_service.metrics.families import family

SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
BOUNDS: Final = (*map(str, map(float, SECONDS)), "+Inf")

MOST_ITEMS: Final = 200
"""Of a part. Each takes less than 300 bytes: names of models have up to 64, those of routes as many."""


class Counted(msgspec.Struct):
    """A part of what was counted, by its labels."""

    requests: dict[tuple[str, str, str], int] = {}
    """By route, method and status."""
    durations: dict[str, list[float]] = {}
    """By route: how many requests fell up to each of :data:`BOUNDS`, and the sum of their seconds."""
    predictions: dict[str, int] = {}
    """By model, as the two below."""
    rejected: dict[str, int] = {}
    refused: dict[str, int] = {}
    conflicts: dict[tuple[str, str], int] = {}
    """By model and field."""
    lost_lines: int = 0


class InFlight(NamedTuple):
    """What is being answered now, but for what operators ask."""

    requests: int = 0
    """How many were let in, and have not ended."""
    nbytes: int = 0
    """What they hold of ``in_flight_bytes``."""


class Counts(Collector):
    """Counts requests, predictions and rejected lines; to be told on the event loop."""

    def __init__(self) -> None:
        self.conflicts: Callable[[], dict[str, dict[str, int]]] = dict
        """Takes the conflicts with the models' schemas that this process has counted, by model and field."""
        self.conflicting: Callable[[str, dict[str, int]], object] = lambda _, __: None
        """Told of those of another process, of a model, by field."""
        self.in_flight: Callable[[], InFlight] = InFlight
        """Returns what this process is answering."""
        self._lines_taken = 0
        self._begin()

    def _begin(self) -> None:
        self._requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._durations: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * (len(BOUNDS) + 1))
        self.predictions: Counter[str] = Counter()
        """Examples predicted, by model."""
        self.rejected_lines: Counter[str] = Counter()
        """Lines of updates that could not be learned, by model."""
        self.refused_impressions: Counter[str] = Counter()
        """Predictions with an id that were not kept for want of a scope, by model."""
        self._lines_elsewhere = 0

    def _parts(self) -> dict[str, dict[Any, Any]]:
        """Return what is counted here one by one, by the names of :class:`Counted`."""
        return {
            "requests": self._requests,
            "predictions": self.predictions,
            "rejected": self.rejected_lines,
            "refused": self.refused_impressions,
        }

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; `route` is its path's pattern, not its path."""
        self._requests[route, method, str(status)] += 1
        durations = self._durations[route]
        durations[bisect_left(SECONDS, seconds)] += 1
        durations[-1] += seconds

    def predicted(self, model: str, examples: int) -> None:
        """Count predictions."""
        self.predictions[model] += examples

    def rejected(self, model: str, lines: int) -> None:
        """Count lines of updates that could not be learned."""
        self.rejected_lines[model] += lines

    def refused(self, model: str, predictions: int) -> None:
        """Count predictions with an id that are not kept, because their token may not teach."""
        self.refused_impressions[model] += predictions

    def take(self) -> list[bytes]:
        """Return all that was counted, for :meth:`add` in another process, and begin anew.

        It comes in parts of less than 64 KB; in none, where nothing was counted.
        """
        lost = logs.dropped()
        lines = self._lines_elsewhere + lost - self._lines_taken
        conflicts = {
            (model, field): count
            for model, fields in self.conflicts().items()
            for field, count in fields.items()
        }
        parts = [Counted(lost_lines=lines)] if lines else []
        for name, counts in {**self._parts(), "durations": self._durations, "conflicts": conflicts}.items():
            items = list(counts.items())
            for i in range(0, len(items), MOST_ITEMS):
                some: Any = {name: dict(items[i : i + MOST_ITEMS])}
                parts.append(Counted(**some))
        self._begin()
        self._lines_taken = lost
        return [msgspec.msgpack.encode(part) for part in parts]

    def add(self, taken: bytes) -> None:
        """Add one part of what :meth:`take` returned elsewhere."""
        counted = msgspec.msgpack.decode(taken, type=Counted)
        for name, counts in self._parts().items():
            for labels, count in getattr(counted, name).items():
                counts[labels] += count
        for route, durations in counted.durations.items():
            self._durations[route] = list(map(add, self._durations[route], durations))
        for (model, field), count in counted.conflicts.items():
            self.conflicting(model, {field: count})
        self._lines_elsewhere += counted.lost_lines

    def collect(self) -> Iterator[Metric]:
        """Return what was counted of all requests, as Prometheus names it."""
        labels, requests = ("route", "method", "status"), list(self._requests.items())
        yield family(CounterMetricFamily, "nonzero_requests", "Requests answered.", labels, requests)
        seconds = HistogramMetricFamily(
            "nonzero_request_seconds", "Seconds from a request's head to its answer's end.", labels=("route",)
        )
        for route, (*counts, total) in list(self._durations.items()):
            seconds.add_metric((route,), list(zip(BOUNDS, accumulate(counts), strict=True)), total)
        yield seconds
        yield CounterMetricFamily(
            "nonzero_log_lines_dropped",
            "Lines of the log that were lost, because nobody took them or they could not be written.",
            self._lines_elsewhere + logs.dropped() - self._lines_taken,
        )
