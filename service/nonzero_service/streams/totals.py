"""Totals: what was read and learned of each partition, in this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nonzero_service.writer.origins import Run


@dataclass
class Total:
    """What was read of one partition."""

    messages: int = 0
    refused: int = 0
    examples: int = 0


class Totals:
    """What was read and learned of each partition of a source. Used on the event loop."""

    def __init__(self) -> None:
        self.of: defaultdict[tuple[str, int], Total] = defaultdict(Total)
        """By topic and partition."""
        self.messages = 0
        """Of all partitions."""

    def add(self, runs: Sequence[Run]) -> None:
        """Add what is in the journal now."""
        for run in runs:
            total = self.of[run.topic, run.partition]
            total.messages += run.messages
            self.messages += run.messages
            total.refused += run.refused
            total.examples += run.examples
