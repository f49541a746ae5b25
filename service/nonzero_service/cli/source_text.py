"""How far topics were read that feed a model: what commands say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nonzero_service.writer.origins import PartitionRead

SHOWN: Final = 16
"""So many partitions of a topic are shown as text; JSON has all."""


def source_report(sources: Sequence[PartitionRead]) -> list[dict[str, Any]]:
    """Return what was read of each partition, as JSON holds it."""
    return [one._asdict() for one in sources]


def source_lines(report: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each topic, of what :func:`source_report` returned."""
    for (topic, topic_id), group in groupby(report, lambda one: (one["topic"], one["topic_id"])):
        read = list(group)
        messages, refused, examples = (
            sum(one[counted] for one in read) for counted in ("messages", "refused", "examples")
        )
        places = ", ".join(f"{one['partition']}: {one['next']}" for one in read[:SHOWN])
        more = f", and {len(read) - SHOWN:,} more partitions" if len(read) > SHOWN else ""
        yield (
            f"topic {topic} (id {topic_id}): {messages:,} messages, {refused:,} of them refused, "
            f"{examples:,} examples; to be read on from {places}{more}"
        )
