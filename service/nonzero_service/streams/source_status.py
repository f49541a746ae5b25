"""What is told of a source to who asks for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from nonzero_service.kafka.lag import SILENT_SECONDS, Lag
from nonzero_service.streams.state import Standing
from nonzero_service.streams.task import TopicSource
from nonzero_service.writer.origins import PartitionRead

AWAY: Final = "no broker answers; they are asked again, and the log says why"

BEGINS: Final = "it has only begun, and no broker has answered yet"


def source_status(source: TopicSource) -> dict[str, Any]:
    """Return what is told of a source."""
    url, lags, partitions = source.url, source.lags(), source.partitions
    standing, reason, since = _stands(source)
    read = {(one.topic, one.partition): one for one in source.newest_partitions}
    behind = [lag.behind_records for lag in lags.values()]
    seconds = [lag.behind_seconds for lag in lags.values() if lag.behind_seconds is not None]
    return {
        "brokers": [*url.brokers],
        "topics": [*url.topics],
        "format": url.format,
        "state": standing,
        "reason": reason,
        "since": int(since * 1000),
        "messages": sum(one.messages for one in partitions),
        "examples": sum(one.examples for one in partitions),
        "refused": sum(one.refused for one in partitions),
        "lag_messages": _sum(behind) if behind else None,
        "lag_seconds": max(seconds) if seconds else None,
        "event_time": None if source.event_time is None else source.event_time.told(),
        "partitions": [_partition(key, read.get(key), lags.get(key)) for key in sorted({*read, *lags})],
        "refusals": [refusal._asdict() for refusal in source.refusals.newest],
    }


def _stands(source: TopicSource) -> tuple[Standing, str | None, float]:
    """Return what a source is at, why it does not read, and since when, in seconds since 1970.

    One whose brokers do not answer waits, whatever else it is at.
    """
    state = source.state
    if state.standing != "reading":
        return state.standing, state.reason, state.since
    if state.trouble is not None and source.is_trying:
        return "waiting", state.trouble.reason, state.trouble.since
    answered = source.answered
    if source.is_up:
        return state.standing, state.reason, max(state.since, answered.since if answered else 0.0)
    if answered is not None:
        return "waiting", AWAY, answered.at
    since, reason = state.trouble or (state.since, BEGINS)
    # What failed a moment ago may fail again: that says more than that no answer has come yet.
    return "waiting", AWAY if time.time() > state.since + SILENT_SECONDS else reason, since


def _partition(key: tuple[str, int], read: PartitionRead | None, lag: Lag | None) -> dict[str, Any]:
    """Return what is told of a partition, of which the journal may know nothing yet."""
    return {
        "topic": key[0],
        "topic_id": None if read is None else read.topic_id,
        "partition": key[1],
        "position": None if read is None else read.next,
        "end": None if lag is None else lag.end,
        "messages": 0 if read is None else read.messages,
        "examples": 0 if read is None else read.examples,
        "refused": 0 if read is None else read.refused,
        "lag_messages": None if lag is None else lag.behind_records,
        "lag_seconds": None if lag is None else lag.behind_seconds,
    }


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Return the sum of some numbers; None where one is not known."""
    known = [one for one in numbers if one is not None]
    return sum(known) if len(known) == len(numbers) else None
