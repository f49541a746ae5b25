"""What is told of a source to who asks for it."""

from __future__ import annotations

from typing import Any

from nonzero_service.streams.task import TopicSource


def described(source: TopicSource) -> dict[str, Any]:
    """Return what is told of a source."""
    url, state, lags = source.url, source.state, source.lags()
    standing, reason = state.standing, state.reason
    if standing == "reading" and not source.is_up:
        standing, reason = "waiting", "no broker answers; they are asked again, and the log says why"
    partitions = []
    for read in source.partitions:
        lag = lags.get((read.topic, read.partition))
        behind_ms = None if lag is None else lag.behind_ms
        partitions.append(
            {
                "topic": read.topic,
                "topic_id": read.topic_id,
                "partition": read.partition,
                "position": read.next,
                "end": None if lag is None else lag.last_stable,
                "messages": read.messages,
                "examples": read.examples,
                "refused": read.refused,
                "lag_messages": None if lag is None else lag.behind_records,
                "lag_seconds": None if behind_ms is None else behind_ms / 1000,
            }
        )
    seconds = [lag.behind_ms / 1000 for lag in lags.values() if lag.behind_ms is not None]
    behind = [lag.behind_records for lag in lags.values() if lag.behind_records is not None]
    return {
        "brokers": [*url.brokers],
        "topics": [*url.topics],
        "format": url.format,
        "state": standing,
        "reason": reason,
        "since": int(state.since * 1000),
        "messages": sum(read.messages for read in source.partitions),
        "examples": sum(read.examples for read in source.partitions),
        "refused": sum(read.refused for read in source.partitions),
        "lag_messages": sum(behind) if behind else None,
        "lag_seconds": max(seconds) if seconds else None,
        "partitions": partitions,
        "refusals": [refusal._asdict() for refusal in source.refusals.newest],
    }
