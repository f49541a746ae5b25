"""Leaders: whom the client asks for the records of a partition, heard of as soon as there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from nonzero_service.kafka.topics import Partition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

SECONDS: Final = 2.0
"""So long a partition may take to have a leader; then the client waits for it by itself."""

REST_SECONDS: Final = 0.05
"""So long it is waited before brokers are asked again."""

ANSWER_SECONDS: Final = 1.0
"""So long brokers have for an answer. One that is asked for records too answers that first, and waits half a
second for them."""


def hear_of_leaders(
    consumer: Consumer, partitions: Collection[Partition], is_over: Callable[[], bool]
) -> None:
    """Have a client hear of the leaders of partitions.

    A topic that was made a moment ago, or a partition that was added, has none yet. A client that is to read
    such a one asks again after a second only, and has no setting for that. It is asked for when the client
    reads already: one that has heard of a leader before that does not look whether the log was cut.

    Parameters
    ----------
    consumer
        The client.
    partitions
        What it reads from now on.
    is_over
        Whether nobody waits for it any more.
    """
    from confluent_kafka import KafkaException

    until = time.monotonic() + SECONDS
    without = set(partitions)
    while time.monotonic() < until and not is_over():
        for topic in {topic for topic, _ in without}:
            with suppress(KafkaException):  # whatever it is, reading will tell
                found = consumer.list_topics(topic, ANSWER_SECONDS).topics[topic].partitions
                without -= {(topic, number) for number, one in found.items() if one.leader >= 0}
        if not without:
            return
        time.sleep(REST_SECONDS)
