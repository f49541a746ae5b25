"""How much of a stream is parsed at once, and how much of it may be with the learner."""

from __future__ import annotations

from typing import Final

from nonzero_service.bodies.decoding import PIECE
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.work_queue import GROUP_BYTES

WINDOW: Final = 6 * GROUP_BYTES
"""So much of one stream may be with the learner: a group that is applied, one that is durable, one that is
committed, two that wait; and one that is parsed meanwhile.

A smaller window has its threads wait for each other: with two groups, half of the processor was idle.
"""

LARGE_PIECE: Final = 4 * PIECE
"""So many bytes of a stream become one batch where no single examples come beside it, nor other streams.

Each piece takes a turn of every thread: in pieces of a megabyte a bulk update was learned at 0.89 million
examples a second instead of 1.01.
"""

SMALL_PIECE: Final = PIECE // 4
"""So many where single examples come beside it. One is not parsed then before the one before is learned from:
so the stream has one thread at work at a time, and they have the rest of the processor."""


def piece_bytes(learner: ModelLearner) -> int:
    """Return how many bytes of a stream are to become one batch."""
    if learner.gathers:
        return SMALL_PIECE
    return PIECE if learner.queued_bytes > WINDOW else LARGE_PIECE
