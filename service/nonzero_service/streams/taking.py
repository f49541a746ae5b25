"""What becomes of the messages of a topic: what a piece of them holds, and how the learner is given it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from nonzero_service.streams.message_readers import Refusal
from nonzero_service.streams.pieces import Lines
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.work import Applied, StreamState


class TakenPiece(Protocol):
    """What a piece came to."""

    @property
    def examples(self) -> Sequence[int]:
        """Of each chunk, to how many examples it came."""

    @property
    def refused(self) -> Sequence[int]:
        """Of each chunk, how many messages had something that was refused."""

    @property
    def refusals(self) -> Sequence[Refusal]:
        """What was refused, and why."""

    @property
    def nbytes(self) -> int:
        """What it takes while it waits to be learned from."""

    @property
    def is_too_large(self) -> bool:
        """Whether it cannot be journalled in one transaction."""

    def submit(self, origin: Origin, stream: StreamState) -> asyncio.Future[Applied]:
        """Give it to the learner; on the event loop, when there is room."""


class Taker(Protocol):
    """Takes the messages of one topic."""

    def take(self, piece: Sequence[Lines]) -> TakenPiece:
        """Say what a piece holds; on any thread, one piece after another."""

    def refuse(self, piece: Sequence[Lines], reason: str) -> TakenPiece:
        """Say of a piece of one message that nothing of it can be learned from, and why."""
