"""RecordGatherer: records taken of the client many at once, as each time costs, and as many as have room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nonzero_service.kafka.records import Gathered, RecordSplitter

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

MOST_RECORDS: Final = 500
"""So many are taken at once. While they are, no other thread of Python runs: 0.2 ms. Python looks for cycles
among what is new when that is more than 700 objects: so never, where these are let go of before others come.
With more at once it was a third of what a message costs: see docs/decisions/kafka-throughput.md."""

GATHERED_BYTES: Final = 1 << 19
"""About so many bytes of records are handed out together, where they are there: each time wakes others.
What is made of them fits into a processor's own memory."""

WAIT_SECONDS: Final = 0.1
"""So long a record is waited for before something else is looked at."""

GATHER_SECONDS: Final = 0.005
"""So long others are waited for when one has come: it costs to hand each out alone."""


class RecordGatherer:
    """Gathers what a consumer has fetched.

    Parameters
    ----------
    consumer
        The client.
    topics
        How many topics it reads.
    times
        Whether the times of records are wanted.
    """

    def __init__(self, consumer: Consumer, topics: int, *, times: bool) -> None:
        self.nbytes = 0
        """About what was gathered last."""
        self.took_all = False
        """Whether the client had nothing more then, so that all is heard that it has said too."""
        self._consumer = consumer
        self._splitter = RecordSplitter(topics, times=times)

    def gather(self, room: int) -> list[Message]:
        """Gather what has come; wait for it a little. Return what are no records, but say what is wrong.

        Parameters
        ----------
        room
            About so many bytes are taken at most.
        """
        most = min(GATHERED_BYTES, room)
        self.nbytes, more = 0, True
        wrong: list[Message] = []
        while more and self.nbytes < most:
            messages = self._consume(wait=not self.nbytes)
            more = len(messages) == MOST_RECORDS
            self.took_all = not more
            if self._splitter.errors(messages):
                more, wrong = False, [message for message in messages if message.error()]
                messages = [message for message in messages if not message.error()]
            self.nbytes += self._splitter.gather(messages)
            del messages  # before others come: see MOST_RECORDS
        return wrong

    def take(self) -> dict[tuple[str, int], Gathered]:
        """Return what was gathered, by topic and partition."""
        return self._splitter.take()

    def _consume(self, *, wait: bool) -> list[Message]:
        """Return what has come."""
        messages = self._consumer.consume(MOST_RECORDS, 0)
        if not messages and wait:
            messages = self._consumer.consume(1, WAIT_SECONDS)
            if messages:
                messages += self._consumer.consume(MOST_RECORDS - 1, GATHER_SECONDS)
        return messages
