"""Two producers that send examples to topics whatever befalls the broker, each message a slot of its own."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from confluent_kafka import KafkaException, Producer

from kafka import Broker
from topic_books import example
from waiting import SECONDS

__all__ = ["POISON", "Producers"]

POISON = b"this is no example"

FIRST = 7
"""The first slot: those below are shared by all messages."""


class Producers:
    """Two producers, of which one sends in transactions, of which it aborts some.

    No slot is sent again by them: what becomes of a message, the topic says.

    Parameters
    ----------
    broker
        Takes them.
    topic, partitions
        Where to.
    rate
        Messages a second of each.
    poison
        One of so many messages cannot be read; 0: all can.
    """

    def __init__(self, broker: Broker, topic: str, partitions: int, rate: int, poison: int = 0) -> None:
        self._broker = broker
        self._topic = topic
        self._rate = rate
        self._poison = poison
        self._partitions = itertools.cycle(range(partitions))
        self._slots = itertools.count(FIRST)
        self._ending = threading.Event()
        self._failed: list[BaseException] = []
        self.aborted = 0
        """Messages of transactions that were aborted, or whose end is not known."""
        runs: tuple[Callable[[], None], ...] = (self._send, self._send_in_transactions)
        self._threads = [threading.Thread(target=self._run, args=[run]) for run in runs]

    @property
    def slots(self) -> int:
        """The slots that were sent, and those below."""
        return next(self._slots)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them; what they have failed with is raised beside what the test has failed with."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def check(self) -> None:
        """See that both still send."""
        assert not self._failed, self._failed

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - the test is to see it
            self._failed.append(error)

    def _lots(self) -> Iterator[int]:
        """Yield how many messages are due, ten times a second."""
        while not self._ending.wait(0.1):
            yield self._rate // 10

    def _producer(self, **config: str) -> Producer:
        return self._broker.producer(queue_buffering_max_messages=1_000_000, **config)

    def _give(self, producer: Producer, count: int) -> None:
        for slot in itertools.islice(self._slots, count):
            value = POISON if self._poison and slot % self._poison == 0 else example(slot)
            producer.produce(self._topic, value, partition=next(self._partitions))
        producer.poll(0)

    def _send(self) -> None:
        producer = self._producer()
        for due in self._lots():
            self._give(producer, due)
        assert producer.flush(SECONDS) == 0

    def _send_in_transactions(self) -> None:
        producer: Producer | None = None
        for number, due in enumerate(self._lots()):
            try:
                if producer is None:
                    producer = self._producer(transactional_id=f"{self._topic}-sender")
                    producer.init_transactions(5)
                producer.begin_transaction()
                self._give(producer, due)
                if number % 5 == 4:
                    producer.abort_transaction(5)
                    self.aborted += due
                else:
                    producer.commit_transaction(5)
            except KafkaException:  # the broker is away: another one ends what this one has begun
                self.aborted += due
                producer = None
                time.sleep(0.1)
        if producer is not None:
            with suppress(KafkaException):  # nothing is open
                producer.abort_transaction(1)
