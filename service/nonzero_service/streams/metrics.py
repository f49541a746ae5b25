"""What Prometheus is told of sources, by partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from nonzero_service.metrics.families import Samples, family
from nonzero_service.models.registry import Models
from nonzero_service.streams.record_times import WRONG_TIMES
from nonzero_service.streams.task import TopicSource
from nonzero_service.streams.totals import Total

PARTITION: Final = ("model", "topic", "partition")

COUNTED: Final[tuple[tuple[str, str, Callable[[Total], int]], ...]] = (
    ("messages", "Messages of topics that were read.", lambda total: total.messages),
    ("examples", "Examples, impressions and labels that messages held.", lambda total: total.examples),
    ("refused", "Messages of which something could not be read.", lambda total: total.refused),
)


def sources_of(models: Models) -> Iterator[tuple[str, TopicSource]]:
    """Yield the sources that run here, and the names of their models."""
    for served in models.all():
        if isinstance(served.feed, TopicSource):
            yield served.name, served.feed


def source_metrics(models: Models) -> Iterator[Metric]:
    """Yield what is told of all sources that run here."""
    sources = list(sources_of(models))
    up = [((name,), float(source.is_up)) for name, source in sources]
    text = "Whether the topics of a model can be read, or could be if learning were not paused."
    yield family(GaugeMetricFamily, "nonzero_source_up", text, ("model",), up)
    text = "How often reading had to begin anew, or has stopped."
    failures = [((name,), float(source.state.failures)) for name, source in sources]
    yield family(CounterMetricFamily, "nonzero_source_failures", text, ("model",), failures)
    wrong = [
        ((name, reason), float(source.event_time.wrong[reason]))
        for name, source in sources
        if source.event_time is not None
        for reason in WRONG_TIMES
    ]
    text = "Records whose times are not believed, by what is wrong with them."
    yield family(CounterMetricFamily, "nonzero_source_wrong_times", text, ("model", "reason"), wrong)
    for counted, text, of in COUNTED:
        yield family(CounterMetricFamily, f"nonzero_source_{counted}", text, PARTITION, _counts(sources, of))
    lags = [
        ((name, topic, str(partition)), lag)
        for name, source in sources
        for (topic, partition), lag in source.lags().items()
    ]
    text = "Messages of a partition that can be read and were not yet."
    behind = [(labels, lag.behind_records) for labels, lag in lags]
    yield family(GaugeMetricFamily, "nonzero_source_lag_messages", text, PARTITION, behind)
    text = "How old the message is that was read last, where there are more to be read."
    seconds = [(labels, lag.behind_seconds) for labels, lag in lags]
    yield family(GaugeMetricFamily, "nonzero_source_lag_seconds", text, PARTITION, seconds)
    text = "Messages of transactions that nobody has ended, and what stands behind them."
    unstable = [(labels, lag.unstable_records) for labels, lag in lags]
    yield family(GaugeMetricFamily, "nonzero_source_unstable_messages", text, PARTITION, unstable)


def _counts(sources: list[tuple[str, TopicSource]], of: Callable[[Total], int]) -> Samples:
    for name, source in sources:
        for (topic, partition), total in source.totals.of.items():
            yield (name, topic, str(partition)), of(total)
