"""What is told of a source to who asks for it."""

from __future__ import annotations

from typing import Any

from nonzero_service.streams.task import TopicSource
from nonzero_service.writer.origins import PartitionRead


def described(source: TopicSource) -> dict[str, Any]:
    """Return what is told of a source."""
    url, state, lags = source.url, source.state, source.lags()
    standing, reason = state.standing, state.reason
    if standing == "reading" and not source.is_up:
        standing, reason = "waiting", "no broker answers; they are asked again, and the log says why"
    read = {
        (one.topic, one.partition): one for one in source.partitions
    }  # of a topic made anew, the last one
    seconds = [lag.behind_ms / 1000 for lag in lags.values() if lag.behind_ms is not None]
    return {
        "brokers": [*url.brokers],
        "topics": [*url.topics],
        "format": url.format,
        "state": standing,
        "reason": reason,
        "since": int(state.since * 1000),
        "messages": sum(one.messages for one in source.partitions),
        "examples": sum(one.examples for one in source.partitions),
        "refused": sum(one.refused for one in source.partitions),
        "lag_messages": sum(lag.behind_records for lag in lags.values()) if lags else None,
        "lag_seconds": max(seconds) if seconds else None,
        "event_time": None if source.event_time is None else source.event_time.told(),
        "partitions": [_partition(source, key, read.get(key)) for key in sorted({*read, *lags})],
        "refusals": [refusal._asdict() for refusal in source.refusals.newest],
    }


def _partition(source: TopicSource, key: tuple[str, int], read: PartitionRead | None) -> dict[str, Any]:
    """Return what is told of a partition, of which the journal may know nothing yet."""
    lag = source.lags().get(key)
    behind_ms = None if lag is None else lag.behind_ms
    return {
        "topic": key[0],
        "topic_id": None if read is None else read.topic_id,
        "partition": key[1],
        "position": None if read is None else read.next,
        "end": None if lag is None else lag.last_stable,
        "messages": 0 if read is None else read.messages,
        "examples": 0 if read is None else read.examples,
        "refused": 0 if read is None else read.refused,
        "lag_messages": None if lag is None else lag.behind_records,
        "lag_seconds": None if behind_ms is None else behind_ms / 1000,
    }
