"""Totals: what was read and learned of each partition, in this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nonzero_service.writer.origins import Run


@dataclass
class Total:
    """What was read of one partition."""

    messages: int = 0
    refused: int = 0
    examples: int = 0
    newest_ms: int = -1
    """The time of the message that was learned last; -1 where that is not known."""


class Totals:
    """What was read and learned of each partition of a source. Used on the event loop."""

    def __init__(self) -> None:
        self.of: defaultdict[tuple[str, int], Total] = defaultdict(Total)
        """By topic and partition."""
        self.messages = 0
        """Of all partitions."""

    def add(self, runs: Sequence[Run], newest_ms: Mapping[tuple[str, int], int]) -> None:
        """Add what is in the journal now.

        Parameters
        ----------
        runs
            What was read.
        newest_ms
            By topic and partition, the time of the last message.
        """
        for run in runs:
            total = self.of[run.topic, run.partition]
            total.messages += run.messages
            self.messages += run.messages
            total.refused += run.refused
            total.examples += run.examples
        for key, time_ms in newest_ms.items():
            self.of[key].newest_ms = time_ms
